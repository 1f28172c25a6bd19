"""Memory that is freed and asked for again."""

from __future__ import annotations

import sys

import pytest
import torch

from toolkit.vlm.memory import Backoff, free_bytes, keep_freed_memory


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


def test_a_gpu_that_others_use_has_what_they_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 80 GiB others hold 72: batches are planned with 8, and shrink where that is gone by then."""
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8 << 30, 80 << 30))
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: None)
    assert free_bytes(torch.device("cuda")) == 8 << 30

    def batch(rows: int) -> int:
        if rows > 3:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return rows

    backoff = Backoff(16, torch.device("cuda"))
    assert (backoff.run(batch), backoff.failures) == (2, 3)
    assert backoff.run(batch) == 2
    assert backoff.failures == 3
