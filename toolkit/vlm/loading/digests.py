"""Digests that identify a checkpoint's files; those of large files are remembered.

xxh3 with 128 bits tells files apart that differ by accident, at the speed of memory: weights of many gigabytes are read
once more before they are loaded, and a cryptographic digest would take longer than loading them. Against a forger it
is no help; ``SHA256SUMS`` is there for that.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import xxhash
from tqdm import tqdm

from toolkit.vlm.loading.remembered import recall, remember

CHUNK = 64 << 20
"""Bytes that are digested at once; a file's digest is that of its chunks' digests. Larger files are remembered."""

_FRESH_NS = 2 * 10**9
"""A file that was just written may be written again within one tick of the clock; it is not remembered."""

_SHOWN = 1 << 30


def file_digests(folder: Path, names: Sequence[str], *, verify: bool = False) -> dict[str, str]:
    """Digest of each file, 32 hexadecimal digits.

    A large file is known again by its path, size, modification time and inode.

    Args:
        folder: Where the files lie.
        names: Their names.
        verify: Read large files again, whatever is remembered.
    """
    known = {} if verify else {name: _recalled(folder / name) for name in names}
    missing = [name for name in names if not known.get(name)]
    chunks = [(name, *chunk) for name in missing for chunk in _chunks(folder / name)]
    total = sum(length for _, _, length in chunks)
    with (
        ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool,
        tqdm(total=total, desc="identifying the weights", unit="B", unit_scale=True, disable=total < _SHOWN) as bar,
    ):
        parts: dict[str, list[bytes]] = {name: [] for name in missing}
        digested = pool.map(lambda chunk: _chunk_digest(folder / chunk[0], *chunk[1:]), chunks)
        for (name, _, length), part in zip(chunks, digested, strict=True):
            parts[name].append(part)
            bar.update(length)
    found = {name: xxhash.xxh3_128(b"".join(some)).hexdigest() for name, some in parts.items()}
    for name, digest in found.items():
        _remember(folder / name, digest)
    return {name: known.get(name) or found[name] for name in names}


def whole_digest(digests: Mapping[str, str]) -> str:
    """One digest of many, whatever their order."""
    lines = (f"{digest}  {name}\n" for name, digest in sorted(digests.items()))
    return xxhash.xxh3_128("".join(lines).encode()).hexdigest()


def listed(digests: Mapping[str, str]) -> str:
    """Digests as one line of text that names every file."""
    return f"files {whole_digest(digests)[:16]}: " + " ".join(f"{name}={d[:16]}" for name, d in sorted(digests.items()))


def changed_files(before: str, after: str) -> list[str]:
    """Names of the files that differ between two texts that :func:`listed` wrote, or nothing if they are others."""
    old, new = (dict(word.split("=", 1) for word in text.split() if "=" in word) for text in (before, after))
    return [name for name in sorted({*old, *new}) if old.get(name) != new.get(name)]


def _chunks(path: Path) -> Iterator[tuple[int, int]]:
    """Start and length of a file's chunks."""
    size = path.stat().st_size
    return ((start, min(CHUNK, size - start)) for start in range(0, size, CHUNK))


def _chunk_digest(path: Path, start: int, length: int) -> bytes:
    digest = xxhash.xxh3_128()
    with path.open("rb", buffering=0) as file:
        file.seek(start)
        space = memoryview(bytearray(min(length, 1 << 20)))
        while length > 0 and (n := file.readinto(space[:length])):
            digest.update(space[:n])
            length -= n
    return digest.digest()


def _question(path: Path) -> dict[str, object] | None:
    """What a large file is known by; None for one that is read every time."""
    about = path.stat()
    if about.st_size <= CHUNK:
        return None
    place = {"path": str(path.resolve()), "size": about.st_size, "modified": about.st_mtime_ns, "inode": about.st_ino}
    return {"what": "digest of a file", "chunk": CHUNK} | place


def _recalled(path: Path) -> str | None:
    question = _question(path)
    answer = None if question is None else recall(question)
    return None if answer is None else str(answer["digest"])


def _remember(path: Path, digest: str) -> None:
    question = _question(path)
    if question is not None and time.time_ns() - path.stat().st_mtime_ns > _FRESH_NS:
        remember(question, {"digest": digest})
