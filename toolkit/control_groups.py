"""What Linux lets this process use of memory and cores: the limits of a container or of a queue's job."""

from __future__ import annotations

import math
import os
from pathlib import Path

_ROOT = Path("/sys/fs/cgroup")
_MEMORY = (
    ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    ("memory.max", "memory.current", "inactive_file"),
)
"""Of both versions the files with a group's limit and use, and the statistic that counts what can be taken back."""


def _groups(controller: str) -> list[tuple[Path, int]]:
    """Folders of the control groups that this process is in, and their version; a group's parents limit it too."""
    try:
        lines = Path("/proc/self/cgroup").read_text().splitlines()
    except OSError:
        lines = ["0::/"]
    found = []
    for _, controllers, path in (line.split(":", 2) for line in lines):
        if controllers and controller not in controllers.split(","):
            continue
        base, inside = _ROOT / controller if controllers else _ROOT, Path(path.lstrip("/"))
        found += [(base / folder, 1 if controllers else 2) for folder in (inside, *inside.parents)]
    return found


def memory_left() -> list[int]:
    """Bytes that each control group of this process leaves, of those that have a limit."""
    rooms = []
    for folder, version in _groups("memory"):
        limit_file, used_file, reclaimable = _MEMORY[version - 1]
        try:
            limit, used = ((folder / name).read_text().strip() for name in (limit_file, used_file))
            lines = (folder / "memory.stat").read_text().splitlines()
            cached = sum(int(line.split()[1]) for line in lines if line.startswith(f"{reclaimable} "))
            rooms += [] if limit == "max" else [int(limit) - int(used) + cached]
        except (OSError, ValueError):
            continue
    return rooms


def _quotas() -> list[int]:
    """Cores whose time each control group of this process may use, rounded up, of those that have a limit."""
    cores = []
    for folder, version in _groups("cpu"):
        names = ("cpu.cfs_quota_us", "cpu.cfs_period_us") if version == 1 else ("cpu.max",)
        try:
            quota, period = " ".join((folder / name).read_text().strip() for name in names).split()
            cores += [] if quota in ("max", "-1") else [math.ceil(int(quota) / int(period))]
        except (OSError, ValueError):
            continue
    return cores


def usable_cores() -> int:
    """Cores that this process may use, at least one: those it is bound to, and no more than its groups' time.

    On a shared machine and in a container these are fewer than there are.
    """
    bound = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min([bound, *_quotas()]))
