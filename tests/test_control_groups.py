"""The limits of a container and of a queue's job, of both versions of control groups."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from toolkit import control_groups
from toolkit.control_groups import memory_left, usable_cores
from toolkit.environment import check_device


def _play(folder: Path, lines: str, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """This process in groups of these names, whose folder has these files."""
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    monkeypatch.setattr(control_groups, "_ROOT", folder)
    read = Path.read_text
    monkeypatch.setattr(Path, "read_text", lambda path: lines if str(path) == "/proc/self/cgroup" else read(path))


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
def test_memory_is_what_every_group_leaves(
    lines: str, files: dict[str, str], left: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _play(tmp_path, lines, files, monkeypatch)
    assert memory_left() == left


@pytest.mark.parametrize(
    ("lines", "files", "cores"),
    [
        ("0::/\n", {"cpu.max": "max 100000\n"}, 8),
        ("0::/\n", {"cpu.max": "150000 100000\n"}, 2),
        ("0::/job/step\n", {"job/cpu.max": "50000 100000\n", "job/step/cpu.max": "max 100000\n"}, 1),
        ("3:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "300000\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 3),
        ("3:cpu,cpuacct:/a\n", {"cpu/a/cpu.cfs_quota_us": "-1\n", "cpu/a/cpu.cfs_period_us": "100000\n"}, 8),
    ],
)
def test_cores_are_those_whose_time_it_may_use(
    lines: str, files: dict[str, str], cores: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _play(tmp_path, lines, files, monkeypatch)
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: set(range(8)), raising=False)
    assert usable_cores() == cores


def test_one_core_of_many_is_told_and_so_are_more_threads_than_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.version, "cuda", None)
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr("toolkit.environment.usable_cores", lambda: 1)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 1)
    assert (check_device().state, check_device().found) == ("ok", "CPU, 1 of 64 cores, 1 thread")
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    assert check_device().state == "note"
    assert check_device().fix.startswith("OMP_NUM_THREADS=1 before Python starts")
