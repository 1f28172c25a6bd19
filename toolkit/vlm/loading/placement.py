"""Where a model goes: on which device, in which precision, in four bits or not, and whether it fits there."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from importlib.util import find_spec
from typing import Any

import torch
import transformers

from toolkit.vlm.loading.catalogue import CATALOGUE
from toolkit.vlm.loading.checkpoint import CheckpointError
from toolkit.vlm.loading.sources import Source
from toolkit.vlm.memory import format_bytes, free_bytes

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_SEVERAL = ("balanced", "balanced_low_0", "sequential")
"""What transformers and accelerate take as ``device_map`` to spread a model."""


def check_device(device: str | None) -> torch.device:
    """The device of this name, or the best one there is.

    Raises:
        ValueError: There is no such kind of device, this machine has none, or it is more than one device.
    """
    if device in (None, "auto"):
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if not isinstance(device, str) or device in _SEVERAL or "," in device:
        raise ValueError(
            f"device {device!r} names several devices; the scoring engine needs the whole model on one: name it "
            "('cuda:0'), and where it does not fit, take four_bit=True, dtype='bfloat16' or a smaller model"
        )
    try:
        found = torch.device(device)
    except RuntimeError:
        found = torch.device("meta")
    if found.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"unknown device {device!r}; expected 'cpu', 'cuda', 'cuda:0' or 'mps'")
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[found.type]
    if (found.index or 0) >= there:
        raise ValueError(
            f"device {device!r}: PyTorch sees {there} of its kind here; use device='cpu', or see "
            "python -m toolkit doctor"
        )
    return found


def check_memory(source: Source, dtype: torch.dtype, device: torch.device, *, four_bit: bool = False) -> None:
    """Refuse a model that cannot fit, before anything is read.

    Raises:
        MemoryError: Weights and a fifth more for working space exceed the free memory.
    """
    size, n_parameters = 0.6 if four_bit else dtype.itemsize, source.n_parameters
    needed, free = 1.2 * n_parameters * size, free_bytes(device)
    if needed > free:
        kind = "4-bit" if four_bit else str(dtype).removeprefix("torch.")
        raise MemoryError(
            f"{source.name!r} has {n_parameters / 1e9:.2f} billion weights and needs about {format_bytes(needed)} in "
            f"{kind} with working space; {format_bytes(free)} are free on {device}. Use a smaller model, "
            f"dtype='bfloat16', four_bit=True on a GPU{_other_gpu(device, needed)}, or a larger machine"
        )


def _other_gpu(device: torch.device, needed: float) -> str:
    """Another GPU that would hold so many bytes; a model lies on one."""
    for i in range(torch.cuda.device_count()):
        other = torch.device("cuda", i)
        if device.type == "cuda" and i != (device.index or 0) and free_bytes(other) >= needed:
            return f", device='cuda:{i}', which has room"
    return ""


def check_option(option: str, value: str, known: Iterable[str]) -> None:
    """Refuse a value that an option does not have.

    Raises:
        ValueError: It has not.
    """
    if value not in known:
        raise ValueError(f"unknown {option} {value!r}; expected one of {', '.join(known)}")


def choose_dtype(name: str, dtype: str | None, device: torch.device) -> torch.dtype:
    """The precision of this name; None takes bfloat16 on a GPU, else float32, in which embedded models are everywhere.

    Raises:
        ValueError: There is no such precision.
    """
    if dtype is None:
        is_embedded = name in CATALOGUE and CATALOGUE[name].source == "embedded"
        return torch.bfloat16 if device.type == "cuda" and not is_embedded else torch.float32
    check_option("dtype", dtype, DTYPES)
    return DTYPES[dtype]


def check_bitsandbytes(device: torch.device, subject: str) -> None:
    """Refuse 4-bit weights where they cannot be.

    Raises:
        CheckpointError: There is no GPU, or bitsandbytes is not installed.
    """
    if device.type != "cuda":
        raise CheckpointError(f"{subject} needs a GPU; the device is {device}")
    if find_spec("bitsandbytes") is None:
        raise CheckpointError(f"{subject} needs bitsandbytes; install the 'gpu' extra")


def four_bit_options(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    """What the loader is told of 4-bit weights, with a warning of what else they change; raises as the check above."""
    check_bitsandbytes(device, "four_bit")
    warnings.warn(
        "four_bit quantises the image tower and the projector as well as the words' layers (field note "
        "'left_out_of_quantisation'): a map explains the 4-bit model, not the one that it was made of",
        stacklevel=3,
    )
    settings_class: Any = transformers.BitsAndBytesConfig
    settings = settings_class(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    return {"quantization_config": settings, "device_map": {"": device}}
