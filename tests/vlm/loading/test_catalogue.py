"""The listing says what is true of the embedded models, and names commits that can be loaded."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from toolkit.scenes.training.tiny import build_tiny
from toolkit.scenes.vocabulary import VOCABULARY
from toolkit.vlm.adapters.families import FAMILIES, adapter_class
from toolkit.vlm.loading.catalogue import CATALOGUE
from toolkit.vlm.loading.checkpoint import check_revision


@pytest.mark.parametrize("family", ["llava", "qwen2.5-vl", "internvl"])
def test_sizes_of_the_embedded_models(family: str) -> None:
    model, _ = build_tiny(family, VOCABULARY, seed=0)
    size = sum(p.numel() for p in model.parameters())
    for twin in ("grounded", "biased", "shortcut"):
        entry = CATALOGUE[f"tiny-{family}-{twin}"]
        assert (entry.parameters, entry.family, entry.source) == (size, family, "embedded")
        assert 2.5e6 < 4 * size < 4.5e6


def test_every_entry_has_an_adapter_and_a_full_commit_or_none() -> None:
    families = {adapter_class(model_type).family for model_type in FAMILIES}
    for name in CATALOGUE:
        entry = CATALOGUE[name]
        assert entry.name == name
        assert entry.family in families
        assert entry.revision is None or re.fullmatch("[0-9a-f]{40}", entry.revision)
        assert entry.licence
        assert entry.verified
        if entry.revision is not None:
            check_revision(name, entry.revision, pinned=True)


def test_memory_need_grows_with_the_width_of_a_weight() -> None:
    entry = CATALOGUE["llava-hf/llava-1.5-7b-hf"]
    assert entry.bytes_needed(2) == pytest.approx(1.2 * 2 * 7_063_427_072)
    assert entry.bytes_needed(4) == pytest.approx(2 * entry.bytes_needed(2))


def test_the_listing_needs_no_torch() -> None:
    code = "import sys; from toolkit.vlm import CATALOGUE; assert len(CATALOGUE) > 6; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
