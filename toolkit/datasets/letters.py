"""Lettered options: find them in a question, and tell them from letters that belong to a name."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

NAMED = r"\b(?:vitamins?|hepatitis|influenza|blood (?:type|group)|mr\.?|mrs\.?|ms\.?|dr\.?|prof\.?|by)[ \t]+"
"""Words after which a letter belongs to a name: vitamin A, hepatitis B, Mr. T. Few, for an option's text may end with
any other word: ``A. a figure B. a group``."""

INITIALS = r"(?<![\w'.])(?:[A-Z]\.\s*){2,}(?=[A-Z][a-z])"
"""Two or more initials before a name: J. K. Rowling."""

_MARKED = re.compile(r"(?:^|(?<=[\s(,;]))(\(?)([A-Z])([).:])(?=\s|$)")
_BARE = re.compile(r"(?<!\S)()([A-Z])()(?!\S)")
_BEFORE = re.compile(NAMED + r"\(?$", re.IGNORECASE)


@dataclass(frozen=True)
class _Mark:
    """A letter that may begin an option.

    Attributes:
        letter: The letter.
        form: What stands around it, ``("(", ")")``; all options of a question are marked alike.
        start: Index of its first character.
        end: Index behind its last.
        before: What stands before it: 2 a line break, 1 another delimiter, 0 anything.
    """

    letter: str
    form: tuple[str, str]
    start: int
    end: int
    before: int


def read_letters(question: str) -> tuple[str, ...] | None:
    """The letters of the options in a question, in order from A, at least two; None where there are none.

    Options are marked alike: ``(A)``, ``A.``, ``A)``, ``A:``, or, behind a question mark, a colon or a line break, with
    the bare letter. The first stands behind a delimiter. A letter is not a mark where a word before it makes it a name
    (vitamin A, hepatitis B) or another mark stands directly before it (J. K. Rowling). Marks that begin a line are
    taken before those behind a comma, and these before marks inside a line. A gap (A, B, D) is no list of options.

    Example:
        >>> read_letters("Who wrote it? A. J. K. Rowling B. C. S. Lewis")
        ('A', 'B')
    """
    marked = _read(question, _marks(question, _MARKED))
    if marked is not None:
        return marked
    tail = re.search(r"[?:\n]", question)
    return None if tail is None else _read(question, _marks(question, _BARE, tail.end()))


def _marks(question: str, pattern: re.Pattern[str], start: int = 0) -> list[_Mark]:
    """Letters of the right form that no word before them and no other mark directly before them makes a name."""
    found: list[_Mark] = []
    ended = -1
    for match in pattern.finditer(question, start):
        before = question[: match.start()]
        if _BEFORE.search(before):
            continue
        follows_mark = ended >= 0 and not question[ended : match.start()].strip()
        ended = match.end()
        if follows_mark:
            continue
        bare = before.rstrip()
        kind = 2 if not bare or "\n" in before[len(bare) :] else 1 if bare[-1] in "?:;,.!" else 0
        found.append(_Mark(match[2], (match[1], match[3]), match.start(), match.end(), kind))
    return found


def _read(question: str, marks: Sequence[_Mark]) -> tuple[str, ...] | None:
    for before in (2, 1, 0):
        for first in reversed([m for m in marks if m.letter == "A" and m.before >= 1]):
            later = [m for m in marks if m.start > first.start and m.form == first.form and m.before >= before]
            chosen = [first]
            for mark in later:
                if len(chosen) < len(LETTERS) and mark.letter == LETTERS[len(chosen)]:
                    chosen.append(mark)
            if len(chosen) >= 2:
                return None if _has_gap(chosen, later) else tuple(mark.letter for mark in chosen)
    return None


def _has_gap(chosen: Sequence[_Mark], marks: Sequence[_Mark]) -> bool:
    """Whether the letter after the next one stands behind the last option, so that one is missing."""
    missing = len(chosen) + 1
    return missing < len(LETTERS) and any(m.letter == LETTERS[missing] and m.start > chosen[-1].start for m in marks)
