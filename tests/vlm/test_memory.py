"""Memory that is freed and asked for again."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
import torch

from toolkit.vlm.memory import Backoff, free_bytes, keep_freed_memory, release


def test_what_this_process_keeps_of_a_gpu_is_free_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (8 << 30, 80 << 30))
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda device: 50 << 30)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda device: 20 << 30)
    assert free_bytes(torch.device("cuda")) == 38 << 30


@pytest.mark.skipif(sys.platform != "linux", reason="the limits of Linux")
def test_a_limit_of_the_process_limits_its_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``ulimit -v`` sets it: with 64 MiB more than is in use, 64 MiB are free."""
    import resource

    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    monkeypatch.setattr(resource, "getrlimit", lambda which: (used + (64 << 20), resource.RLIM_INFINITY))
    assert abs(free_bytes(torch.device("cpu")) - (64 << 20)) < 4 << 20


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


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
def test_what_is_released_goes_back_to_the_system() -> None:
    """Blocks freed between blocks that stay: glibc keeps their pages until it is told."""

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    keep_freed_memory()
    blocks = [torch.ones(1 << 14) for _ in range(2_000)]
    full = resident()
    del blocks[::2]
    freed = 1_000 * (1 << 16)
    assert full - resident() < freed / 4
    release(torch.device("cpu"))
    assert full - resident() > freed / 2
    assert len(blocks) == 1_000


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
