"""Memory that is freed and asked for again."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
import torch

from toolkit.vlm import memory
from toolkit.vlm.memory import Backoff, free_bytes, keep_freed_memory


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


@pytest.mark.parametrize(
    ("lines", "files", "left"),
    [
        ("0::/\n", {"memory.max": "100", "memory.current": "60", "memory.stat": "inactive_file 5\n"}, [45]),
        ("0::/job/step\n", {"job/memory.max": "90", "job/memory.current": "60", "job/memory.stat": ""}, [30]),
        ("0::/job\n", {"job/memory.max": "max", "job/memory.current": "60", "job/memory.stat": ""}, []),
        (
            "4:cpu,cpuacct:/a\n9:memory:/job\n0::/\n",
            {
                "memory/job/memory.limit_in_bytes": "100",
                "memory/job/memory.usage_in_bytes": "80",
                "memory/job/memory.stat": "inactive_file 7\ntotal_inactive_file 9\n",
            },
            [29],
        ),
    ],
)
def test_the_control_groups_of_a_container_or_a_queues_job(
    lines: str, files: dict[str, str], left: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    monkeypatch.setattr(memory, "_GROUPS", tmp_path)
    read = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path: lines if str(path) == "/proc/self/cgroup" else read(path))
    assert memory._groups() == left


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
