"""Folders: the data shipped with the toolkit, and the caches that it writes."""

from __future__ import annotations

import os
from pathlib import Path

VARIABLE = "SYNERGY_TOOLKIT_DATA"
CACHE_VARIABLE = "SYNERGY_TOOLKIT_CACHE"


def data_dir() -> Path:
    """The folder that holds ``models/`` and the reference tables.

    Looked for in this order: the folder named by ``$SYNERGY_TOOLKIT_DATA``, ``data/`` beside the package (a checkout),
    ``_data/`` inside the package (an installed wheel).

    Raises:
        FileNotFoundError: None of them exists, or the variable names a folder that does not.
    """
    package = Path(__file__).resolve().parent
    chosen = os.environ.get(VARIABLE)
    if chosen:
        folder = Path(chosen).expanduser()
        if folder.is_dir():
            return folder
        raise FileNotFoundError(f"${VARIABLE} is {chosen!r}, not a folder; unset it or name an existing folder")
    for folder in (package.parent / "data", package / "_data"):
        if (folder / "models").is_dir():
            return folder
    raise FileNotFoundError(
        f"the toolkit's data are neither in {package.parent / 'data'} nor in {package / '_data'}; "
        f"install from a complete checkout, or name the folder in ${VARIABLE}"
    )


def data_path(*parts: str) -> Path:
    """A file or folder of the data, for example ``data_path("models", "tiny-llava-grounded")``.

    Raises:
        FileNotFoundError: It is not there; the message lists its neighbours.
    """
    path = data_dir().joinpath(*parts)
    if not path.exists():
        beside = ", ".join(sorted(p.name for p in path.parent.iterdir())) if path.parent.is_dir() else "nothing"
        raise FileNotFoundError(f"no {'/'.join(parts)!r} among the toolkit's data in {data_dir()}; there is: {beside}")
    return path


def models_dir() -> Path:
    """The folder of the embedded checkpoints."""
    return data_dir() / "models"


def cache_dir() -> Path:
    """``$SYNERGY_TOOLKIT_CACHE``, or where caches lie on this machine (``~/.cache/synergy-toolkit``)."""
    chosen = os.environ.get(CACHE_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "synergy-toolkit"
