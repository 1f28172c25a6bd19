"""What of an answer is explained: the whole of it, a token, a word, a sentence, or one answer rather than another.

A target has one written form, ``str(target)``, which stands in games, attributions, records and on the command line;
``read_target`` gives the object back. Any other text is an answer, of which the probability is explained.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Literal, TypeAlias

Scale: TypeAlias = Literal["sum", "mean"]
Unit: TypeAlias = Literal["probability", "nats"]


class TargetError(ValueError):
    """A target that cannot be explained; the message says why."""


@dataclass(frozen=True)
class Token:
    """One token of an answer: v = P(token | the answer before it), in [0, 1].

    Attributes:
        answer: The whole answer.
        number: Which token, counted from 1.

    Example:
        >>> from toolkit.games.target import Token
        >>> str(Token("a red circle", 2))
        'token 2 of "a red circle"'
    """

    answer: str
    number: int

    def __post_init__(self) -> None:
        _check(self.answer, self.number)

    def __str__(self) -> str:
        return f"token {self.number} of {_quoted(self.answer)}"


@dataclass(frozen=True)
class Word:
    """One word of an answer: v = P(all its tokens | the answer before it), in [0, 1].

    Attributes:
        answer: The whole answer.
        number: Which word, counted from 1; a sign that stands between words is one too.

    Example:
        >>> from toolkit.games.target import Word
        >>> str(Word("a red circle", 2))
        'word 2 of "a red circle"'
    """

    answer: str
    number: int

    def __post_init__(self) -> None:
        _check(self.answer, self.number)

    def __str__(self) -> str:
        return f"word {self.number} of {_quoted(self.answer)}"


@dataclass(frozen=True)
class Sentence:
    """A whole answer, forced token by token: v = sum or mean over its tokens of log P(token | before), in nats, <= 0.

    Attributes:
        answer: The answer.
        scale: ``"sum"``, the log-probability of the answer, or ``"mean"``, which does not grow with its length.

    Example:
        >>> from toolkit.games.target import Sentence
        >>> str(Sentence("a red circle"))
        'mean of log-probabilities of "a red circle"'
    """

    answer: str
    scale: Scale = "mean"

    def __post_init__(self) -> None:
        _check(self.answer)
        if self.scale not in ("sum", "mean"):
            raise TargetError(f"the scale of a sentence is 'sum' or 'mean' of log-probabilities, got {self.scale!r}")

    def __str__(self) -> str:
        return f"{self.scale} of log-probabilities of {_quoted(self.answer)}"


@dataclass(frozen=True)
class Contrast:
    """One answer rather than another: v = log P(answer) - log P(against), the log-odds, in nats; 0 where they are even.

    Attributes:
        answer: The answer.
        against: The other one.

    Example:
        >>> from toolkit.games.target import Contrast
        >>> str(Contrast("yes", "no"))
        '"yes" rather than "no"'
    """

    answer: str
    against: str

    def __post_init__(self) -> None:
        _check(self.answer)
        _check(self.against)
        if self.answer.strip() == self.against.strip():
            raise TargetError(f"a contrast needs two different answers, got {self.answer!r} twice")

    def __str__(self) -> str:
        return f"{_quoted(self.answer)} rather than {_quoted(self.against)}"


Target: TypeAlias = Token | Word | Sentence | Contrast

_QUOTED = r'("(?:[^"\\]|\\.)*")'
_PART = re.compile(rf"(token|word) ([1-9]\d*) of {_QUOTED}", re.DOTALL)
_WHOLE = re.compile(rf"(sum|mean) of log-probabilities of {_QUOTED}", re.DOTALL)
_ODDS = re.compile(rf"{_QUOTED} rather than {_QUOTED}", re.DOTALL)


def read_target(written: str) -> Target | str:
    """The target that was written, or the text itself where it is an answer.

    Raises:
        TargetError: It is written as a target, of an answer that is none.

    Example:
        >>> from toolkit.games.target import read_target
        >>> read_target('"yes" rather than "no"')
        Contrast(answer='yes', against='no')
        >>> read_target("yes")
        'yes'
    """
    if found := _PART.fullmatch(written):
        kind = Token if found[1] == "token" else Word
        return kind(json.loads(found[3]), int(found[2]))
    if found := _WHOLE.fullmatch(written):
        return Sentence(json.loads(found[2]), "sum" if found[1] == "sum" else "mean")
    if found := _ODDS.fullmatch(written):
        return Contrast(json.loads(found[1]), json.loads(found[2]))
    return written


def unit_of(target: Target | str) -> Unit:
    """The unit of v: ``"probability"``, in [0, 1], or ``"nats"``, the logarithm of one or of a ratio of two.

    Example:
        >>> from toolkit.games.target import unit_of
        >>> unit_of("yes"), unit_of('"yes" rather than "no"')
        ('probability', 'nats')
    """
    found = read_target(target) if isinstance(target, str) else target
    return "nats" if isinstance(found, Sentence | Contrast) else "probability"


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _check(answer: str, number: int = 1) -> None:
    if not isinstance(answer, str) or not answer.strip():
        raise TargetError(f"the explained answer is {answer!r}; expected a text with at least one word")
    if isinstance(number, bool) or not isinstance(number, int) or number < 1:
        raise TargetError(f"words and tokens of an answer are counted from 1, got {number!r}")
