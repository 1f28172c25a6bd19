"""A store of coalition values on disk, so that a second metric, a rerun or a slider costs nothing.

One file per forced answer of a sample, named by the digest of everything that its values depend on: checkpoint,
preprocessing, precision, the arrays that picture, question and baseline became, the answer's tokens, and the code and
libraries that computed them. A file of another identity is never read; a damaged one counts as absent. Files hold
coalitions, values and digests, no picture.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import time
import zipfile
import zlib
from collections.abc import Mapping
from contextlib import suppress
from functools import cache
from math import isfinite
from pathlib import Path
from typing import NamedTuple, TypeAlias

import numpy as np

from toolkit.paths import cache_dir

_FORMAT = 3
_STALE_NS = 3600 * 10**9
_WRITERS = 8
_DAMAGE = (OSError, ValueError, TypeError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged archive raises; a damaged header may claim encryption or another compression."""


Entry: TypeAlias = tuple[float, ...]
"""What is known of one coalition: the log-probability of every forced answer token."""


class _File(NamedTuple):
    used: int
    size: int
    path: Path


class CoalitionStore:
    """Values by forced answer and coalition, in a folder of bounded size.

    Several processes may use one folder: a file is always whole, and where two write the same game at the same time
    the values of one of them are computed again one day.

    Args:
        folder: Where the files lie; made on first use.
        max_bytes: When the files exceed this, the least recently used ones go until a tenth is free again.

    Raises:
        ValueError: The bound is not positive.
    """

    def __init__(self, folder: str | Path, *, max_bytes: int = 1 << 30) -> None:
        if max_bytes <= 0:
            raise ValueError(f"max_bytes is {max_bytes}; expected a positive number")
        self.folder = Path(folder).expanduser()
        self.max_bytes = max_bytes
        self._free: int | None = None
        self._added = 0

    def recall(self, identity: Mapping[str, object]) -> dict[bytes, Entry]:
        """All known values of one answer, by packed coalition."""
        path = self._path(identity)
        if not path.is_file():
            return {}
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                if str(file["identity"]) != _canonical(identity):
                    return {}
                coalitions, values = file["coalitions"], file["values"]
            found = {row.tobytes(): tuple(value) for row, value in zip(coalitions, values.tolist(), strict=True)}
        except _DAMAGE:
            return {}
        with suppress(OSError):
            os.utime(path)
        return found

    def keep(self, identity: Mapping[str, object], values: Mapping[bytes, Entry]) -> None:
        """Add values to one answer's file, whole or not at all; values that are not finite are not kept.

        Raises:
            OSError: The folder cannot be written.
        """
        merged = self.recall(identity) | {key: value for key, value in values.items() if all(map(isfinite, value))}
        if not merged:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(identity)
        grown = -_size(path)
        handle, temporary = tempfile.mkstemp(dir=self.folder, suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(
                    file,
                    coalitions=np.frombuffer(b"".join(merged), dtype=np.uint8).reshape(len(merged), -1),
                    values=np.array(list(merged.values()), dtype=np.float64),
                    identity=np.array(_canonical(identity)),
                )
            grown += _size(Path(temporary))
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        self._bound(path, grown)

    def clear(self) -> None:
        """Delete every file of the store."""
        for file in (*self._files(".npz"), *self._files(".partial")):
            file.path.unlink(missing_ok=True)
        self._free = None

    def size(self) -> int:
        """Bytes on disk."""
        return sum(file.size for file in self._files(".npz"))

    def _files(self, suffix: str) -> list[_File]:
        """Files of the folder, the least recently used first; other processes may delete some meanwhile."""
        found = []
        for path in self.folder.glob(f"*{suffix}"):
            with suppress(FileNotFoundError):
                about = path.stat()
                found.append(_File(about.st_mtime_ns, about.st_size, path))
        return sorted(found)

    def _path(self, identity: Mapping[str, object]) -> Path:
        return self.folder / f"{hashlib.sha256(_canonical(identity).encode()).hexdigest()}.npz"

    def _bound(self, latest: Path, grown: int) -> None:
        """Delete the least recently used files where the folder has grown too large.

        The folder is listed when this process has added an eighth of what was free at the last look, so that eight
        processes that write at the same time keep the bound together.
        """
        self._added += grown
        if self._free is not None and self._added <= self._free / _WRITERS:
            return
        now = time.time_ns()
        for file in self._files(".partial"):
            if now - file.used > _STALE_NS:  # its writer was killed
                file.path.unlink(missing_ok=True)
        files = self._files(".npz")
        total = sum(file.size for file in files)
        for file in files if total > self.max_bytes else ():
            if total <= 0.9 * self.max_bytes:
                break
            if file.path != latest:
                total -= file.size
                file.path.unlink(missing_ok=True)
        self._free, self._added = max(0, self.max_bytes - total), 0


def _size(path: Path) -> int:
    """Bytes of a file; 0 where there is none, or none any more."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def default_store() -> CoalitionStore:
    """The store in the user's cache; see :func:`toolkit.paths.cache_dir`."""
    return CoalitionStore(cache_dir() / "coalitions")


@cache
def code_identity() -> dict[str, str]:
    """What computes values besides the model: the files of ``toolkit.vlm`` and of the baselines, and the libraries."""
    import torch
    import transformers

    import toolkit.datasets.baselines

    digest = hashlib.sha256()
    for path in (*sorted(Path(__file__).parents[1].rglob("*.py")), Path(toolkit.datasets.baselines.__file__)):
        digest.update(path.read_bytes())
    return {"code": digest.hexdigest(), "torch": torch.__version__, "transformers": transformers.__version__}


def _canonical(identity: Mapping[str, object]) -> str:
    return json.dumps({"format": _FORMAT, **identity}, sort_keys=True, default=str)
