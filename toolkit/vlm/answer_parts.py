"""The parts of an answer that can be explained: its tokens, its words, and the whole of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, TypeAlias

import numpy as np

from toolkit.games.target import Contrast, Sentence, Target, TargetError, Token, Word
from toolkit.registry import UnknownNameError
from toolkit.vlm.answer_scoring import Scoring
from toolkit.vlm.answers import Form
from toolkit.vlm.partition import Span, words_of

Per: TypeAlias = Literal["token", "word", "sentence"]
PER: tuple[Per, ...] = ("token", "word", "sentence")


@dataclass(frozen=True)
class AnswerPart:
    """A part of an answer.

    Attributes:
        target: What ``explain`` and ``game`` are asked for.
        text: The part as it stands in the answer.
        span: Where that is, in characters.
        tokens: The first of its tokens, and the first behind it.
    """

    target: Target
    text: str
    span: Span
    tokens: tuple[int, int]


def check_per(per: str) -> Per:
    """Return the kind of parts if there is one of this name.

    Raises:
        UnknownNameError: There is none.
    """
    for known in PER:
        if per == known:
            return known
    raise UnknownNameError("part of an answer", per, PER)


def token_spans(tokenizer: Any, answer: str, form: Form) -> list[Span]:
    """Character span in an answer of each of its tokens; a token that ends inside a character has none.

    Raises:
        TargetError: The tokens spell something else, so that nobody can say which token is which word.
    """
    whole = _decoded(tokenizer, form)
    start = len(whole) - len(whole.lstrip())
    ends = [0]
    for n in range(1, len(form) + 1):
        shown = _decoded(tokenizer, form[:n]).rstrip("\ufffd") if n < len(form) else whole
        if not whole.startswith(shown) or len(shown) < ends[-1]:
            raise TargetError(
                f"the tokenizer cannot split the answer {answer!r} into words: its first {n} tokens spell {shown!r}; "
                "explain the sentence as a whole"
            )
        ends.append(len(shown))
    if whole.strip() != answer.strip():
        raise TargetError(
            f"the tokenizer cannot split the answer {answer!r} into words: its tokens spell {whole.strip()!r}; write "
            "the answer so, or explain the sentence as a whole"
        )
    places = np.clip(np.array(ends) - start, 0, len(answer.strip()))
    return [(int(a), int(b)) for a, b in pairwise(places)]


def parts_of(tokenizer: Any, answer: str, form: Form, per: Per) -> tuple[AnswerPart, ...]:
    """The parts of an answer, in order.

    Raises:
        UnknownNameError: No such parts.
        TargetError: The tokenizer cannot split the answer.
    """
    if check_per(per) == "sentence":
        return (AnswerPart(Sentence(answer), answer, (0, len(answer)), (0, len(form))),)
    spans = token_spans(tokenizer, answer, form)
    owners = np.arange(len(form)) if per == "token" else words_of(answer, spans)
    found = []
    for number in range(int(owners.max()) + 1):
        tokens = np.flatnonzero(owners == number).tolist()
        a, b = _without_blanks(answer, spans[tokens[0]][0], spans[tokens[-1]][1])
        target = Token(answer, number + 1) if per == "token" else Word(answer, number + 1)
        found.append(AnswerPart(target, answer[a:b], (a, b), (tokens[0], tokens[-1] + 1)))
    return tuple(found)


def scoring_of(target: Token | Word | Sentence, form: Form, parts: Sequence[AnswerPart]) -> Scoring:
    """How the target's value is read from the forced answer.

    Raises:
        TargetError: The answer has fewer parts.
    """
    n = len(form)
    if isinstance(target, Sentence):
        return Scoring((form,), (1.0 if target.scale == "sum" else 1 / n,) * n, "nats")
    if target.number > len(parts):
        kind = "tokens" if isinstance(target, Token) else "words"
        raise TargetError(f"there is no {target}: it has {len(parts)} {kind}: {[part.text for part in parts]}")
    a, b = parts[target.number - 1].tokens
    return Scoring((form,), tuple(float(a <= i < b) for i in range(n)), "probability", (a,))


def contrast_of(target: Contrast, one: Form, other: Form) -> Scoring:
    """The log-odds of two forced answers.

    Raises:
        TargetError: They are the same tokens.
    """
    if one == other:
        raise TargetError(f"{target} is always 0: both answers are the same tokens to this model")
    same = next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)) - 1)
    return Scoring((one, other), (1.0,) * len(one) + (-1.0,) * len(other), "nats", (same, same))


def _decoded(tokenizer: Any, form: Form) -> str:
    return str(tokenizer.decode(list(form), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _without_blanks(answer: str, a: int, b: int) -> Span:
    text = answer[a:b]
    return (a + len(text) - len(text.lstrip()), a + len(text.rstrip())) if text.strip() else (a, b)
