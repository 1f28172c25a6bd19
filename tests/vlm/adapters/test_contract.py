"""What every family must keep, on every model: one suite, parametrised over families x models."""

from __future__ import annotations

from copy import deepcopy

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.repainting import owner, paint, some_players
from support.subjects import BEHIND, SIZES, SUBJECTS, at_once, sample

from toolkit.datasets.sample import Sample
from toolkit.vlm.engine.decoder import encode_images
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.prompt import render
from toolkit.vlm.reference import plain_values
from toolkit.vlm.sample_game import score_games

FETCHED = [pytest.param(name, marks=pytest.mark.slow) for name in BEHIND]
pytestmark = pytest.mark.parametrize("vlm", [*SUBJECTS, *FETCHED], indirect=True)


def processed(vlm, s: Sample):
    """What the transformers processor makes of a sample, with nothing of the toolkit's in between."""
    return vlm.adapter.processor(text=[render(vlm.adapter, s)[0]], images=[s.image], return_tensors="pt")


def coalitions_of(game, n: int, seed: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    chosen = rng.random((n, game.players.n)) < rng.random((n, 1))
    chosen[0], chosen[-1] = True, False
    return chosen


def test_all_players_equal_the_ordinary_forward_exactly(vlm) -> None:
    s = sample(1)
    game = vlm.game(s, target="yes")
    with torch.inference_mode():
        logits = vlm.model(**processed(vlm, s)).logits[0, -1]
        last = vlm.model(**processed(vlm, s), logits_to_keep=1).logits[0, -1]
    assert len(game.token_ids) == 1
    expected, alone = (np.exp(x.float().log_softmax(-1)[game.token_ids[0]].item()) for x in (logits, last))
    everything = np.ones((1, game.players.n), dtype=bool)
    assert plain_values(game, everything)[0] == alone == pytest.approx(expected, abs=1e-6)
    assert game(everything)[0] == pytest.approx(expected, abs=1e-6)


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    seed=st.integers(0, 10_000),
    size=st.sampled_from(sorted(SIZES)),
    question=st.sampled_from(["is there a red circle ?", "red", "what is the blue square ? A or B ? the red circle ?"]),
    target=st.sampled_from(["yes", "no"]),
    baseline=st.sampled_from(["blur", "mean", "noise"]),
    tokens=st.sampled_from([1, 700, 5000]),
)
def test_engine_equals_the_plain_path(vlm, seed, size, question, target, baseline, tokens) -> None:
    s = sample(seed, SIZES[size], question)
    game = vlm.game(s, target=target, baseline=baseline)
    chosen = coalitions_of(game, 5, seed)
    chosen[2, : game.players.n_image] = chosen[1, : game.players.n_image]
    with at_once(vlm, tokens):
        fast = game(chosen)
    plain = plain_values(game, chosen)
    assert np.abs(fast - plain).max() <= 1e-5
    assert np.abs(np.log(fast) - np.log(plain)).max() <= 2e-4


def test_batch_equals_loop(vlm) -> None:
    game, again = vlm.game(sample(2), target="no"), vlm.game(sample(2), target="no")
    chosen = coalitions_of(game, 9, 2)
    np.testing.assert_allclose(game(chosen), [again(one[None])[0] for one in chosen], atol=1e-5, rtol=0)


def test_sample_order_does_not_matter_and_no_state_leaks(vlm) -> None:
    samples = [sample(3, SIZES["square"]), sample(4, SIZES["panorama"], "what is the blue square ?"), sample(5)]
    chosen = [coalitions_of(vlm.game(s), 4, 7) for s in samples]
    first = [vlm.game(s, target="yes")(c) for s, c in zip(samples, chosen, strict=True)]
    with torch.inference_mode():
        vlm.model(**processed(vlm, samples[1]))
    vlm.engine.forget()
    for i in (2, 1, 0):
        np.testing.assert_allclose(vlm.game(samples[i], target="yes")(chosen[i]), first[i], rtol=1e-5, atol=0)
    vlm.engine.forget()
    together = score_games([(vlm.game(s, target="yes"), c) for s, c in zip(samples, chosen, strict=True)])
    for one, other in zip(together, first, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-5, rtol=0)


