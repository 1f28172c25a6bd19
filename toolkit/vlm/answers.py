"""What a model answers: surface forms of the choices, tokenised at the place of the answer, and their probabilities.

A choice can be written in several ways ("yes", "Yes", " yes"; "A", "(A", "A."). Two rules make one probability of them:

* ``best``: one way of writing for all choices, the one whose forms are most probable in sum. Games explain this.
* ``sum``: P(choice) = sum over its forms f of P(f), over the ways of writing in which every choice can be said. A form
  that begins with another form of the choice is left out, since it is counted in that one already, and so is one that
  two choices share, since it says neither.

Where the choices are capital letters, neither rule writes a small letter without a bracket before it: "a" and "i" are
words, with which a model may begin another answer.

Where the tokens of one choice begin those of another (red, red circle; 1, 10), P(red) would hold P(red circle): then
every form of the sample is scored with the end of the answer behind it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from toolkit.registry import UnknownNameError
from toolkit.vlm.engine.request import Query, Request
from toolkit.vlm.prompt import Prompt, unknown_words
from toolkit.vlm.protocol import Answer
from toolkit.vlm.view import View

Form: TypeAlias = tuple[int, ...]
"""Token ids of one way of writing a choice, with the end of the answer where that is scored."""

AnswerRule: TypeAlias = Literal["best", "sum"]
ANSWER_RULES: tuple[AnswerRule, ...] = ("best", "sum")

_STYLES: tuple[Callable[[str], str], ...] = (
    lambda word: word,
    lambda word: word[:1].upper() + word[1:],
    lambda word: word.lower(),
    lambda word: " " + word,
    lambda word: " " + word[:1].upper() + word[1:],
    lambda word: " " + word.lower(),
)
"""Ways of writing an answer: as given, capitalised or in lower case, directly after the prompt or after a space."""

_LETTER_STYLES: tuple[Callable[[str], str], ...] = tuple(
    lambda word, case=case, around=around: around.format(case(word))  # type: ignore[misc]
    for around in ("({0}", "({0})", "{0}.", "{0})", "{0}:", " ({0}", " ({0})", " {0}.", " {0})", " {0}:")
    for case in (str.upper, str.lower)
)
"""Further ways of writing an option's letter, capital or small."""

_AS_GIVEN: tuple[Callable[[str], str], ...] = (_STYLES[0], _STYLES[3])
_SMALL: tuple[Callable[[str], str], ...] = (_STYLES[2], _STYLES[5])
"""Ways of writing a letter that are words as well."""


def check_rule(rule: str) -> AnswerRule:
    """Return the rule if there is one of this name.

    Raises:
        UnknownNameError: There is none.
    """
    for known in ANSWER_RULES:
        if rule == known:
            return known
    raise UnknownNameError("answer rule", rule, ANSWER_RULES)


@dataclass(frozen=True)
class Candidates:
    """Token ids of each choice, in every way of writing that works for all of them.

    Attributes:
        words: The choices.
        styles: For each way of writing that tells all choices apart, the form of each choice.
        forms: The forms of each choice that are summed: none belongs to another choice or begins another.
    """

    words: tuple[str, ...]
    styles: tuple[tuple[Form, ...], ...]
    forms: tuple[tuple[Form, ...], ...]


@dataclass(frozen=True)
class Answers:
    """A model's answers to a sample.

    Attributes:
        answers: The answer by each rule; the same one where there are no choices.
        tokens: The form of each choice that games score, by the rule ``best``; or of the free answer.
        forms: All forms of each choice that the rule ``sum`` counts.
    """

    answers: dict[AnswerRule, Answer]
    tokens: dict[str, Form]
    forms: dict[str, tuple[Form, ...]]


def ends_of_answer(tokenizer: Any, generation_config: Any) -> tuple[int, ...]:
    """Tokens that end a model's turn; first the one that is scored as the end of an answer.

    That is the tokenizer's own where generation stops at it too, else the first at which generation stops.
    """
    stop = getattr(generation_config, "eos_token_id", None)
    stops = [] if stop is None else list(stop) if isinstance(stop, list | tuple) else [stop]
    own = tokenizer.eos_token_id
    if own is None:
        return tuple(stops)
    return tuple(dict.fromkeys([own, *stops] if own in stops or not stops else [*stops, own]))


