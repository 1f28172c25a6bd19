"""What a model answers: surface forms of the choices, tokenised where they would be said, and their probabilities."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.vlm.prompt import Prompt, unknown_words
from toolkit.vlm.request import Block, Request
from toolkit.vlm.view import View

_STYLES: tuple[Callable[[str], str], ...] = (
    lambda word: word,
    lambda word: word[:1].upper() + word[1:],
    lambda word: word.lower(),
    lambda word: " " + word,
    lambda word: " " + word[:1].upper() + word[1:],
    lambda word: " " + word.lower(),
)
"""Ways of writing an answer: as given, capitalised or in lower case, directly after the prompt or after a space."""


@dataclass(frozen=True)
class Candidates:
    """Token ids of each choice, in every way of writing that works for all of them.

    Attributes:
        words: The choices.
        styles: For each way of writing, the token ids of each choice.
    """

    words: tuple[str, ...]
    styles: tuple[tuple[tuple[int, ...], ...], ...]


def make_candidates(tokenizer: Any, prompt: Prompt, words: Sequence[str]) -> Candidates:
    """Tokenise choices after the prompt, in context.

    Raises:
        ValueError: A choice has no form that the tokenizer can represent; the message names the unknown words.
    """
    styles: dict[tuple[tuple[int, ...], ...], None] = {}
    for style in _STYLES:
        forms = [_in_context(tokenizer, prompt, style(word)) for word in words]
        if all(forms):
            styles[tuple(forms)] = None
    if not styles:
        unknown = [piece for word in words for piece in unknown_words(tokenizer, word)]
        named = f": the vocabulary lacks {', '.join(map(repr, unknown))}" if unknown else ""
        raise ValueError(f"the model cannot say the answers {tuple(words)!r} after this prompt{named}")
    return Candidates(tuple(words), tuple(styles))


def _in_context(tokenizer: Any, prompt: Prompt, form: str) -> tuple[int, ...]:
    """Tokens that ``form`` adds to the prompt; empty where it cannot be represented or changes the prompt's tokens."""
    ids = tuple(tokenizer(prompt.text + form)["input_ids"])
    ids = ids[:-1] if ids and ids[-1] == tokenizer.eos_token_id and prompt.ids[-1] != tokenizer.eos_token_id else ids
    added = ids[len(prompt.ids) :]
    if ids[: len(prompt.ids)] != prompt.ids or (tokenizer.unk_token_id is not None and tokenizer.unk_token_id in added):
        return ()
    return added


def candidate_request(view: View, baseline: str, candidates: Candidates) -> tuple[Request, list[tuple[int, ...]]]:
    """A request for the probability of every form given everything, and the forms in the order of its values."""
    forms = dict.fromkeys(form for style in candidates.styles for form in style)
    by_context: dict[tuple[int, ...], list[int]] = {}
    for form in forms:
        by_context.setdefault(form[:-1], []).append(form[-1])
    everything = np.ones(view.players.n_text, dtype=np.bool_)
    blocks = [Block(0, everything, context, tuple(finals)) for context, finals in by_context.items()]
    order = [(*block.context, final) for block in blocks for final in block.finals]
    return Request(view, baseline, np.ones((1, view.players.n_image), dtype=np.bool_), blocks), order


def choose(candidates: Candidates, probability: dict[tuple[int, ...], float]) -> dict[str, tuple[int, ...]]:
    """The token ids of each choice in the way of writing that the model finds most probable, all choices together."""
    best = max(candidates.styles, key=lambda style: sum(probability[form] for form in set(style)))
    return dict(zip(candidates.words, best, strict=True))
