"""Free memory, a model's need of it, and batches that shrink when it runs out."""

from __future__ import annotations

import ctypes
import gc
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import torch

from toolkit.control_groups import memory_left

T = TypeVar("T")

_OUT_OF_MEMORY = (
    "out of memory",
    "outofmemory",
    "alloc_failed",
    "cublas_status_not_initialized",
    "hipblas_status_not_initialized",
    "cudnn_status_not_supported",
    "nvml_success == r",
    "can't allocate memory",
    "cannot allocate memory",
    "unable to allocate",
    "not enough memory",
    "failed to allocate",
    "bad_alloc",
    "invalid buffer size",
)
"""What CUDA, HIP, cuBLAS, cuDNN, cuSOLVER, MPS and the CPU allocator say, in lower case.

cuBLAS that cannot be initialised, cuDNN that does not support a shape, and the allocator's own check of the driver are
how a full GPU often shows itself first. If it is something else, the smallest batch fails with the same message.
"""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out, on any device."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _OUT_OF_MEMORY)


def release(device: torch.device, *, all_ages: bool = True) -> None:
    """Give unused memory back, to the system too: the C library of Linux keeps what was freed until it is told.

    Args:
        device: Whose memory.
        all_ages: Whether to look for cycles among all objects, which takes a second in a large process, or among the
            young ones only.
    """
    gc.collect(2 if all_ages else 1)
    if device.type == "cuda":
        torch.cuda.empty_cache()
    if os.name == "posix" and (trim := getattr(ctypes.CDLL(None), "malloc_trim", None)):
        trim(0)


def free_bytes(device: torch.device) -> int:
    """Memory in bytes that a new allocation may use.

    Of a GPU what nobody holds, and what this process keeps for its own next allocations. For the CPU the least of what
    the system, the process's control groups (a container, a queue's job) and its own limit (``ulimit -v``) leave.
    """
    if device.type == "cuda":
        kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return int(torch.cuda.mem_get_info(device)[0]) + kept
    if device.type != "cpu":
        return 4 << 30
    known = [n for n in (_meminfo(), *memory_left(), _address_space()) if n is not None]
    return max(0, min(known)) if known else 4 << 30


def format_bytes(size: float) -> str:
    """A size in words.

    Example:
        >>> format_bytes(3 << 29), format_bytes(5 << 20), format_bytes(3000)
        ('1.5 GiB', '5 MiB', '3 KiB')
    """
    if size >= 2**30:
        return f"{size / 2**30:.1f} GiB"
    return f"{size / 2**20:.0f} MiB" if size >= 2**20 else f"{math.ceil(size / 2**10)} KiB"


def _meminfo() -> int | None:
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
    except OSError:
        return None
    found = [int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:")]
    return found[0] if found else None


def _address_space() -> int | None:
    """What the process's own limit leaves; None where it has none."""
    try:
        import resource

        limit = resource.getrlimit(resource.RLIMIT_AS)[0]
        used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (ImportError, OSError, ValueError):
        return None
    return None if limit == resource.RLIM_INFINITY else limit - used


class Backoff:
    """A size that halves whenever memory runs out, and remembers where it ended.

    Args:
        size: Where to start.
        device: Whose memory is released after a failure.

    Attributes:
        size: The size in force now.
        failures: How often memory ran out.
    """

    def __init__(self, size: int, device: torch.device) -> None:
        self.size = size
        self.failures = 0
        self._device = device

    def run(self, attempt: Callable[[int], T], *, smallest: int = 1) -> T:
        """Call ``attempt(size)``, halving the size after each out-of-memory error.

        Raises:
            MemoryError: It fails at the smallest size as well; the message says so, with the original one.
        """
        failed = self.failures
        while True:
            try:
                return attempt(self.size)
            except (RuntimeError, MemoryError) as error:
                if not is_out_of_memory(error):
                    raise
                message = str(error)
            release(self._device, all_ages=self.failures == failed)  # the next failures leave young objects only
            self.failures += 1
            if self.size <= smallest:
                raise MemoryError(
                    f"out of memory on {self._device} even at the smallest batch; use a smaller model or picture, "
                    f"a lower precision, or free memory ({message})"
                )
            self.size = max(smallest, self.size // 2)


def keep_freed_memory() -> None:
    """Have glibc keep up to 64 MiB of what is freed, so that the next batch does not wait for fresh pages.

    Freeing a block that came from the system raises the allocator's thresholds to its size, 32 MiB at most, and twice
    that; the block's pages are never touched. With another allocator nothing happens.
    """
    torch.empty((32 << 20) - (64 << 10), dtype=torch.uint8)
