"""Chosen players: the quotient of the tokens' game, sums of the tokens' scores, and the same values in the store."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import toolkit
from toolkit.explainers import explain
from toolkit.explainers.base import over_players
from toolkit.games.game import QuotientGame
from toolkit.vlm import CoalitionStore, score_games
from toolkit.vlm.adapters.adapter_base import grid_regions
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.partition import ImageGrid, PlayersError, make_partition
from toolkit.vlm.reference import plain_values

NAMES = ("tiny-llava-grounded", "tiny-qwen2.5-vl-grounded", "tiny-internvl-grounded")


@pytest.fixture(scope="module")
def vlm() -> LoadedVLM:
    return toolkit.load_vlm("tiny-llava-grounded", device="cpu")


@pytest.fixture(scope="module")
def sample() -> toolkit.Sample:
    return toolkit.load_samples("scenes-existence", n=1, seed=4)[0]


@pytest.mark.parametrize(("name", "players"), list(zip(NAMES, ["grid:2x3", "grid:4x5", "segments:5"], strict=True)))
def test_the_grouped_game_is_the_quotient_of_the_game_of_tokens(name: str, players: str, sample) -> None:
    vlm = toolkit.load_vlm(name, device="cpu")
    tokens, grouped = vlm.game(sample, players="tokens"), vlm.game(sample, players=players)
    groups = [np.flatnonzero(group) for group in grouped.partition.groups()]
    chosen = np.random.default_rng(0).random((6, grouped.players.n)) < 0.5
    np.testing.assert_array_equal(grouped(chosen), QuotientGame(tokens, groups)(chosen))
    np.testing.assert_allclose(plain_values(grouped, chosen[:2]), grouped(chosen[:2]), atol=1e-5)
    assert grouped.players.n < tokens.players.n
    assert vlm.game(sample).players == tokens.players  # by default the embedded models play their tokens


@pytest.mark.parametrize("name", ["input-x-gradient", "grad-cam", "attn-lrp", "rollout", "tam"])
def test_scores_of_tokens_are_summed_over_players(vlm: LoadedVLM, sample, name: str) -> None:
    tokens = explain(name, vlm, sample, players="tokens")
    grouped = explain(name, vlm, sample, players="grid:3x2")
    partition = vlm.with_players("grid:3x2").partition(sample)
    assert grouped.players == partition.players
    np.testing.assert_allclose(grouped.scores, partition.groups() @ tokens.scores, rtol=1e-5, atol=1e-7)
    assert grouped.of("image").shape == (6,)


def test_a_word_of_one_token_is_named_without_its_blank() -> None:
    """Tokens of a byte-level tokenizer carry the blank before them; attributions get the players' own names."""
    spans, image = [(0, 2), (2, 5)], Image.new("RGB", (4, 4))
    regions = grid_regions(1, 1)
    found = make_partition("auto", question="is it", spans=spans, images=[ImageGrid(1, 1, regions, image)])
    tokens = toolkit.Players.make(("row 1, column 1",), ("is", " it"))
    attribution = toolkit.Attribution(np.arange(3.0), tokens, "mine", "yes")
    merged = over_players(attribution, SimpleNamespace(partition=lambda sample: found), None)  # type: ignore[arg-type]
    assert merged.players == found.players == toolkit.Players.make(("row 1, column 1",), ("is", "it"))
    np.testing.assert_array_equal(merged.scores, attribution.scores)


def test_explainers_that_ask_the_game_play_the_grouped_one(vlm: LoadedVLM, sample) -> None:
    found = explain("occlusion", vlm, sample, players="grid:2x2")
    game = vlm.with_players("grid:2x2").game(sample)
    assert found.n_evaluations == game.players.n + 1
    assert game.players.n_image == 4
    everyone = np.ones((1, game.players.n), dtype=np.bool_)
    without = everyone.copy()
    without[0, 2] = False
    assert found.scores[2] == game(everyone)[0] - game(without)[0]
    exact = explain("kernel-shap", vlm, sample, players="grid:1x1")
    assert exact.details["exact"] == 1
    score = toolkit.synergistic_faithfulness(game, found)
    assert np.isfinite(score.value)


def test_a_coarse_grid_costs_what_its_players_cost(vlm: LoadedVLM, sample) -> None:
    """36 cells or 4: the rows of occlusion are players + 1."""
    words = vlm.players(sample).n_text
    for players, cells in (("tokens", 36), ("grid:2x2", 4)):
        assert explain("occlusion", vlm, sample, players=players).n_evaluations == cells + words + 1


