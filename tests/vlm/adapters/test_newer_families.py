"""The families beyond the paper's three: what each does besides, and that leaving it out is found."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support.layouts import write_checkpoint
from support.newer_families import NEWER
from support.repainting import owner, paint, some_players
from support.subjects import make_subject, picture, released, sample
from tokenizers.processors import TemplateProcessing

import toolkit
from toolkit.explainers.base import EXPLAINERS
from toolkit.vlm.adapters.adapter_base import Adapter
from toolkit.vlm.adapters.families import NOT_SCORED
from toolkit.vlm.loading.checkpoint import CheckpointError, check_config
from toolkit.vlm.loading.load_checkpoint import load_vlm
from toolkit.vlm.loading.probe import require_scoring
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.reference import plain_values
from toolkit.vlm.sample_game import score_games

LEFT_OUT = {"qwen3-vl": {"n_layer_features": lambda self, config: 0}, "gemma3": {"both_ways": False}}
"""What an adapter may forget of its family."""


def changed(vlm: LoadedVLM, **attributes: object) -> LoadedVLM:
    """The same model behind an adapter that says something else of its family."""
    kind: type[Adapter] = type("Changed", (type(vlm.adapter),), attributes)
    return LoadedVLM("changed", kind(vlm.adapter.processor), vlm.model)


@pytest.mark.parametrize("family", LEFT_OUT)
def test_an_adapter_that_leaves_out_what_its_family_does_is_refused(family: str) -> None:
    vlm = make_subject(f"released-{family}")
    assert require_scoring(vlm).passed
    with pytest.raises(CheckpointError, match="is not scored as itself"):
        require_scoring(changed(vlm, **LEFT_OUT[family]))


@pytest.mark.parametrize("explainer", ["input-x-gradient", "grad-cam", "attn-lrp", "rollout", "tam", "occlusion"])
@pytest.mark.parametrize("family", NEWER)
def test_explainers_of_every_kind_score_every_player(family: str, explainer: str) -> None:
    vlm = make_subject(f"released-{family}")
    assert explainer in EXPLAINERS
    s = sample(1)
    if (family, explainer) == ("qwen3-vl-moe", "attn-lrp"):
        with pytest.raises(ValueError, match=r"attn-lrp has no rule for Qwen3VLMoe\w+, Qwen3VLMoe\w+Router of"):
            toolkit.explain(explainer, vlm, s, target="yes")
        return
    found = toolkit.explain(explainer, vlm, s, target="yes")
    assert found.scores.shape == (vlm.players(s).n,)
    assert np.isfinite(found.scores).all()
    assert np.ptp(found.scores) > 0
    if explainer == "attn-lrp":
        assert found.details["conservation_error"] < 1e-5


@pytest.mark.parametrize("size", [(300, 300), (300, 190), (100, 260)])
def test_a_grid_that_llava_onevision_shrinks_is_scored_and_laid_as_it_is(size: tuple[int, int]) -> None:
    """Nine tiles where four tiles' worth of tokens may stay: every token is a mean of neighbours."""
    model, processor = released("llava-onevision")
    model.config.vision_aspect_ratio = processor.vision_aspect_ratio = "anyres_max_4"
    vlm = LoadedVLM("m", type(make_subject("released-llava-onevision").adapter)(processor), model)
    image = picture(size, 4)
    game = vlm.game(replace(sample(1), image=image), target="yes")
    g = game.view.geometry
    assert g.n_players < 0.9 * 16 * (len(g.player_of_pixel) - 1)
    chosen = np.random.default_rng(0).random((4, game.players.n)) < 0.5
    assert np.abs(game(chosen) - plain_values(game, chosen)).max() <= 1e-5
    for player in some_players(g):
        again = vlm.adapter.processor.image_processor(paint(image, g.regions[player]), return_tensors="pt")
        change = (vlm.adapter.pixels(again) - game.view.pixels).abs().numpy()
        assert owner(change, g.player_of_pixel, g.n_players) == player


def test_images_of_one_pixel_shape_but_of_other_sizes_do_not_share_a_batch() -> None:
    """Both fill three by three tiles with twelve rows of tokens, of which the narrower has fewer in each."""
    vlm = make_subject("released-llava-onevision")
    images = [picture(size, 4) for size in ((174, 174), (150, 174))]
    games = [vlm.game(replace(sample(1), image=image), target="yes") for image in images]
    shapes = [(game.view.pixels.shape, game.view.geometry.rows, game.view.geometry.columns) for game in games]
    assert shapes[0][:2] == shapes[1][:2]
    assert shapes[0][2] > shapes[1][2]
    chosen = [np.random.default_rng(0).random((3, game.players.n)) < 0.5 for game in games]
    found = score_games(list(zip(games, chosen, strict=True)))
    for values, game, some in zip(found, games, chosen, strict=True):
        assert np.abs(values - plain_values(game, some)).max() <= 1e-5


def test_tiles_of_llava_onevision_are_bounded_in_processor_and_model_alike(tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "folder", "llava-onevision", *released("llava-onevision"))
    s = replace(sample(1), image=picture((300, 300), 4))
    tiles = [len(load_vlm(folder, device="cpu", max_tiles=n).view(s).pixels) - 1 for n in (None, 4, 1)]
    assert tiles == [9, 4, 1]


