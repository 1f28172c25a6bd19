"""Check that a checkpoint is complete: its files, the safetensors headers, and its checksums if it has any."""

from __future__ import annotations

import hashlib
import json
import struct
from collections.abc import Collection
from pathlib import Path

SEAL = "SHA256SUMS"
WEIGHTS = "model.safetensors"
NEEDED = ("config.json", WEIGHTS, "tokenizer.json")
PICKLES = ("*.bin", "*.pt", "*.pth", "*.pkl", "*.ckpt")


def check_model(folder: Path) -> str | None:
    """Why a checkpoint cannot be trusted, or None if it is whole.

    Looks for missing files, pickles, weights shorter or longer than their header says, and, where the folder has a
    ``SHA256SUMS``, for changed files.
    """
    if not folder.is_dir():
        return f"there is no folder {folder}"
    pickles = sorted(path.name for pattern in PICKLES for path in folder.glob(pattern))
    if pickles:
        return f"has pickled files ({', '.join(pickles)}), which are refused: only safetensors are loaded"
    missing = [name for name in NEEDED if not (folder / name).is_file()]
    if missing:
        return f"lacks {', '.join(missing)}"
    try:
        json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        return f"config.json is damaged: {error}"
    return _check_weights(folder / WEIGHTS) or check_seal(folder)


def _check_weights(path: Path) -> str | None:
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(8)
        if start.startswith(b"version "):
            return f"{path.name} is a Git LFS pointer; run git lfs pull"
        length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
        if length > size - 8:
            return f"{path.name} is truncated or not safetensors"
        try:
            header = json.loads(file.read(length))
            end = max(int(entry["data_offsets"][1]) for name, entry in header.items() if name != "__metadata__")
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            return f"{path.name} is not safetensors: {error}"
    if size != 8 + length + end:
        return f"{path.name} has {size:,} bytes, its header says {8 + length + end:,}"
    return None


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def check_seal(folder: Path, *, skip: Collection[str] = (), read: Collection[str] = ()) -> str | None:
    """Which file differs from the folder's ``SHA256SUMS``, or None if none does or there are no checksums.

    Args:
        folder: A checkpoint.
        skip: Names of files that do not matter.
        read: Names of files that decide numbers; one that was added after the sealing is refused.
    """
    seal = folder / SEAL
    if not seal.is_file():
        return None
    lines = [line.partition("  ") for line in seal.read_text(encoding="utf-8").splitlines()]
    added = sorted(set(read) - {name for _, _, name in lines})
    if added:
        return f"{added[0]} was added after it was sealed: it is not among the files of {SEAL}"
    for digest, _, name in lines:
        path = folder / name
        if name in skip:
            continue
        if not path.is_file():
            return f"lacks {name}"
        if _sha256(path) != digest:
            return f"{name} was changed or damaged: its checksum is not the one in {SEAL}"
    return None


def seal_model(folder: Path) -> Path:
    """Write the checksums of a finished checkpoint's files to ``SHA256SUMS`` (the format of ``sha256sum``)."""
    files = sorted(path for path in folder.rglob("*") if path.is_file() and path.name != SEAL)
    lines = [f"{_sha256(path)}  {path.relative_to(folder).as_posix()}" for path in files]
    seal = folder / SEAL
    seal.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return seal
