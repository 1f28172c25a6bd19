"""A store of coalition values on disk, so that a second metric, a rerun or a slider costs nothing.

One file per game, named by the digest of everything that its values depend on: checkpoint, preprocessing, precision,
picture, question, target, baseline. A file of another identity is never read; a damaged one counts as absent.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

_FORMAT = 1


class CoalitionStore:
    """Values by game and coalition, in a folder of bounded size.

    Args:
        folder: Where the files lie; made on first use.
        max_bytes: When the files exceed this, the least recently used ones go.

    Raises:
        ValueError: The bound is not positive.
    """

    def __init__(self, folder: str | Path, *, max_bytes: int = 1 << 30) -> None:
        if max_bytes <= 0:
            raise ValueError(f"max_bytes is {max_bytes}; expected a positive number")
        self.folder = Path(folder).expanduser()
        self.max_bytes = max_bytes

    def recall(self, identity: Mapping[str, object], keys: Sequence[bytes]) -> dict[bytes, float]:
        """Known values among the packed coalitions of one game."""
        stored = self._read(identity)
        return {key: stored[key] for key in keys if key in stored}

    def keep(self, identity: Mapping[str, object], values: Mapping[bytes, float]) -> None:
        """Add values to one game's file, whole or not at all.

        Raises:
            OSError: The folder cannot be written.
        """
        merged = self._read(identity) | dict(values)
        coalitions = np.frombuffer(b"".join(merged), dtype=np.uint8).reshape(len(merged), -1)
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self._path(identity)
        handle, temporary = tempfile.mkstemp(dir=self.folder, suffix=".partial")
        try:
            with os.fdopen(handle, "wb") as file:
                np.savez_compressed(
                    file,
                    coalitions=coalitions,
                    values=np.array(list(merged.values()), dtype=np.float64),
                    identity=np.array(_canonical(identity)),
                )
            os.replace(temporary, path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
        self._shrink(path)

    def clear(self) -> None:
        """Delete every file of the store."""
        for path in self._files():
            path.unlink(missing_ok=True)

    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self._files())

    def _files(self) -> list[Path]:
        return sorted(self.folder.glob("*.npz")) if self.folder.is_dir() else []

    def _path(self, identity: Mapping[str, object]) -> Path:
        return self.folder / f"{hashlib.sha256(_canonical(identity).encode()).hexdigest()}.npz"

    def _read(self, identity: Mapping[str, object]) -> dict[bytes, float]:
        path = self._path(identity)
        if not path.is_file():
            return {}
        try:
            with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
                if str(file["identity"]) != _canonical(identity):
                    return {}
                coalitions, values = file["coalitions"], file["values"]
        except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
            return {}
        os.utime(path)
        return {row.tobytes(): float(value) for row, value in zip(coalitions, values, strict=True)}

    def _shrink(self, latest: Path) -> None:
        files = sorted(((path.stat().st_mtime_ns, path) for path in self._files()), key=lambda pair: pair[0])
        total = sum(path.stat().st_size for _, path in files)
        for _, path in files:
            if total <= self.max_bytes:
                return
            if path != latest:
                total -= path.stat().st_size
                path.unlink(missing_ok=True)


def default_store() -> CoalitionStore:
    """The store in ``$SYNERGY_TOOLKIT_CACHE``, or where caches lie on this machine (``~/.cache/synergy-toolkit``)."""
    base = os.environ.get("SYNERGY_TOOLKIT_CACHE")
    if base:
        return CoalitionStore(Path(base) / "coalitions")
    caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return CoalitionStore(Path(caches) / "synergy-toolkit" / "coalitions")


def _canonical(identity: Mapping[str, object]) -> str:
    return json.dumps({"format": _FORMAT, **identity}, sort_keys=True, default=str)