BOUNDS = {
    "qwen3-vl": ({"max_tiles": 4}, "max_tiles does not bound the images of qwen3-vl: max_pixels does"),
    "llava-onevision": ({"max_pixels": 9}, "llava-onevision: max_tiles does"),
    "idefics3": ({"max_pixels": 9}, "idefics3: max_tiles does"),
    "smolvlm": ({"max_tiles": 0}, "max_tiles is 0; expected at least 1"),
    "gemma3": ({"max_pixels": 9}, "images of gemma3: they have one fixed size"),
    "mistral3": ({"max_pixels": 9}, "one image token needs 784"),
    "glm4.1v": ({"max_pixels": 9}, "one image token needs 784"),
}


@pytest.mark.parametrize("family", BOUNDS)
def test_a_bound_that_a_family_cannot_keep_is_refused(family: str, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "folder", family, *released(family))
    bound, message = BOUNDS[family]
    with pytest.raises(ValueError, match=message):
        load_vlm(folder, device="cpu", **bound)


@pytest.mark.parametrize(
    ("family", "bound", "n"),
    [
        ("smolvlm", {"max_tiles": 4}, 16),
        ("mistral3", {"max_pixels": 112 * 112}, 16),
        ("qwen3-vl", {"max_pixels": 8192}, 8),
        ("glm4.1v", {"max_pixels": 28 * 28 * 9}, 9),
    ],
)
def test_a_bound_holds(family: str, bound: dict[str, int], n: int, tmp_path: Path) -> None:
    folder = write_checkpoint(tmp_path / "folder", family, *released(family))
    s = replace(sample(1), image=picture((600, 600), 4))
    bounded, free = load_vlm(folder, device="cpu", **bound), load_vlm(folder, device="cpu")
    assert n / 2 <= bounded.players(s).n_image <= n < free.players(s).n_image


def test_coalitions_that_share_no_prefix_are_ordinary_passes_and_the_record_says_so() -> None:
    vlm = make_subject("released-gemma3")
    plain = changed(vlm, shares_prefix=False, both_ways=False)
    assert require_scoring(plain).passed
    game = plain.game(replace(sample(1), choices=("red circle", "blue square")), target="blue square")
    chosen = np.random.default_rng(0).random((4, game.players.n)) < 0.5
    np.testing.assert_allclose(game(chosen), plain_values(game, chosen), rtol=1e-12)
    assert plain.record()["path"] == "one ordinary pass per coalition"
    assert "path" not in vlm.record()
    with pytest.raises(ValueError, match="share no prefix, and has no white box; choose .* occlusion"):
        plain.white_box(sample(1))
    assert np.isfinite(toolkit.explain("occlusion", plain, sample(1)).scores).all()


@pytest.mark.parametrize("model_type", NOT_SCORED)
def test_what_cannot_share_a_prefix_is_refused_by_name(model_type: str) -> None:
    with pytest.raises(
        CheckpointError, match=f"'{model_type}' model; its .*, which no shipped adapter scores; .*llava"
    ):
        check_config({"model_type": model_type}, "a folder")


def test_a_model_in_memory_that_cannot_share_a_prefix_is_refused_too(monkeypatch) -> None:
    vlm = make_subject("released-qwen3-vl")
    monkeypatch.setattr(type(vlm.model.config), "model_type", "qwen3_5")
    with pytest.raises(CheckpointError, match="layers of linear attention carry removed words on"):
        toolkit.wrap(vlm.model, vlm.adapter.processor)


def test_a_gemma_that_reads_all_words_both_ways_is_refused() -> None:
    model, processor = released("gemma3")
    model.get_decoder().config.use_bidirectional_attention = True
    with pytest.raises(CheckpointError, match="attends both ways .use_bidirectional_attention is true"):
        toolkit.wrap(model, processor)


def test_line_breaks_of_a_question_are_words_to_gemma3() -> None:
    vlm = make_subject("released-gemma3")
    s = replace(sample(1), question="red ?\n\nA or B ?")
    assert "".join(vlm.players(s).labels[vlm.players(s).n_image :]).count("\n") == 2
    game = vlm.game(s, target="yes")
    chosen = np.random.default_rng(0).random((3, game.players.n)) < 0.5
    assert np.abs(game(chosen) - plain_values(game, chosen)).max() <= 1e-5


@pytest.mark.parametrize("family", ["gemma3", "mistral3"])
def test_a_prompt_begins_once(family: str) -> None:
    """Template and tokenizer both write the first token, and one of them is left out."""
    vlm = make_subject(f"released-{family}")
    tokenizer = vlm.adapter.processor.tokenizer
    backend = tokenizer.backend_tokenizer
    before, first = backend.post_processor, (tokenizer.bos_token, tokenizer.bos_token_id)
    backend.post_processor = TemplateProcessing(single=f"{first[0]} $A", pair=None, special_tokens=[first])
    try:
        ids = LoadedVLM("m", vlm.adapter, vlm.model).view(sample(1)).prompt.ids
    finally:
        backend.post_processor = before
    assert ids[0] == first[1]
    assert ids.count(first[1]) == 1


def test_every_layer_feature_of_qwen3_vl_reaches_the_answer() -> None:
    model, processor = released("qwen3-vl")
    vlm = make_subject("released-qwen3-vl")
    game = LoadedVLM("m", type(vlm.adapter)(processor), model).game(sample(2), target="yes")
    everything = np.ones((1, game.players.n), dtype=bool)
    before = game(everything)[0]
    for merger in model.model.visual.deepstack_merger_list:
        with torch.no_grad():
            merger.linear_fc2.bias += 0.5
        after = game(everything)[0]
        assert after != pytest.approx(before, rel=1e-4)
        before = after
