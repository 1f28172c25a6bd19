"""The plan's attention weights are those that the models make."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from support.tiny_models import FAMILIES, tiny_sample, tiny_vlm

from toolkit.explainers.internals.scope import attention_scope
from toolkit.vlm.attention_size import attention_bytes, attention_entries
from toolkit.vlm.loading.sources import stored_config


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("length", [None, 1])
def test_the_largest_layer_is_that_of_the_forward_pass(family: str, length: int | None) -> None:
    """Of the decoder, which sees the whole prompt, and with a prompt of one token of the vision tower."""
    vlm, sample = tiny_vlm(family), tiny_sample()
    box, seen = vlm.white_box(sample, target="yes"), {}

    def look(module, query, key, value, mask, scaling, call):
        kind = "decoder" if query.shape[2] == box.length else "tower"
        seen[kind] = max(seen.get(kind, 0), math.prod(query.shape[:3]) * key.shape[2])
        return call()

    with attention_scope(vlm.model, look):
        box.score(box.pixels, box.question)
    n_image = vlm.view(sample).n_image_tokens
    found = attention_entries(vlm.model.config.to_dict(), n_image, length or box.length)
    assert found == (seen["tower"] if length else max(seen.values()))


def test_half_precision_takes_the_softmax_in_float32() -> None:
    assert [attention_bytes(100, size, copies=3) for size in (2, 4)] == [1000, 1200]


def test_a_configuration_is_found_where_it_is_and_nowhere_else(tmp_path: Path) -> None:
    assert stored_config("tiny-llava-grounded")["model_type"] == "llava"
    assert stored_config("nobody/has-this") is None
    assert stored_config("no such model") is None
    (tmp_path / "config.json").write_text('{"model_type": "x"}')
    assert stored_config(str(tmp_path)) == {"model_type": "x"}
