"""The plain path computes the logits that are read, and no others."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.subjects import SUBJECTS, make_subject, sample

from toolkit.vlm.reference import last_logits, plain_batch, plain_logits


@pytest.mark.parametrize("vlm", SUBJECTS, indirect=True)
@pytest.mark.parametrize("continuation", [(), (3, 5)])
def test_only_the_logits_that_are_read_are_computed(vlm, continuation: tuple[int, ...]) -> None:
    view = vlm.view(sample(1))
    seen: list[torch.Size] = []
    head = vlm.model.get_output_embeddings()
    hook = head.register_forward_pre_hook(lambda module, inputs: seen.append(inputs[0].shape))
    try:
        logits = plain_logits(vlm, view, view.pixels, np.ones(view.players.n_text, dtype=bool), continuation)
    finally:
        hook.remove()
    assert [shape[:2] for shape in seen] == [(1, 1 + len(continuation))]
    assert logits.shape == (1 + len(continuation), head.weight.shape[0])


def test_a_class_that_cannot_leave_logits_out_says_so_and_is_read_at_the_end(monkeypatch) -> None:
    vlm = make_subject("random-tiny-llava")
    view, kept = vlm.view(sample(1)), np.ones(vlm.view(sample(1)).players.n_text, dtype=bool)
    expected = plain_logits(vlm, view, view.pixels, kept, (3,))

    class Older(type(vlm.model)):
        def forward(self, input_ids, attention_mask, position_ids, use_cache, pixel_values):
            return super().forward(
                input_ids=input_ids,
                attention_mask=attention_mask,
                position_ids=position_ids,
                use_cache=use_cache,
                pixel_values=pixel_values,
            )

    monkeypatch.setattr(vlm.model, "__class__", Older)
    with pytest.warns(RuntimeWarning, match="Older has no logits_to_keep"):
        found = plain_logits(vlm, view, view.pixels, kept, (3,))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert last_logits(make_subject("random-tiny-llava").model, 2) == {"logits_to_keep": 2}


@pytest.mark.parametrize("vlm", SUBJECTS, indirect=True)
def test_a_batch_is_its_rows(vlm) -> None:
    view, rng = vlm.view(sample(1)), np.random.default_rng(0)
    kept = rng.random((3, view.players.n_text)) < 0.5
    pixels = view.masked(vlm.adapter, "blur", rng.random((3, view.players.n_image)) < 0.5)
    together = plain_batch(vlm, view, pixels, kept, (3, 5))
    for row, words, logits in zip(pixels, kept, together, strict=True):
        torch.testing.assert_close(logits, plain_logits(vlm, view, row, words, (3, 5)), atol=1e-4, rtol=0)
