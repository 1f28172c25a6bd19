"""Records on disk: append-only shards of checked lines, which a crash can shorten but not falsify.

A shard is a JSON Lines file. Every line ends with the CRC-32 of the rest of it, so that damage is told apart from the
one kind of loss that a crash causes: a last line without its newline, which was never promised to anyone.
"""

from __future__ import annotations

import errno
import hashlib
import json
import math
import os
import re
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np

RECORD_SCHEMA = 2

Line: TypeAlias = dict[str, Any]
"""One JSON object of a shard; ``kind`` is ``"header"``, ``"sample"`` or ``"record"``."""

_CRC = re.compile(rb',"crc":"([0-9a-f]{8})"\}$')


class DamagedRecordsError(ValueError):
    """A shard holds a line that no crash explains; the message names file and line."""


class FolderError(OSError):
    """The folder of a run cannot be used; the message says why and what to do."""


def content_key(parts: Mapping[str, Any]) -> str:
    """First 20 hex digits of the SHA-256 of a mapping, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(dict(parts), sort_keys=True).encode()).hexdigest()[:20]


def jsonable(value: Any) -> Any:
    """Plain JSON types of a value made of dicts, sequences, numbers and arrays; a non-finite number becomes None."""
    if isinstance(value, Mapping):
        return {str(key): jsonable(item) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return jsonable(value.tolist())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [jsonable(item) for item in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def encode(line: Line) -> bytes:
    """One checked line, newline included."""
    body = json.dumps(line, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()
    return body[:-1] + b',"crc":"%08x"}\n' % zlib.crc32(body)


def decode(data: bytes) -> Line:
    """The object of one line without its newline.

    Raises:
        ValueError: The check sum is missing or wrong, or the line is not JSON.
    """
    found = _CRC.search(data)
    if found is None:
        raise ValueError("it does not end with a check sum")
    body = data[: found.start()] + b"}"
    if zlib.crc32(body) != int(found.group(1), 16):
        raise ValueError("its check sum does not fit its content")
    line = json.loads(body)
    if not isinstance(line, dict):
        raise ValueError("it is not a JSON object")
    return line


class Shard:
    """An append-only file of lines; ``append`` returns after the lines are on the disk.

    Args:
        path: A file that does not exist yet.
        header: The first line.
    """

    def __init__(self, path: Path, header: Line) -> None:
        self.path = path
        try:
            self._file = path.open("xb", buffering=0)
        except OSError as error:
            raise FolderError(error.errno, f"cannot write records to {path}: {error.strerror}") from error
        self.append([{**header, "kind": "header", "schema": RECORD_SCHEMA}])

    def append(self, lines: Iterable[Line]) -> None:
        """Write lines, flush and sync.

        Raises:
            FolderError: The disk is full or the file cannot be written; the shard ends at its last whole line.
        """
        data = b"".join(encode(line) for line in lines)
        start = self._file.tell()
        try:
            view = memoryview(data)
            while view:
                view = view[self._file.write(view) :]
            os.fsync(self._file.fileno())
        except OSError as error:
            self._file.truncate(start)
            hint = "the disk is full; free some space" if error.errno == errno.ENOSPC else f"{error.strerror}"
            raise FolderError(
                error.errno, f"cannot append to {self.path}: {hint}. What was recorded is kept; run again to resume"
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def __enter__(self) -> Shard:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def read_shard(path: Path) -> Iterator[Line]:
    """Lines of one shard after its header; a torn last line is skipped.

    Raises:
        DamagedRecordsError: Any other damage, or records of another schema.
    """
    with path.open("rb") as file:
        for number, data in enumerate(file, start=1):
            if not data.endswith(b"\n"):
                return  # torn by a crash: only the last line can lack its end
            try:
                line = decode(data[:-1])
            except ValueError as error:
                raise DamagedRecordsError(
                    f"{path}, line {number} is damaged: {error}. Delete the line (its work is done again) or restore it"
                ) from None
            if number == 1:
                _check_header(path, line)
            else:
                yield line


def _check_header(path: Path, line: Line) -> None:
    schema = line.get("schema")
    if line.get("kind") != "header" or not isinstance(schema, int):
        raise DamagedRecordsError(f"{path}, line 1 is damaged: it is not the header of a shard")
    if schema != RECORD_SCHEMA:
        raise DamagedRecordsError(
            f"{path} holds records of schema {schema}, this toolkit ({line.get('toolkit')} wrote them) reads schema "
            f"{RECORD_SCHEMA}: read them with the version that wrote them, or run again into a new folder"
        )


def read_shards(folder: Path) -> list[Line]:
    """All sample and record lines of a run, one per key, in the order of the keys.

    Of several lines with one key (a retried failure) the first successful one counts, else the last.
    """
    lines: dict[str, Line] = {}
    for path in sorted((folder / "shards").glob("*.jsonl")):
        for line in read_shard(path):
            known = lines.get(line["key"])
            if known is None or known["status"] != "ok":
                lines[line["key"]] = line
                if line.get("scores") is not None:  # the bulk of a record, in an eighth of the memory
                    line["scores"] = np.array(line["scores"], dtype=np.float64)
    return [lines[key] for key in sorted(lines)]


def read_statuses(folder: Path) -> dict[str, str]:
    """Status by key of everything that a run has recorded; the numbers themselves are not kept."""
    found: dict[str, str] = {}
    for path in sorted((folder / "shards").glob("*.jsonl")):
        for line in read_shard(path):
            if found.get(line["key"]) != "ok":
                found[line["key"]] = line["status"]
    return found


def write_atomically(path: Path, data: bytes) -> None:
    """Replace a file in one step: readers see the old content or the new one, never a part.

    Raises:
        FolderError: It cannot be written.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise FolderError(error.errno, f"cannot write {path}: {error.strerror}") from error
