"""A model is at one thread's disposal at a time, and computes the same whatever modes PyTorch is in."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
from support.tiny_models import sharp_vlm, tiny_sample

from toolkit.explainers import explain

ASKED = {
    "values": lambda vlm, sample, game: game(np.tri(game.players.n, dtype=bool)),
    "values of a game made meanwhile": lambda vlm, sample, game: vlm.game(sample, target="no")(
        np.tri(game.players.n, dtype=bool)
    ),
    "answer": lambda vlm, sample, game: np.array([vlm.answer(tiny_sample(3)).probability]),
    "map": lambda vlm, sample, game: explain("input-x-gradient", vlm, sample, target="yes").scores,
    "whether it is as loaded": lambda vlm, sample, game: np.array([vlm.is_as_loaded()]),
}


@pytest.mark.parametrize("what", ASKED)
def test_another_thread_does_not_see_what_an_explainer_changes_for_a_moment(what: str) -> None:
    vlm, sample = sharp_vlm("llava"), tiny_sample(1)
    game = vlm.game(sample, target="yes")
    expected = ASKED[what](sharp_vlm("llava"), sample, sharp_vlm("llava").game(sample, target="yes"))
    found: list[np.ndarray] = []
    other = threading.Thread(target=lambda: found.append(ASKED[what](vlm, sample, game)))

    def halving(vlm, sample):
        """Halves what every layer adds, and lets another thread ask while it does."""
        handles = [
            layer.mlp.register_forward_hook(lambda module, args, output: output / 2)
            for layer in vlm.model.get_decoder().layers
        ]
        other.start()
        other.join(timeout=1)
        for handle in handles:
            handle.remove()
        return np.arange(vlm.players(sample).n)

    explain(halving, vlm, sample, target="yes")
    other.join()
    np.testing.assert_allclose(found, [expected], atol=1e-6)


@pytest.mark.parametrize("explainer", ["integrated-gradients", "attn-lrp", "grad-cam", "optimised-mask", "tam"])
def test_maps_are_the_same_whatever_modes_pytorch_is_in(explainer: str) -> None:
    expected = explain(explainer, sharp_vlm("llava"), tiny_sample(1), target="yes").scores
    modes = {
        "no_grad": torch.no_grad,
        "inference_mode": torch.inference_mode,
        "autocast": lambda: torch.autocast("cpu", dtype=torch.bfloat16),
    }
    for mode, enter in modes.items():
        vlm = sharp_vlm("llava")
        with enter():  # the sample is seen in it for the first time
            before = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
            found = explain(explainer, vlm, tiny_sample(1), target="yes").scores
            after = torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_autocast_enabled("cpu")
        np.testing.assert_array_equal(found, expected, err_msg=mode)
        assert before == after
