"""Anybody's question about anybody's picture, checked and turned into a sample."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from collections.abc import Sequence

from toolkit.datasets.pictures import PictureSource, open_picture
from toolkit.datasets.sample import Sample
from toolkit.scenes.vocabulary import CHOICE_INSTRUCTION, EXISTENCE_INSTRUCTION, OPEN_INSTRUCTION

MAX_WORDS = 500
"""Longest question, in words; scoring needs one forward pass per removed set of words."""

MAX_CHARACTERS = 5_000

YES_NO = ("yes", "no")
_BE, _DO, _HAVE = ("is", "are", "was", "were"), ("do", "does", "did"), ("has", "have", "had")
_AUXILIARIES = {*_BE, *_DO, *_HAVE, "can", "could", "will", "would", "should", "may", "might", "must"}
_BIDIRECTIONAL = {*map(chr, range(0x202A, 0x202F)), *map(chr, range(0x2066, 0x206A))}
_LETTERS = "ABCDEFGH"


def load_image_question(
    picture: PictureSource,
    question: str,
    *,
    choices: Sequence[str] | None = None,
    answer: str | None = None,
    instruction: str | None = None,
) -> Sample:
    """Make a sample from your own picture and question.

    With ``choices=None`` the choices are read off the question (``read_choices``): its lettered options, or yes and no
    where it begins with an auxiliary verb, else none, which means a free answer.

    Args:
        picture: A path, a PIL image, or an array (H, W), (H, W, 3) or (H, W, 4), uint8 or float in [0, 1].
        question: One question; options may stand in it.
        choices: Allowed answers, at least two; None reads them off the question.
        answer: The right answer where it is known; one of the choices.
        instruction: How to answer, put behind the question and never removed. None chooses one that fits the choices,
            "" leaves it out.

    Raises:
        PictureError: The picture cannot be used.
        FileNotFoundError: There is no such picture.
        ValueError: The question is empty, too long or has control characters; the answer is not among the choices.
    """
    check_question(question)
    allowed = read_choices(question) if choices is None else _given(choices)
    image = open_picture(picture)
    digest = hashlib.sha256(image.tobytes() + repr(image.size).encode()).hexdigest()[:12]
    asked = hashlib.sha256(question.encode()).hexdigest()[:8]
    return Sample(
        id=f"{digest}-{asked}",
        image=image,
        question=question.strip(),
        instruction=_instruction(allowed) if instruction is None else instruction,
        choices=allowed,
        answer=answer,
        image_id=digest,
        dataset="own",
    )


def check_question(question: str) -> None:
    """Refuse a question that no model could be asked.

    Raises:
        ValueError: Empty, longer than ``MAX_WORDS`` words, or with control characters (line breaks and tabs are fine).
    """
    if not isinstance(question, str):
        raise ValueError(f"the question must be text, got {type(question).__name__}")
    n_words = len(question.split())
    if n_words == 0:
        raise ValueError("the question is empty; expected at least one word")
    if n_words > MAX_WORDS or len(question) > MAX_CHARACTERS:
        raise ValueError(
            f"the question has {n_words:,} words and {len(question):,} characters; "
            f"at most {MAX_WORDS} words and {MAX_CHARACTERS:,} characters can be scored, shorten it"
        )
    for i, character in enumerate(question):
        control = unicodedata.category(character) in ("Cc", "Cs") and character not in "\n\r\t"
        if control or character in _BIDIRECTIONAL:
            name = unicodedata.name(character, "control character")
            raise ValueError(f"the question has U+{ord(character):04X} ({name}) at position {i}; remove it")


def read_choices(question: str) -> tuple[str, ...] | None:
    """The answers that a question itself allows, or None for a free answer.

    * Lettered options in order from A, at least two, written ``(A) red (B) blue``, ``A. red B. blue``, ``A) ..``,
      ``A: ..``, or, behind a question mark, a colon or a line break, bare as in ``what color is it ? A red B blue``:
      the letters.
    * A question that begins with an auxiliary verb (is, are, does, ...) and offers no alternative with "or":
      ``("yes", "no")``.
    """
    marked = _in_order(re.findall(r"(?:^|(?<=[\s(,;]))\(?([A-H])(?:[).:])(?=\s|$)", question))
    tail = re.split(r"[?:\n]", question, maxsplit=1)[1:]
    bare = _in_order(re.findall(r"(?<!\S)([A-H])(?!\S)", tail[0])) if tail else None
    letters = marked or bare
    if letters is not None:
        return letters
    words = re.findall(r"[a-z]+", question.lower())
    if words and words[0] in _AUXILIARIES and "or" not in words:
        return YES_NO
    return None


def _in_order(found: list[str]) -> tuple[str, ...] | None:
    """The letters from the last A on, if there are two or more and none is missing."""
    if "A" not in found:
        return None
    letters = found[len(found) - 1 - found[::-1].index("A") :]
    complete = len(letters) >= 2 and "".join(letters) == _LETTERS[: len(letters)]
    return tuple(letters) if complete else None


def _given(choices: Sequence[str]) -> tuple[str, ...]:
    if isinstance(choices, str):
        raise ValueError(f"choices must be a sequence of answers, got the text {choices!r}; did you mean a list?")
    if not all(isinstance(choice, str) and choice.strip() for choice in choices):
        raise ValueError(f"every choice must be a text of at least one character, got {list(choices)!r}")
    return tuple(choices)


def _instruction(choices: tuple[str, ...] | None) -> str:
    if choices == YES_NO:
        return EXISTENCE_INSTRUCTION
    if choices is not None and "".join(choices) == _LETTERS[: len(choices)]:
        return CHOICE_INSTRUCTION
    return OPEN_INSTRUCTION
