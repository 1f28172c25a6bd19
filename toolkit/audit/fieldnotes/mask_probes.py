"""Masks: is a word hidden, and where do the words behind it move."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import torch

from toolkit.audit.fieldnotes.behaviours import EXACT, Seen, behaviour
from toolkit.audit.fieldnotes.probing import (
    EQUAL,
    answer_under,
    as_numbers,
    asked,
    exact_or_off,
    first_generated,
    gap,
    index_of_word,
    mask_without,
    may_see,
    positions_of,
    with_positions,
    without_token,
)
from toolkit.audit.fieldnotes.tiny_families import IMAGE, Family, TinyModel, build

HIDDEN = {
    "removed": "as if the word had never been written; positions make no difference",
    "renumbered": "as if the word had never been written: later words move up",
    "gap kept": "the word is hidden and later words keep their positions",
    "ignored": "the answer does not change",
    "neither": "none of these; the size is the difference to the nearest",
}


def _hidden_as(tiny: TinyModel, given: dict[str, Any], seen: torch.Tensor) -> Seen:
    """Which way of hiding the word gives the logits that were seen."""
    where, whole = index_of_word(given), tiny.logits(**given)
    keep = [i for i in range(given["input_ids"].shape[1]) if i != where]
    positions = positions_of(tiny, given)[..., keep]
    short = without_token({name: value for name, value in given.items() if name != "position_ids"}, where)
    ways = {
        "ignored": gap(seen, whole),
        "renumbered": gap(seen, tiny.logits(**short)),
        "gap kept": gap(seen, tiny.logits(**short, position_ids=positions)),
    }
    right = [way for way, size in ways.items() if size < EQUAL]
    if {"renumbered", "gap kept"} <= set(right):
        return "removed", None
    return (right[0], None) if right else ("neither", min(ways.values()))


@behaviour(HIDDEN)
def masked_word_in_forward(family: Family) -> Seen:
    """A 0 for a word in the middle of `attention_mask`, in the forward call."""
    tiny, given = asked(family)
    return _hidden_as(tiny, given, answer_under(tiny, given, mask_without(given, index_of_word(given))))


@behaviour(HIDDEN)
def masked_word_in_generate(family: Family) -> Seen:
    """The same 0 in `generate`."""
    tiny, given = asked(family)
    masked = {**given, "attention_mask": mask_without(given, index_of_word(given))}
    return _hidden_as(tiny, given, first_generated(tiny, masked))


@behaviour(HIDDEN)
def word_hidden_by_a_4d_mask(family: Family) -> Seen:
    """The word hidden by a float mask of four dimensions, in the forward call."""
    tiny, given = asked(family)
    return _hidden_as(tiny, given, answer_under(tiny, given, as_numbers(may_see(given, index_of_word(given)))))


@behaviour(HIDDEN)
def word_hidden_by_a_4d_mask_with_positions(family: Family) -> Seen:
    """The same with the positions given."""
    tiny = build(family)
    given = with_positions(tiny)
    return _hidden_as(tiny, given, answer_under(tiny, given, as_numbers(may_see(given, index_of_word(given)))))


def _bool_mask(family: Family, attention: str) -> Seen:
    tiny = build(family, attention=attention)
    given = with_positions(tiny)
    allowed = may_see(given, index_of_word(given))
    return exact_or_off(answer_under(tiny, given, allowed), answer_under(tiny, given, as_numbers(allowed)))


@behaviour(EXACT)
def bool_mask_under_sdpa(family: Family) -> Seen:
    """A bool mask of four dimensions against the float one, sdpa attention."""
    return _bool_mask(family, "sdpa")


@behaviour(EXACT)
def bool_mask_under_eager(family: Family) -> Seen:
    """A bool mask of four dimensions against the float one, eager attention."""
    return _bool_mask(family, "eager")


@behaviour(
    {
        "refused": "both raise",
        "longer": "only the longer one is accepted",
        "shorter": "only the shorter one is accepted",
        "both": "both are accepted; the size is the largest difference to the right answer",
    }
)
def mask_of_another_length(family: Family) -> Seen:
    """A mask of two dimensions with three entries more than there are tokens, and with three fewer."""
    tiny, given = asked(family)
    right = tiny.logits(**given)
    sizes = {}
    for name, more in {"longer": 3, "shorter": -3}.items():
        mask = torch.ones(1, given["input_ids"].shape[1] + more, dtype=torch.long)
        with suppress(Exception):
            sizes[name] = gap(answer_under(tiny, given, mask), right)
    value = "both" if len(sizes) == 2 else next(iter(sizes), "refused")
    return value, max(sizes.values(), default=None)


@behaviour(
    {
        "hidden": "as the float mask of four dimensions hides it",
        "ignored": "the answer does not change",
        "otherwise": "neither; the size is the difference to the float mask",
    }
)
def masked_image_token(family: Family) -> Seen:
    """A 0 for one token of the image in `attention_mask`, in the forward call."""
    tiny, given = asked(family)
    where = int((given["input_ids"][0] == IMAGE).nonzero()[0, 0])
    seen = answer_under(tiny, given, mask_without(given, where))
    size = gap(seen, answer_under(tiny, given, as_numbers(may_see(given, where))))
    if gap(seen, tiny.logits(**given)) < EQUAL:
        return "ignored", None
    return ("hidden", None) if size < EQUAL else ("otherwise", size)