@pytest.mark.parametrize("side", ["left", "right"])
def test_padding_does_not_matter(vlm, side: str) -> None:
    game = vlm.game(sample(6), target="yes")
    inputs = dict(processed(vlm, game.sample))
    inputs.pop("mm_token_type_ids", None)
    pad, n = vlm.pad_id, 5
    if "token_type_ids" in inputs:
        inputs["token_type_ids"] = torch.nn.functional.pad(
            inputs["token_type_ids"], (n, 0) if side == "left" else (0, n)
        )
    widen = (n, 0) if side == "left" else (0, n)
    positions = torch.from_numpy(np.pad(game.view.positions, ((0, 0), widen)))
    inputs["input_ids"] = torch.nn.functional.pad(inputs["input_ids"], widen, value=pad)
    inputs["attention_mask"] = torch.nn.functional.pad(inputs["attention_mask"], widen, value=0)
    at = -1 if side == "left" else -1 - n
    with torch.inference_mode():
        logits = vlm.model(**inputs, position_ids=positions[:, None] if len(positions) > 1 else positions).logits[0, at]
    everything = np.ones((1, game.players.n), dtype=bool)
    assert game(everything)[0] == pytest.approx(logits.log_softmax(-1)[game.token_ids[0]].exp().item(), abs=1e-5)


def test_the_other_modality_is_bit_identical(vlm) -> None:
    game = vlm.game(sample(8), target="yes")
    seen: list[dict[str, torch.Tensor]] = []
    hook = vlm.model.register_forward_pre_hook(lambda module, args, kwargs: seen.append(kwargs), with_kwargs=True)
    n_image, everything = game.players.n_image, np.ones(game.players.n, dtype=bool)
    fewer_words, fewer_cells = everything.copy(), everything.copy()
    fewer_words[n_image + 1] = fewer_cells[n_image // 2] = False
    try:
        plain_values(game, np.array([everything, fewer_words, fewer_cells]))
    finally:
        hook.remove()
    whole, words, cells = seen
    assert torch.equal(whole["pixel_values"], words["pixel_values"])
    assert not torch.equal(whole["pixel_values"], cells["pixel_values"])
    for name in ("input_ids", "position_ids"):
        assert torch.equal(whole[name], words[name])
        assert torch.equal(whole[name], cells[name])
    assert torch.equal(whole["attention_mask"], cells["attention_mask"])
    hidden = (words["attention_mask"][0] == 0).nonzero().flatten().tolist()
    assert hidden == [game.view.prompt.text_positions[1]]


def test_words_keep_their_positions_when_others_leave(vlm) -> None:
    game = vlm.game(sample(9), target="yes")
    seen: list[torch.Tensor] = []
    hook = vlm.model.get_decoder().register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["position_ids"]), with_kwargs=True
    )
    chosen = np.ones((1, game.players.n), dtype=bool)
    chosen[0, game.players.n_image + 1] = False
    try:
        game(chosen)
    finally:
        hook.remove()
    expected = np.delete(game.view.positions, game.view.prompt.text_positions[1], axis=1)
    assert np.array_equal(seen[0].reshape(-1, expected.shape[1]).numpy(), expected)


def test_explicit_positions_are_those_that_the_model_would_use(vlm) -> None:
    """The rotary positions of a forward in which the model makes its own, and of ours with one word removed."""
    game = vlm.game(sample(9, SIZES["panorama"]), target="yes")
    seen: list[torch.Tensor] = []
    hook = vlm.model.get_decoder().rotary_emb.register_forward_pre_hook(
        lambda module, args, kwargs: seen.append(kwargs["position_ids"] if "position_ids" in kwargs else args[1]),
        with_kwargs=True,
    )
    fewer = np.ones((1, game.players.n), dtype=bool)
    fewer[0, game.players.n_image + 1] = False
    try:
        with torch.inference_mode():
            vlm.model(**processed(vlm, game.sample))
        plain_values(game, fewer)
    finally:
        hook.remove()
    assert len(seen) in (2, 4)  # Gemma 3 has two tables of rotary positions
    for positions in seen:
        rows = positions.reshape(-1, positions.shape[-1])[-len(game.view.positions) :]
        assert np.array_equal(rows.numpy(), game.view.positions)


@pytest.mark.parametrize("size", SIZES)
def test_a_removed_cell_is_its_pixels_its_place_and_its_token(vlm, size: str) -> None:
    """Exactly its entries of the tensor change; they show its region; of all players' tokens its own changes most."""
    view = vlm.view(sample(3, SIZES[size]))
    g, players = view.geometry, some_players(view.geometry)
    keep = np.ones((len(players) + 1, g.n_players), dtype=bool)
    keep[np.arange(len(players)), players] = False
    masked = view.masked(vlm.adapter, "noise", keep)
    with torch.inference_mode():
        tokens = encode_images(vlm.model, vlm.adapter.pixel_inputs(masked, g), len(masked))
    differs = (view.baseline(vlm.adapter, "noise") != view.pixels).numpy()
    for i, player in enumerate(players):
        mine = g.player_of_pixel == player
        assert np.array_equal((masked[i] != view.pixels).numpy(), mine & differs)
        assert differs[mine].mean() > 0.9
        moved = (tokens[i] - tokens[-1]).norm(dim=-1)[torch.from_numpy(g.token_of_player)]
        assert int(moved.argmax()) == player
        painted = paint(view.images[0].image, g.regions[player])
        again = vlm.adapter.processor.image_processor(painted, return_tensors="pt", **vlm.adapter.image_settings())
        change = (vlm.adapter.pixels(again) - view.pixels).abs().numpy()
        assert owner(change, g.player_of_pixel, g.n_players) == player