def make_candidates(
    tokenizer: Any, prompt: Prompt, words: Sequence[str], ends: Sequence[int] = (), *, is_exact: bool = False
) -> Candidates:
    """Tokenise choices after the prompt, in context.

    Args:
        tokenizer: The model's tokenizer.
        prompt: What stands before the answer.
        words: The choices.
        ends: Tokens that end an answer, the scored one first.
        is_exact: Write the words as they are, directly after the prompt or after a space, and in no other way.

    Raises:
        ValueError: A choice has no form that the tokenizer can represent; the message names the unknown words. Or two
            choices are the same answer, or one begins another and no token ends an answer.
    """
    is_lettered = not is_exact and all(len(word) == 1 and word.isalpha() for word in words)
    before = _after_images(tokenizer, prompt)
    known: dict[tuple[Form, ...], None] = {}
    for style in (*(_AS_GIVEN if is_exact else _STYLES), *(_LETTER_STYLES if is_lettered else ())):
        forms = [_in_context(tokenizer, prompt, before, style(word)) for word in words]
        if all(forms):
            known[tuple(forms)] = None
    if not known:
        unknown = [piece for word in words for piece in unknown_words(tokenizer, word)]
        named = f": the vocabulary lacks {', '.join(map(repr, unknown))}" if unknown else ""
        raise ValueError(f"the model cannot say the answers {tuple(words)!r} after this prompt{named}")
    styles = list(known)
    if is_lettered and all(word.isupper() for word in words):
        small, given = (
            {_in_context(tokenizer, prompt, before, style(word)) for style in some for word in words}
            for some in (_SMALL, _AS_GIVEN)
        )
        styles = [style for style in styles if not any(_begins_with(form, small - given) for form in style)]
    own = _own_forms(words, styles)
    if not _begins_another(styles):
        return Candidates(tuple(words), tuple(_leading(_distinct(styles))), tuple(map(_shortest, own)))
    if not ends:
        raise ValueError(
            f"of the choices {tuple(words)!r} one begins another, and neither generation_config.json nor the tokenizer "
            "names a token that ends an answer; set eos_token_id, or choose other answers"
        )
    end = (ends[0],)
    ended = tuple(tuple(form + end for form in style) for style in _distinct(styles))
    return Candidates(tuple(words), ended, tuple(tuple(form + end for form in forms) for forms in own))


def _begins_with(form: Form, others: Collection[Form]) -> bool:
    return any(form[:n] in others for n in range(1, len(form) + 1))


def _distinct(styles: Sequence[tuple[Form, ...]]) -> list[tuple[Form, ...]]:
    """The ways of writing in which no two choices are the same."""
    return [style for style in styles if len(set(style)) == len(style)]


def _own_forms(words: Sequence[str], styles: Sequence[tuple[Form, ...]]) -> list[tuple[Form, ...]]:
    """The forms of each choice that no other choice has.

    Raises:
        ValueError: A choice has none.
    """
    forms = [dict.fromkeys(style[i] for style in styles) for i in range(len(words))]
    own = [
        tuple(form for form in mine if not any(form in other for j, other in enumerate(forms) if j != i))
        for i, mine in enumerate(forms)
    ]
    if not all(own) or not _distinct(styles):
        i = next((i for i, mine in enumerate(own) if not mine), 0)
        same = [word for word, other in zip(words, forms, strict=True) if set(other) & set(forms[i])]
        raise ValueError(
            f"the choices {', '.join(map(repr, same))} are the same answer as the model says them, in every way of "
            "writing; give choices that differ in more than capitals and blanks"
        )
    return own


def _begins_another(styles: Sequence[tuple[Form, ...]]) -> bool:
    """Whether a form of one choice begins a form of another."""
    owner = {form: i for style in styles for i, form in enumerate(style)}
    return any(
        owner.get(form[:n], i) != i for style in styles for i, form in enumerate(style) for n in range(1, len(form))
    )


def _shortest(forms: Sequence[Form]) -> tuple[Form, ...]:
    """The forms that no other of them begins."""
    return tuple(form for form in forms if not any(form[:n] in forms for n in range(1, len(form))))


