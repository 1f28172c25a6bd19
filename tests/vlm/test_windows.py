"""Windows in batches give what windows one by one give, and the tower is left as it was."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from subjects import make_subject, sample

from toolkit.vlm.windows import batched_windows, window_attention


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
    assert vlm.model.model.visual.config._attn_implementation == "sdpa"
    assert torch.equal(torch.cat(vlm.model.get_image_features(**inputs).pooler_output), one_by_one)


def test_an_error_leaves_the_tower_as_it_was() -> None:
    tower = make_subject("random-tiny-qwen2.5-vl").model.model.visual
    with pytest.raises(RuntimeError, match="inside"), batched_windows(tower):
        raise RuntimeError("inside")
    assert tower.config._attn_implementation == "sdpa"


def test_windows_by_hand() -> None:
    q, k, v = torch.randn(3, 1, 2, 9, 4, generator=torch.Generator().manual_seed(0))
    bounds = [0, 2, 5, 5, 7, 9]
    out, _ = window_attention(torch.nn.Identity(), q, k, v, scaling=0.5, cu_seq_lens_q=torch.tensor(bounds))
    for a, b in pairwise(bounds):
        weights = (q[0, :, a:b] @ k[0, :, a:b].transpose(1, 2) * 0.5).softmax(-1)
        torch.testing.assert_close(out[0, a:b].transpose(0, 1), weights @ v[0, :, a:b], atol=1e-6, rtol=1e-5)
    with pytest.raises(ValueError, match="cu_seq_lens_q"):
        window_attention(torch.nn.Identity(), q, k, v)
