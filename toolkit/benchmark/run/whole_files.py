"""Files in the folder of a run: written whole or not at all, and what killed processes leave of them."""

from __future__ import annotations

import os
import re
import time
from contextlib import suppress
from pathlib import Path


class FolderError(OSError):
    """The folder of a run cannot be used; the message says why and what to do."""


def sync_folder(folder: Path) -> None:
    """Have the names of a folder's files survive a power cut, where the system can do that."""
    with suppress(OSError):  # Windows opens no folder, and some network disks sync none
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


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
        sync_folder(path.parent)
    except OSError as error:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise FolderError(error.errno, f"cannot write {path}: {error.strerror}") from error


def make_folder(folder: Path) -> None:
    """Make a folder inside that of a run.

    Raises:
        FolderError: It cannot be made.
    """
    try:
        folder.mkdir(exist_ok=True)
    except OSError as error:
        raise FolderError(error.errno, f"cannot make the folder {folder}: {error.strerror}; move it away") from error


_TEMPORARY = re.compile(r"\..+\.(\d+)\.tmp")
_STALE_SECONDS = 3600.0


def is_temporary(name: str) -> bool:
    """Whether ``write_atomically`` gives such names while it writes."""
    return _TEMPORARY.fullmatch(name) is not None


def clean(folder: Path) -> None:
    """Delete the temporary files that killed processes have left in the folder of a run.

    Those of a process that lives stay, unless they are so old that only the number of the process lives again.
    """
    for path in (path for inside in (".", "tables", "figures") for path in (folder / inside).glob(".*.tmp")):
        match = _TEMPORARY.fullmatch(path.name)
        with suppress(OSError):
            if match is not None and (not _lives(int(match[1])) or time.time() - path.stat().st_mtime > _STALE_SECONDS):
                path.unlink()


def _lives(process: int) -> bool:
    """Whether a process of this number runs on this machine; where that cannot be asked, it may."""
    if os.name != "posix":
        return True
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True