def test_a_models_players_are_recorded_and_its_copy_shares_everything_else(vlm: LoadedVLM, sample) -> None:
    coarse = vlm.with_players("grid:2x3")
    assert (vlm.record()["players"], coarse.record()["players"]) == ("auto", "grid:2x3")
    assert coarse.model is vlm.model
    assert coarse.view(sample) is vlm.view(sample)
    assert coarse.identity() == vlm.identity()  # values belong to tokens, whatever the players
    np.testing.assert_allclose(coarse.regions(sample)[-1], [2 / 3, 0.5, 1, 1], atol=1e-9)
    assert coarse.text_spans(sample) == vlm.text_spans(sample)


def test_games_with_other_players_share_what_the_store_keeps(tmp_path, sample) -> None:
    for players, spent in (("grid:2x2", 2), ("grid:3x3", 0), ("tokens", 0)):
        vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu", store=CoalitionStore(tmp_path), players=players)
        game = vlm.game(sample, target="yes")
        n = game.players.n
        game(np.stack([np.ones(n, dtype=np.bool_), np.zeros(n, dtype=np.bool_)]))
        assert game.n_evaluations == spent


def test_a_removed_player_is_removed_from_the_image(vlm: LoadedVLM, sample) -> None:
    coarse = vlm.with_players("grid:2x2")
    partition = coarse.partition(sample)
    chosen = np.arange(partition.players.n) != 1
    one = np.asarray(coarse.masked_image(sample, chosen))
    np.testing.assert_array_equal(one, np.asarray(vlm.masked_image(sample, partition.expand(chosen[None])[0])))
    whole = np.asarray(coarse.masked_image(sample, np.ones(partition.players.n, dtype=np.bool_)))
    height, width = whole.shape[:2]
    changed = np.any(one != whole, axis=2)
    assert changed[: height // 2, width // 2 :].any()
    assert not changed[height // 2 :].any()
    with pytest.raises(ValueError, match=r"expected \(\d+,\)"):
        coarse.masked_image(sample, np.ones(99, dtype=np.bool_))


def test_an_image_of_many_tokens_is_warned_of_with_the_option_that_bounds_it(vlm, monkeypatch, sample) -> None:
    qwen = toolkit.load_vlm("tiny-qwen2.5-vl-grounded", device="cpu")
    monkeypatch.setattr("toolkit.vlm.view.MANY_TOKENS", 30)
    with pytest.warns(RuntimeWarning, match=r"36 cells \(6 x 6\).*max_pixels bounds them.*--max-pixels"):
        qwen.view(sample)
    vlm.view(toolkit.load_samples("scenes-existence", n=1, seed=5)[0])  # a fixed crop has no option: nothing to say


def test_players_that_cannot_be_made_are_refused_when_they_are_named_or_asked_for(vlm: LoadedVLM, sample) -> None:
    with pytest.raises(PlayersError, match="unknown players 'pixels'"):
        toolkit.load_vlm("tiny-llava-grounded", device="cpu", players="pixels")
    with pytest.raises(PlayersError, match="unknown players 'pixels'"):
        vlm.with_players("pixels")
    for ask in (
        lambda: explain("occlusion", vlm, sample, players="grid:7x7"),
        lambda: vlm.game(sample, players="grid:7x7"),
    ):
        with pytest.raises(PlayersError, match=r"finer than the image's 6 x 6 tokens; at most 'grid:6x6'"):
            ask()

    class Other:
        name = "other"
        answer = game = None

    with pytest.raises(TypeError, match="the players of 'other' cannot be chosen"):
        explain("random", Other(), sample, players="words")  # type: ignore[arg-type]


def test_what_was_said_under_a_hook_is_forgotten_by_all_players_of_the_model(sample) -> None:
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu", store=None)
    words = vlm.with_players("words")
    before = vlm.answer(sample).probability
    hook = vlm.model.get_output_embeddings().register_forward_hook(lambda module, inputs, output: output * 0.1)
    assert words.answer(sample).probability < before - 0.1
    hook.remove()
    assert vlm.answer(sample).probability == pytest.approx(before, abs=1e-6)


def test_games_of_one_model_are_scored_together_whoever_chose_the_players(vlm: LoadedVLM, sample) -> None:
    other = toolkit.load_samples("scenes-existence", n=2, seed=4)[1]
    games = [vlm.with_players("words").game(sample), vlm.game(other, players="words"), vlm.game(other)]
    everybody = [np.ones((1, game.players.n), dtype=bool) for game in games]
    together = score_games(list(zip(games, everybody, strict=True)))
    np.testing.assert_allclose(together[0], vlm.game(sample)(np.ones((1, vlm.players(sample).n), bool)), atol=1e-6)
    np.testing.assert_allclose(together[1], together[2], atol=1e-6)
