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
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, TypeAlias

import numpy as np

from toolkit.benchmark.run.whole_files import FolderError, sync_folder

RECORD_SCHEMA = 2

Line: TypeAlias = dict[str, Any]
"""One JSON object of a shard; ``kind`` is ``"header"``, ``"sample"`` or ``"record"``."""

_CRC = re.compile(rb',"crc":"([0-9a-f]{8})"\}$')


class DamagedRecordsError(ValueError):
    """A shard holds a line that no crash explains; the message names file and line."""


def content_key(parts: Mapping[str, Any]) -> str:
    """First 20 hex digits of the SHA-256 of a mapping, independent of the order of its keys."""
    return hashlib.sha256(json.dumps(dict(parts), sort_keys=True).encode()).hexdigest()[:20]


def plain_text(text: str) -> str:
    """A text that UTF-8 can hold: a lone surrogate becomes its escape."""
    return text.encode("utf-8", "backslashreplace").decode()


def jsonable(value: Any, where: str = "") -> Any:
    """Plain JSON types of a value made of dicts, sequences, numbers and arrays; a non-finite number becomes None.

    Raises:
        TypeError: Something else is in it; the message says where.
    """
    if isinstance(value, str):
        return plain_text(value)
    if isinstance(value, Mapping):
        return {plain_text(str(key)): jsonable(item, f"{where}.{key}".strip(".")) for key, item in value.items()}
    if hasattr(value, "tolist"):
        return jsonable(value.tolist(), where)
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [jsonable(item, where) for item in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, int):
        return value
    raise TypeError(f"{where} holds a {type(value).__name__}; expected texts, numbers, and lists or mappings of them")


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
        sync_folder(path.parent)

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
            with suppress(OSError):  # a disk that takes nothing: what is torn there is skipped when it is read
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


@dataclass(frozen=True)
class Owner:
    """The run that shards belong to.

    Attributes:
        toolkit: Version that wrote it.
        fingerprints: Of its specification, and of those that it has grown from.
    """

    toolkit: str
    fingerprints: tuple[str, ...]


def read_shard(path: Path, owner: Owner | None = None) -> Iterator[Line]:
    """Lines of one shard after its header; a torn last line is skipped.

    Args:
        path: The file.
        owner: The run whose shard it must be; None takes it from any run.

    Raises:
        DamagedRecordsError: Any other damage, records of another schema or run, or no file at all.
        FolderError: It cannot be read.
    """
    if not path.is_file():
        raise DamagedRecordsError(f"{path} is not a file; only shards lie there, move it to another place")
    try:
        file = path.open("rb")
    except OSError as error:
        raise FolderError(error.errno, f"cannot read {path}: {error.strerror}; allow it, or copy the folder") from error
    with file:
        for number, data in enumerate(file, start=1):
            if not data.endswith(b"\n"):
                return  # torn by a crash: only the last line can lack its end
            try:
                line = decode(data[:-1])
            except ValueError as error:
                raise DamagedRecordsError(_damage(path, number, data, error)) from None
            if number == 1:
                _check_header(path, line, owner)
            elif not {"key", "status"} <= line.keys():
                raise DamagedRecordsError(f"{path}, line {number} is no record; move the file to another place")
            else:
                yield line


def _damage(path: Path, number: int, data: bytes, error: ValueError) -> str:
    """What is wrong with a line, and the cure that fits."""
    if data.endswith(b"\r\n"):
        return (
            f"{path}, line {number} ends with CR LF: an editor or git has changed the line ends. Restore the file, or "
            "change them back to LF"
        )
    if number > 1:
        return f"{path}, line {number} is damaged: {error}. Delete the line (its work is done again) or restore it"
    if b'"kind":"header"' not in data:
        return f"{path} is not a shard of a benchmark run; move it to another place"
    return f"{path}, line 1 is damaged: {error}. Restore the file, or delete it (its work is done again)"


def _check_header(path: Path, line: Line, owner: Owner | None) -> None:
    schema, toolkit = line.get("schema"), line.get("toolkit")
    if line.get("kind") != "header" or not isinstance(schema, int):
        raise DamagedRecordsError(
            f"{path}, line 1 is not the header of a shard. Restore the file, or delete it (its work is done again)"
        )
    if schema != RECORD_SCHEMA:
        raise DamagedRecordsError(
            f"{path} holds records of schema {schema}, this toolkit ({toolkit} wrote them) reads schema "
            f"{RECORD_SCHEMA}: read them with the version that wrote them, or run again into a new folder"
        )
    if owner is not None and line.get("spec") not in owner.fingerprints:
        raise DamagedRecordsError(
            f"{path} belongs to another run (specification {line.get('spec')}, here it is {owner.fingerprints[-1]}); "
            "move it back to the folder of that run"
        )
    if owner is not None and toolkit != owner.toolkit:
        raise DamagedRecordsError(
            f"{path} was written by toolkit {toolkit}, the run by {owner.toolkit}: numbers of two versions do not mix; "
            "move it to another place"
        )


def shard_paths(folder: Path) -> list[Path]:
    """The shards of a run, in the order of their names."""
    return sorted((folder / "shards").glob("*.jsonl"))


def read_shards(folder: Path, owner: Owner | None = None) -> list[Line]:
    """All sample and record lines of a run, one per key, in the order of the keys.

    Of several lines with one key (a retried failure) the first successful one counts, else the last.

    Raises:
        DamagedRecordsError, FolderError: As ``read_shard``.
    """
    lines: dict[str, Line] = {}
    for path in shard_paths(folder):
        for line in read_shard(path, owner):
            known = lines.get(line["key"])
            if known is None or known["status"] != "ok":
                lines[line["key"]] = line
                if line.get("scores") is not None:  # the bulk of a record, in an eighth of the memory
                    line["scores"] = np.array(line["scores"], dtype=np.float64)
    return [lines[key] for key in sorted(lines)]


def read_statuses(folder: Path, owner: Owner | None = None) -> dict[str, str]:
    """Status by key of everything that a run has recorded; the numbers themselves are not kept.

    Raises:
        DamagedRecordsError, FolderError: As ``read_shard``.
    """
    found: dict[str, str] = {}
    for path in shard_paths(folder):
        for line in read_shard(path, owner):
            if found.get(line["key"]) != "ok":
                found[line["key"]] = line["status"]
    return found
