"""How a model in memory answers: by the probability of every way of writing its choices, or word by word."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolkit.datasets.sample import Sample
from toolkit.games.target import TargetError
from toolkit.vlm.answers import Answers, Candidates, answers_of, candidate_request, ends_of_answer, make_candidates
from toolkit.vlm.protocol import Answer
from toolkit.vlm.reference import plain_logits
from toolkit.vlm.scorable import Scorable
from toolkit.vlm.view import View


def forms_of(vlm: Scorable, pairs: Sequence[tuple[Sample, Sequence[str]]], *, is_exact: bool = False) -> list[Answers]:
    """For each sample and its words: what the model says, of the probability of every way of writing them."""
    views = [vlm.view(sample) for sample, _ in pairs]
    tokenizer = vlm.adapter.processor.tokenizer
    ends = ends_of_answer(tokenizer, vlm.model.generation_config)
    found = [
        make_candidates(tokenizer, view.prompt, words, ends, is_exact=is_exact)
        for view, (_, words) in zip(views, pairs, strict=True)
    ]
    for view, candidates in zip(views, found, strict=True):
        _check_fits(vlm, view, candidates)
    asked = [candidate_request(view, "blur", candidates) for view, candidates in zip(views, found, strict=True)]
    logs = vlm.engine.log_probabilities([request for request, _ in asked])
    if any(np.isnan(values).any() for values in logs):
        dtype = str(vlm.model.dtype).removeprefix("torch.")
        raise ValueError(f"{vlm.name} answers with NaN in {dtype}; load it with another dtype, or copy it again")
    probabilities = [
        dict(zip(order, map(float, np.exp(values)), strict=True))
        for (_, order), values in zip(asked, logs, strict=True)
    ]
    return [answers_of(c, p) for c, p in zip(found, probabilities, strict=True)]


def speak(vlm: Scorable, sample: Sample, max_tokens: int) -> Answers:
    """Greedy answer without choices, up to the end-of-turn token, the longest length or the end of the context.

    Raises:
        ValueError: The model says nothing.
    """
    view, tokenizer = vlm.view(sample), vlm.adapter.processor.tokenizer
    stops = ends_of_answer(tokenizer, vlm.model.generation_config)
    everything = np.ones(view.players.n_text, dtype=np.bool_)
    said: tuple[int, ...] = ()
    total = 0.0
    is_cut = True
    while len(said) < min(max_tokens, _context(vlm) - len(view.prompt.ids)):
        logs = plain_logits(vlm, view, view.pixels, everything, said)[-1].log_softmax(dim=-1)
        token = int(logs.argmax())
        if token in stops:
            is_cut = False
            break
        said, total = (*said, token), total + float(logs[token])
    text = str(tokenizer.decode(said, skip_special_tokens=True)).strip()
    if not text:
        raise ValueError(f"{vlm.name} ends its turn without an answer to {sample.question!r}; give choices")
    answer = Answer(text, float(np.exp(total)), said, {}, decoding="greedy", is_cut=is_cut)
    return Answers({"best": answer, "sum": answer}, {text: said}, {text: (said,)})


def _check_fits(vlm: Scorable, view: View, candidates: Candidates) -> None:
    """Refuse answers that do not fit behind the prompt.

    Raises:
        TargetError: They do not; the message has the numbers.
    """
    n_prompt, longest = len(view.prompt.ids), max(len(form) for forms in candidates.forms for form in forms)
    if n_prompt + longest > _context(vlm):
        raise TargetError(
            f"the prompt has {n_prompt} tokens and the answer {longest}; the model's context is {_context(vlm)}: "
            "shorten the answer"
        )


def _context(vlm: Scorable) -> int:
    """Tokens that the decoder takes."""
    return int(vlm.model.config.get_text_config().max_position_embeddings)
