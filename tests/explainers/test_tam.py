"""TAM: the right token, planted interference, and the rank filter against explicit loops."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.tiny_models import FAMILIES, tiny_sample, tiny_vlm

from toolkit.explainers import explain
from toolkit.explainers.internals.anatomy import anatomy
from toolkit.explainers.internals.scope import hooks
from toolkit.explainers.tam import fitted_scale, grid_shape, rank_gaussian, stages


@pytest.mark.parametrize("family", FAMILIES)
def test_the_activation_is_the_answer_tokens_logit_at_each_image_token(family: str) -> None:
    vlm = tiny_vlm(family)
    for answer in ("yes", "no"):
        box = vlm.white_box(tiny_sample(), target=answer)
        hidden: list[torch.Tensor] = []
        norm = anatomy(vlm.model).decoder.norm
        with hooks([norm.register_forward_hook(lambda m, a, out, hidden=hidden: hidden.append(out))]):
            box.logit(box.pixels, box.question)
        token = vlm.adapter.processor.tokenizer.convert_tokens_to_ids(answer)
        row = vlm.model.get_output_embeddings().weight[token]
        expected = (hidden[0][0] @ row).detach().clamp(min=0).numpy()
        found = stages(box, [(6, 6)])
        np.testing.assert_allclose(found.activation, expected[box.image_positions], atol=1e-5)
        np.testing.assert_allclose(found.text, expected[box.text_positions], atol=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_context_is_the_users_text_question_and_instruction(family: str) -> None:
    vlm = tiny_vlm(family)
    sample = tiny_sample()
    found = stages(vlm.white_box(sample, target="yes"), [(6, 6)]).context
    words = [vlm.adapter.processor.tokenizer.convert_ids_to_tokens(i) for i in found]
    assert words == [w for w in f"{sample.question} {sample.instruction}".split() if w != "yes"]


@pytest.mark.parametrize("family", FAMILIES)
def test_the_interference_is_that_of_the_authors_loop_written_anew(family: str) -> None:
    """A re-derivation of their recursion over the user's tokens, one map after the other; no package has their code."""
    vlm = tiny_vlm(family)
    sample = tiny_sample()
    box = vlm.white_box(sample, target="yes")
    prompt = vlm.view(sample).prompt
    hidden: list[torch.Tensor] = []
    norm = anatomy(vlm.model).decoder.norm
    with hooks([norm.register_forward_hook(lambda m, a, out: hidden.append(out))]):
        box.logit(box.pixels, box.question)
    logits = vlm.model.get_output_embeddings()(hidden[0][0]).detach().double().numpy()
    image = box.image_positions.tolist()
    (answer,) = box.target_ids
    first = max(image) + 1
    while prompt.ids[first] != prompt.ids[prompt.text_positions[0]]:
        first += 1
    last = first + len(f"{sample.question} {sample.instruction}".split())
    maps, weights = [], []
    for at in range(first, last):
        word = prompt.ids[at]
        shown = logits[at].argmax() if at == first else word
        if word != answer:
            maps.append(np.maximum(logits[image, shown], 0))
            weights.append(max(logits[at, answer], 0))
    own = np.maximum(logits[image, answer], 0)
    between = np.array(weights) @ np.array(maps) / (sum(weights) + 1e-8)
    scale = max(own @ between / (between @ between), 0)
    found = stages(box, [(6, 6)])
    np.testing.assert_allclose(found.interference, between, atol=1e-5)
    np.testing.assert_allclose(found.causal, np.maximum(own - scale * between, 0), atol=1e-5)


def test_no_logits_of_a_whole_prompt_are_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """At 3,000 tokens and 150,000 words they would take 9 GB; a few rows at a time, the stages are the same."""
    vlm = tiny_vlm("internvl")
    box = vlm.white_box(tiny_sample(), target="yes")
    expected, rows = stages(box, [(6, 6)]), []
    head = anatomy(vlm.model).head
    monkeypatch.setattr("toolkit.explainers.tam._ROWS", 7)
    with hooks([head.register_forward_hook(lambda _, args, output: rows.append(args[0].shape[-2]))]):
        found = stages(box, [(6, 6)])
    assert max(rows) == 7
    assert sum(rows) > box.length
    np.testing.assert_allclose(found.causal, expected.causal, atol=1e-5)
    np.testing.assert_allclose(found.weights, expected.weights, atol=1e-5)