def _leading(styles: Sequence[tuple[Form, ...]]) -> list[tuple[Form, ...]]:
    """The ways of writing of which none is another one with more behind each choice, and so never more probable."""

    def goes_on(style: tuple[Form, ...], other: tuple[Form, ...]) -> bool:
        return all(len(a) > len(b) and a[: len(b)] == b for a, b in zip(style, other, strict=True))

    return [style for style in styles if not any(goes_on(style, other) for other in styles)]


def _after_images(tokenizer: Any, prompt: Prompt) -> tuple[str, Form]:
    """The prompt from its last image token on, and its tokens; the whole prompt where that gives other tokens.

    An image token is an added one, at which tokenizers cut a text before they do anything else, so what stands behind
    it is tokenised as in the whole prompt, in a fraction of the time where there are thousands of image tokens.
    """
    if prompt.image_positions:
        mark = str(tokenizer.convert_ids_to_tokens(prompt.ids[prompt.image_positions[-1]]))
        start = prompt.text.rfind(mark)
        if start >= 0:
            text = prompt.text[start:]
            ids = _without_end(tokenizer, tuple(tokenizer(text, add_special_tokens=False)["input_ids"]), prompt)
            if ids == prompt.ids[prompt.image_positions[-1] :]:
                return text, ids
    return prompt.text, prompt.ids


def _in_context(tokenizer: Any, prompt: Prompt, before: tuple[str, Form], form: str) -> Form:
    """Tokens that ``form`` adds to the prompt; empty where it cannot be represented or changes the prompt's tokens.

    Args:
        tokenizer: The model's tokenizer.
        prompt: The prompt.
        before: Its text and tokens, or their end behind a place at which the tokenizer cuts.
        form: One way of writing an answer.
    """
    text, known = before
    is_whole = len(known) == len(prompt.ids)
    ids = tuple(tokenizer(text + form, add_special_tokens=is_whole)["input_ids"])
    ids = _without_end(tokenizer, ids, prompt)
    added = ids[len(known) :]
    if ids[: len(known)] != known or (tokenizer.unk_token_id is not None and tokenizer.unk_token_id in added):
        return ()
    return added


def _without_end(tokenizer: Any, ids: Form, prompt: Prompt) -> Form:
    """The tokens without an end that the tokenizer puts behind every text."""
    has_end = ids and ids[-1] == tokenizer.eos_token_id and prompt.ids[-1] != tokenizer.eos_token_id
    return ids[:-1] if has_end else ids


def candidate_request(view: View, baseline: str, candidates: Candidates) -> tuple[Request, list[Form]]:
    """A request for the probability of every form given everything, and the forms in the order of its values."""
    everything = np.ones(view.players.n_text, dtype=np.bool_)
    forms = dict.fromkeys(form for group in (*candidates.styles, *candidates.forms) for form in group)
    queries, order = queries_of(list(forms), 0, everything)
    return Request(view, baseline, np.ones((1, view.players.n_image), dtype=np.bool_), queries), order


def queries_of(forms: Sequence[Form], image: int, kept: NDArray[np.bool_]) -> tuple[list[Query], list[Form]]:
    """Queries that read the forms after one masked prompt, one query per beginning, and the forms in their order.

    Args:
        forms: Token ids, each once.
        image: Index of the request's image mask.
        kept: Shape (n_text,): which text players are present.
    """
    by_context: dict[Form, list[int]] = {}
    for form in forms:
        by_context.setdefault(form[:-1], []).append(form[-1])
    queries = [Query(image, kept, context, tuple(finals)) for context, finals in by_context.items()]
    return queries, [(*query.context, final) for query in queries for final in query.finals]


def answers_of(candidates: Candidates, probability: dict[Form, float]) -> Answers:
    """The answer by each rule, of the probability of every form."""
    best = max(candidates.styles, key=lambda style: sum(probability[form] for form in set(style)))
    tokens = dict(zip(candidates.words, best, strict=True))
    forms = dict(zip(candidates.words, candidates.forms, strict=True))
    by_rule: dict[AnswerRule, dict[str, float]] = {
        "best": {word: probability[form] for word, form in tokens.items()},
        "sum": {word: sum(probability[form] for form in mine) for word, mine in forms.items()},
    }
    answers: dict[AnswerRule, Answer] = {}
    for rule, by_choice in by_rule.items():
        text = max(by_choice, key=lambda word: by_choice[word])
        answers[rule] = Answer(text, by_choice[text], tokens[text], by_choice)
    return Answers(answers, tokens, forms)
