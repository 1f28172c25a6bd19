"""Swap two cells of the picture in a model that knows no order of cells: every map swaps them too, and nothing else.

A real LLaVA is made such a model: the two cells take their position embeddings along in the vision tower, and the
decoder gives all image tokens one position and lets each look at each.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from PIL import Image
from support.tiny_models import sharp_vlm, tiny_sample

from toolkit.explainers import explain, get_explainer
from toolkit.explainers.integrated_gradients import IntegratedGradients
from toolkit.explainers.llava_cam import LlavaCam
from toolkit.explainers.optimised_mask import OptimisedMask
from toolkit.explainers.smoothgrad import SmoothGrad
from toolkit.explainers.tam import Tam
from toolkit.vlm.engine import decoder
from toolkit.vlm.model import LoadedVLM

ONE, OTHER = 8, 21
METHODS = {
    "integrated-gradients": IntegratedGradients(steps=8),
    "smoothgrad": SmoothGrad(samples=1, level=0.0),  # the noise of a cell does not move with it
    "llava-cam": LlavaCam(samples=1, level=0.0),
    "optimised-mask": OptimisedMask(steps=4),
    "tam": Tam(window=1),  # the filter mixes neighbours, so it knows where cells lie
} | {n: get_explainer(n) for n in (
    "input-x-gradient", "grad-cam", "attn-lrp", "rollout", "grad-rollout", "attention-last", "attention-sinks", "atman",
)}  # fmt: skip


def swapped_picture():
    sample = tiny_sample()
    cells = np.asarray(sample.image).reshape(6, 16, 6, 16, 3).swapaxes(1, 2).reshape(36, 16, 16, 3).copy()
    cells[[ONE, OTHER]] = cells[[OTHER, ONE]]
    picture = cells.reshape(6, 6, 16, 16, 3).swapaxes(1, 2).reshape(96, 96, 3)
    return dataclasses.replace(sample, image=Image.fromarray(picture))


@pytest.fixture(scope="module")
def models() -> Iterator[tuple[LoadedVLM, LoadedVLM]]:
    """The model, and the same with the position embeddings of two cells swapped; token 0 is the class token.

    For both a picture is a set: its tokens have one position, and each looks at each.
    """

    def swap(name: str, rows: torch.nn.Parameter) -> None:
        if "position_embedding" in name:
            rows[[1 + ONE, 1 + OTHER]] = rows[[1 + OTHER, 1 + ONE]].clone()

    plain, moved = sharp_vlm("llava"), sharp_vlm("llava", change=swap)
    image, decode = plain.white_box(tiny_sample(), target="yes").image_positions, decoder.decode

    def unordered(model, rows, mask, positions, *where):
        mask, positions = mask.clone(), positions.clone()
        mask[:, image[:, None], image] = True
        positions[..., image] = positions[..., image[:1]]
        return decode(model, rows, mask, positions, *where)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(decoder, "decode", unordered)
        yield plain, moved


@pytest.mark.parametrize("name", sorted(METHODS))
def test_swapping_two_cells_swaps_the_map(name: str, models: tuple[LoadedVLM, LoadedVLM]) -> None:
    before = explain(METHODS[name], models[0], tiny_sample(), target="yes", baseline="mean")
    after = explain(METHODS[name], models[1], swapped_picture(), target="yes", baseline="mean")
    expected = before.scores.copy()
    expected[[ONE, OTHER]] = expected[[OTHER, ONE]]
    size = np.abs(expected).max()
    np.testing.assert_allclose(after.scores, expected, atol=1e-4 * size)
    assert abs(before.scores[ONE] - before.scores[OTHER]) > 1e-3 * size, "two cells that differ"