def test_a_word_equal_to_the_answer_is_not_subtracted_from_itself() -> None:
    vlm = tiny_vlm("llava")
    sample = tiny_sample(question="is there yes or no ?")
    box = vlm.white_box(sample, target="yes")
    token = vlm.adapter.processor.tokenizer.convert_tokens_to_ids("yes")
    assert token in vlm.view(sample).prompt.ids
    assert token not in stages(box, [(6, 6)]).context


def test_stages_follow_from_one_another() -> None:
    vlm = tiny_vlm("internvl")
    found = stages(vlm.white_box(tiny_sample(), target="yes"), [(6, 6)])
    assert found.scale > 0
    np.testing.assert_allclose(found.causal, np.maximum(found.activation - found.scale * found.interference, 0))
    np.testing.assert_allclose(found.filtered, rank_gaussian(found.causal.reshape(6, 6)).ravel())
    att = explain("tam", vlm, tiny_sample(), target="yes")
    np.testing.assert_allclose(att.scores, [*found.filtered, *found.text])
    assert att.details["interference_scale"] == pytest.approx(found.scale)


def test_planted_interference_is_removed_exactly() -> None:
    rng = np.random.default_rng(0)
    interference = rng.uniform(0, 1, 36)
    own = np.zeros(36)
    own[7] = 5.0
    interference[7] = 0.0
    assert fitted_scale(own + 2.5 * interference, interference) == pytest.approx(2.5)
    assert fitted_scale(own, np.zeros(36)) == 0
    assert fitted_scale(own, -interference) == 0


def test_rank_gaussian_against_explicit_loops() -> None:
    grid = np.random.default_rng(1).exponential(size=(5, 7))
    padded = np.pad(grid, 1, mode="reflect")
    expected = np.empty_like(grid)
    for row in range(5):
        for column in range(7):
            window = np.sort(padded[row : row + 3, column : column + 3].ravel())
            sd = window.std() / window.mean()
            weights = [np.exp(-((rank - 4) ** 2) / (2 * sd**2)) for rank in range(9)]
            expected[row, column] = np.dot(window, weights) / sum(weights)
    np.testing.assert_allclose(rank_gaussian(grid), expected, atol=1e-12)


def test_rank_gaussian_keeps_constants_and_removes_a_speck() -> None:
    np.testing.assert_allclose(rank_gaussian(np.full((4, 4), 3.0)), 3.0)
    np.testing.assert_array_equal(rank_gaussian(np.zeros((4, 4))), 0.0)
    speck = np.ones((6, 6))
    speck[2, 2] = 2.0
    assert rank_gaussian(speck)[2, 2] < 1.01
    block = np.ones((6, 6))
    block[1:4, 1:4] = 2.0
    assert rank_gaussian(block)[2, 2] == pytest.approx(2.0)
    with pytest.raises(ValueError, match="odd"):
        rank_gaussian(speck, 2)


def test_a_peak_at_the_border_weighs_as_much_as_one_inside() -> None:
    inside, border = np.zeros((6, 6)), np.zeros((6, 6))
    inside[2, 2] = border[2, 0] = 1.0
    assert rank_gaussian(border).max() == pytest.approx(rank_gaussian(inside).max())
    np.testing.assert_array_equal(rank_gaussian(border, 1), border)


def test_grid_shape_is_read_off_the_regions() -> None:
    cells = np.array([(c / 4, r / 3, (c + 1) / 4, (r + 1) / 3) for r in range(3) for c in range(4)])
    assert grid_shape(cells) == (3, 4)
    with pytest.raises(ValueError, match="full grid"):
        grid_shape(cells[:-1])
