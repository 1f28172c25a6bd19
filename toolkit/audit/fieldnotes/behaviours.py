"""What is asked of every family: a question, the values that its answer may have, and the probe that finds it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from toolkit.audit.fieldnotes.tiny_families import Family

Seen = tuple[str, float | None]
"""Value of the documented set, and the largest difference of a logit where one was measured."""


@dataclass(frozen=True)
class Behaviour:
    """One column of the table.

    Attributes:
        name: Its name in the records.
        question: What was asked, in one sentence.
        values: Value -> what it says.
        probe: Family -> what was seen.
    """

    name: str
    question: str
    values: dict[str, str]
    probe: Callable[[Family], Seen]


REGISTERED: dict[str, Behaviour] = {}
"""Name -> behaviour; the table's order is in ``probes``."""

EXACT = {"exact": "the same answer", "off": "another answer; the size is the largest difference of a logit"}


def behaviour(values: dict[str, str]) -> Callable[[Callable[[Family], Seen]], Callable[[Family], Seen]]:
    """Register a probe under its own name; the first line of its docstring is the question."""

    def register(probe: Callable[[Family], Seen]) -> Callable[[Family], Seen]:
        name = probe.__name__
        REGISTERED[name] = Behaviour(name, (probe.__doc__ or "").rstrip("."), values, probe)
        return probe

    return register
