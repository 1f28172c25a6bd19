"""The white box scores what the game scores, and its gradients and maps are those of the model."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.subjects import SUBJECTS, sample

pytestmark = pytest.mark.parametrize("vlm", SUBJECTS, indirect=True)


def test_its_score_is_the_log_of_the_value(vlm) -> None:
    game, box = vlm.game(sample(1), target="yes"), vlm.white_box(sample(1), target="yes")
    value = game(np.ones((1, game.players.n), dtype=bool))[0]
    assert box.score(box.pixels, box.question).exp().item() == pytest.approx(value, abs=1e-6)
    keep = np.ones((1, game.players.n), dtype=bool)
    keep[0, : game.players.n_image] = False
    blurred = box.score(box.baseline_pixels, box.question).exp().item()
    assert blurred == pytest.approx(game(keep)[0], abs=1e-6)
    assert box.players == game.players
    assert box.target_ids == game.token_ids


def test_batches_equal_single_rows(vlm) -> None:
    box = vlm.white_box(sample(2), target="no")
    pixels = torch.cat([box.pixels, box.baseline_pixels])
    question = torch.cat([box.baseline_question, box.question])
    both = box.score(pixels, question)
    for i in range(2):
        assert both[i].item() == pytest.approx(box.score(pixels[i : i + 1], question[i : i + 1]).item(), abs=1e-5)


def test_gradients_match_finite_differences(vlm) -> None:
    box = vlm.white_box(sample(3), target="yes")
    pixels, question = box.pixels.clone().requires_grad_(), box.question.clone().requires_grad_()
    box.score(pixels, question).sum().backward()
    rng = torch.Generator().manual_seed(0)
    for leaf, at in ((pixels, 0), (question, 1)):
        direction = torch.randn(leaf.shape, generator=rng)
        direction = direction / direction.norm()
        step = 2e-2
        moved = [[box.pixels, box.question] for _ in range(2)]
        moved[0][at], moved[1][at] = moved[0][at] + step * direction, moved[1][at] - step * direction
        with torch.no_grad():
            numeric = (box.score(*moved[0]) - box.score(*moved[1])).item() / (2 * step)
        assert (leaf.grad * direction).sum().item() == pytest.approx(numeric, rel=0.1, abs=2e-3)
    assert all(p.grad is None for p in vlm.model.parameters() if not p.requires_grad)


def test_the_logit_is_the_models(vlm) -> None:
    box = vlm.white_box(sample(4), target="yes")
    view = vlm.view(sample(4))
    ids = torch.tensor([view.prompt.ids])
    inputs = vlm.adapter.pixel_inputs(box.pixels, view.geometry) | vlm.adapter.text_inputs(ids)
    positions = torch.from_numpy(view.positions)
    with torch.inference_mode():
        logits = vlm.model(
            input_ids=ids, position_ids=positions[:, None] if len(positions) > 1 else positions, **inputs
        ).logits
    assert box.logit(box.pixels, box.question).item() == pytest.approx(
        logits[0, -1, box.target_ids[0]].item(), abs=1e-4
    )


def test_sums_over_each_players_pixels(vlm) -> None:
    box = vlm.white_box(sample(5), target="yes")
    n_image = box.players.n_image
    amounts = torch.rand(2, *box.pixels.shape[1:], generator=torch.Generator().manual_seed(0))
    summed = box.pixels_to_players(amounts)
    owner = vlm.view(sample(5)).geometry.player_of_pixel.ravel()
    for row, amount in zip(summed, amounts.numpy().reshape(2, -1), strict=True):
        expected = np.bincount(owner + 1, amount.astype(np.float64), n_image + 1)[1:]
        np.testing.assert_allclose(row.numpy(), expected, rtol=1e-4)
    assert box.image_positions.shape == (n_image,)
    ids = np.array(vlm.view(sample(5)).prompt.ids)
    assert set(ids[box.image_positions.numpy()]) == {vlm.model.config.image_token_id}
    assert box.text_positions.tolist() == list(vlm.view(sample(5)).prompt.text_positions)


def test_perturbing_a_player_in_the_box_is_perturbing_it_in_the_game(vlm) -> None:
    game, box = vlm.game(sample(6), target="yes"), vlm.white_box(sample(6), target="yes")
    keep = np.ones((1, game.players.n), dtype=bool)
    keep[0, [0, 7, game.players.n_image - 1]] = False
    pixels = vlm.view(sample(6)).masked(vlm.adapter, "blur", keep[:, : game.players.n_image])
    assert box.score(pixels, box.question).exp().item() == pytest.approx(game(keep)[0], abs=1e-6)
