"""Windows in batches give what windows one by one give, and the tower is left as it was."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from support.subjects import make_subject, sample

from toolkit.vlm.engine.batched_windows import batched_windows, window_attention


@pytest.mark.parametrize("name", ["random-tiny-qwen2.5-vl", "released-qwen2.5-vl"])
@pytest.mark.parametrize("size", [(120, 120), (640, 480), (1000, 100)])
@torch.inference_mode()
def test_the_tower_computes_the_same(name: str, size: tuple[int, int]) -> None:
    vlm = make_subject(name)
    views = [vlm.view(sample(seed, size)) for seed in (1, 2)]
    inputs = vlm.adapter.pixel_inputs(torch.stack([view.pixels for view in views]), views[0].geometry)
    one_by_one = torch.cat(vlm.model.get_image_features(**inputs).pooler_output)
    with batched_windows(vlm.model.model.visual):
        together = torch.cat(vlm.model.get_image_features(**inputs).pooler_output)
    torch.testing.assert_close(together, one_by_one, atol=1e-5, rtol=1e-4)
    assert torch.equal(torch.cat(vlm.model.get_image_features(**inputs).pooler_output), one_by_one)


def test_an_error_leaves_the_tower_as_it_was() -> None:
    tower = make_subject("random-tiny-qwen2.5-vl").model.model.visual
    with pytest.raises(RuntimeError, match="inside"), batched_windows(tower):
        raise RuntimeError("inside")
    assert not any("forward" in vars(module) for module in tower.modules())


def test_pictures_of_different_grids_are_laid_out_one_by_one() -> None:
    vlm = make_subject("released-qwen2.5-vl")
    views = [vlm.view(sample(seed, size)) for seed, size in ((1, (120, 120)), (2, (640, 480)))]
    inputs = [vlm.adapter.pixel_inputs(view.pixels[None], view.geometry) for view in views]
    both = {key: torch.cat([one[key] for one in inputs]) for key in inputs[0]}
    with torch.inference_mode():
        expected = torch.cat(vlm.model.get_image_features(**both).pooler_output)
        with batched_windows(vlm.model.model.visual):
            found = torch.cat(vlm.model.get_image_features(**both).pooler_output)
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("bounds", [[0, 2, 5, 5, 7, 9], [0, 3, 6, 9], [0, 9]])
def test_windows_by_hand(bounds: list[int]) -> None:
    q, k, v = torch.randn(3, 9, 2, 4, generator=torch.Generator().manual_seed(0))
    out = window_attention(q, k, v, bounds, 0.5)
    for a, b in pairwise(bounds):
        weights = (q[a:b].transpose(0, 1) @ k[a:b].permute(1, 2, 0) * 0.5).softmax(-1)
        torch.testing.assert_close(out[a:b].transpose(0, 1), weights @ v[a:b].transpose(0, 1), atol=1e-6, rtol=1e-5)
