"""Memory that is freed and asked for again."""

from __future__ import annotations

import sys

import pytest
import torch

from toolkit.vlm.memory import keep_freed_memory


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_freed_memory_is_kept() -> None:
    import resource

    def faults() -> int:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
        for _ in range(20):
            several = [torch.zeros(1 << 20) for _ in range(6)]
            del several
        return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

    keep_freed_memory()
    faults()
    assert faults() < 6 * 1024  # fresh pages each time would be 20 times that