def test_scores_of_a_bfloat16_model_are_float32(vlm) -> None:
    half = LoadedVLM("half", vlm.adapter, deepcopy(vlm.model).bfloat16())
    game = half.game(sample(4), target="yes")
    seen: list[torch.Tensor] = []
    hook = half.model.get_output_embeddings().register_forward_hook(lambda module, args, said: seen.append(said))
    try:
        value = game(np.ones((1, game.players.n), dtype=bool))[0]
    finally:
        hook.remove()
    (logits,) = seen
    assert logits.dtype == torch.bfloat16
    row = logits.reshape(-1, logits.shape[-1])[-1]
    assert value == np.exp(row.float().log_softmax(-1)[game.token_ids[-1]].double().numpy())
    assert half.record()["dtype"] == "bfloat16"


def test_text_players_are_the_question_and_nothing_else(vlm) -> None:
    s = sample(10, question="is there a red circle ?")
    prompt, tokenizer = vlm.view(s).prompt, vlm.adapter.processor.tokenizer
    spans = vlm.text_spans(s)
    covered = {i for a, b in spans for i in range(a, b)}
    assert {i for i, c in enumerate(s.question) if not c.isspace()} <= covered
    assert max(covered) < len(s.question)
    players = [prompt.ids[i] for i in prompt.text_positions]
    assert not set(players) & set(tokenizer.all_special_ids)
    alone = tokenizer(s.question, add_special_tokens=False)["input_ids"]
    assert len(players) in (len(alone), len(alone) + 1)
    others = [token for i, token in enumerate(prompt.ids) if i not in prompt.text_positions]
    rest = tokenizer.decode(others, skip_special_tokens=True)
    assert "answer yes or no" in rest
    assert "circle" not in rest


def test_multi_token_answers_are_products(vlm) -> None:
    words = ("red circle", "blue square")
    s = Sample("m", sample(11).image, "what is the square ?", "", words)
    game = vlm.game(s, target="blue square")
    assert len(game.token_ids) >= 2
    inputs = dict(processed(vlm, s))
    probability = 1.0
    with torch.inference_mode():
        for i, token in enumerate(game.token_ids):
            ids = torch.tensor([[*game.view.prompt.ids, *game.token_ids[:i]]])
            types = (ids == vlm.model.config.image_token_id).int()
            extra = {name: types for name in ("mm_token_type_ids", "token_type_ids") if name in inputs}
            step = inputs | {"input_ids": ids, "attention_mask": torch.ones_like(ids)} | extra
            probability *= vlm.model(**step).logits[0, -1].log_softmax(-1)[token].exp().item()
    everything = np.ones((1, game.players.n), dtype=bool)
    assert game(everything)[0] == pytest.approx(probability, rel=1e-4)
    chosen = coalitions_of(game, 4, 0)
    np.testing.assert_allclose(game(chosen), plain_values(game, chosen), rtol=1e-4)


def test_generation_and_scoring_agree(vlm) -> None:
    s = sample(12)
    inputs = processed(vlm, s)
    with torch.inference_mode():
        generated = vlm.model.generate(**inputs, max_new_tokens=3, do_sample=False, pad_token_id=vlm.pad_id)
        logits = vlm.model(**inputs).logits[0, -1].log_softmax(-1)
    said = generated[0, inputs["input_ids"].shape[1] :].tolist()
    free = Sample("f", s.image, s.question, s.instruction)
    stops = vlm.adapter.processor.tokenizer.eos_token_id
    expected = said[: said.index(stops)] if stops in said else said
    if not vlm.adapter.processor.tokenizer.decode(expected, skip_special_tokens=True).strip():
        with pytest.raises(ValueError, match="without an answer"):
            vlm.answer(free)
        return
    answer = vlm.answer(free)
    assert list(answer.token_ids[: len(expected)]) == expected
    game = vlm.game(free)
    assert game.token_ids == answer.token_ids
    everything = np.ones((1, game.players.n), dtype=bool)
    assert game(everything)[0] == pytest.approx(answer.probability, rel=1e-3)
    chosen = vlm.answer(s)
    best = max(chosen.by_choice, key=lambda word: chosen.by_choice[word])
    assert chosen.text == best
    assert chosen.probability == pytest.approx(logits[chosen.token_ids[0]].exp().item(), abs=1e-5)
