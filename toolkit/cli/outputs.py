"""Output files of a command, checked before it computes: writable, and nothing foreign overwritten."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

GENERATOR = 'content="vlm-synergy-toolkit"'
"""By this a page of ours is known."""


def check_page(out: Path, *, force: bool = False) -> Path:
    """The page's path, if it can be written and what is there now may go.

    Args:
        out: The page to write.
        force: Overwrite a file that the toolkit did not write.

    Raises:
        ValueError: It does not end in .html, or is a folder.
        FileExistsError: There is a file which the toolkit did not write.
        OSError: Its folder does not exist or cannot be written.
    """
    if out.suffix.lower() not in (".html", ".htm"):
        raise ValueError(f"--out {str(out)!r}: expected a name that ends in .html")
    if out.is_dir():
        raise ValueError(f"--out {str(out)!r} is a folder; give a file name")
    if not out.parent.is_dir():
        raise FileNotFoundError(f"--out {str(out)!r}: there is no folder {str(out.parent)!r}")
    if out.exists() and not force and GENERATOR not in out.read_text(encoding="utf-8", errors="replace")[:1000]:
        raise FileExistsError(f"--out {str(out)!r} exists and was not written by the toolkit; choose another name")
    _check_writable(out.parent, out)
    return out


def check_folder(out: Path) -> Path:
    """The folder's path, if it is a folder or can become one.

    Raises:
        NotADirectoryError: It is a file, or lies below one.
        OSError: It cannot be made or written.
    """
    nearest = next(path for path in (out, *out.absolute().parents) if path.exists())
    if not nearest.is_dir():
        raise NotADirectoryError(f"--out {str(out)!r}: {str(nearest)!r} is a file; give a folder")
    _check_writable(nearest, out)
    return out


def check_model_folder(out: Path, name: str, *, force: bool = False) -> Path:
    """The folder's path, if a finished model may be written there: it is new, empty, or holds this model already.

    Args:
        out: The folder.
        name: Name of the embedded model that will be written.
        force: Write into a folder that holds something else, too; files of the same names go.

    Raises:
        FileExistsError: It holds something else.
        NotADirectoryError, OSError: As ``check_folder``.
    """
    check_folder(out)
    if force or not out.is_dir() or not any(out.iterdir()):
        return out
    held = _held_model(out)
    if held != name:
        what = "things that are no embedded model" if held is None else f"the model {held!r}"
        raise FileExistsError(
            f"--out {str(out)!r} holds {what}; choose a new folder, or --force to write {name!r} over it"
        )
    return out


def _held_model(folder: Path) -> str | None:
    """Name of the embedded model in a folder, as its evaluation says, or None."""
    try:
        numbers = json.loads((folder / "evaluation.json").read_text(encoding="utf-8"))
        return str(numbers["recipe"]["name"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _check_writable(folder: Path, out: Path) -> None:
    try:
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        raise OSError(
            f"--out {str(out)!r}: {str(folder)!r} cannot be written ({error.strerror}); choose another place"
        ) from error


def on_one_line(text: str) -> str:
    """A model's own words for a terminal: line breaks become blanks, and what would steer the terminal is replaced."""
    return "".join(c if c.isprintable() else "\ufffd" for c in " ".join(text.split()))
