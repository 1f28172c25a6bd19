"""Names that an option takes, separated by commas."""

from __future__ import annotations


def names_of(option: str, text: str) -> list[str]:
    """The names in what an option was given.

    Args:
        option: The option, for the message.
        text: What it was given.

    Raises:
        ValueError: There is none.

    Example:
        >>> names_of("--model", "a, b,")
        ['a', 'b']
    """
    found = [name.strip() for name in text.split(",") if name.strip()]
    if not found:
        raise ValueError(f"{option} {text!r}: expected names separated by commas")
    return found
