"""Checks of arguments: each says what was expected and what was got."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from reprlib import repr as short
from typing import Any

import numpy as np


def check_text(what: str, value: object) -> None:
    """Refuse what is no text that a file can hold.

    Raises:
        ValueError: Something else, or half a character.
    """
    if not isinstance(value, str):
        raise ValueError(f"{what} must be text, got {short(value)}")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"{what} has half a character (U+{ord(value[error.start]):04X}) at position {error.start}; remove it"
        ) from None


def check_whole(what: str, value: object, least: int = 0) -> None:
    """Refuse what is no whole number of at least ``least``.

    Raises:
        ValueError: Something else.
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{what} must be a whole number of at least {least}, got {short(value)}")


def check_list(what: str, value: object) -> None:
    """Refuse what is no list, a text among them.

    Raises:
        TypeError: Something else.
    """
    if isinstance(value, str | bytes) or not isinstance(value, Sequence):
        raise TypeError(f"{what} must be a list, got {short(value)}; a single one is a list of one")


def check_callable(what: str, value: object) -> None:
    """Refuse what cannot be called; None may stay.

    Raises:
        TypeError: Something else.
    """
    if value is not None and not callable(value):
        raise TypeError(f"{what} must be a function or None, got {short(value)}")


def as_path(what: str, value: Any) -> Path:
    """The path of a text or path, ``~`` expanded.

    Raises:
        ValueError: Something else, or what no file can be called.
    """
    if not isinstance(value, str | Path):
        raise ValueError(f"{what} must be a path, got {short(value)}")
    check_text(what, str(value))
    if "\0" in str(value) or not str(value).strip():
        raise ValueError(f"{what} must be a path, got {short(str(value))}; no file is called so")
    try:
        return Path(value).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{what} is {short(str(value))}, and there is no such user; give the whole path") from error
