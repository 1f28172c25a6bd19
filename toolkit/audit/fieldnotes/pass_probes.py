"""Two ways to one answer: caches, eager attention, padding."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

from toolkit.audit.fieldnotes.behaviours import EXACT, Seen, behaviour
from toolkit.audit.fieldnotes.probing import PER_TOKEN, asked, exact_or_off, first_generated
from toolkit.audit.fieldnotes.tiny_families import Family, TinyModel, build


@torch.no_grad()
def _continued(family: Family, between: Callable[[TinyModel], object]) -> Seen:
    """The prompt in two calls, image and first words from a cache, with something else in between."""
    tiny, given = asked(family)
    right = tiny.logits(**given)
    n_first = given["input_ids"].shape[1] - 4
    first = {name: value[:, :n_first] if name in PER_TOKEN else value for name, value in given.items()}
    tiny = build(family)
    cache = tiny.model(**first, use_cache=True).past_key_values
    between(tiny)
    return exact_or_off(tiny.logits(input_ids=given["input_ids"][:, n_first:], past_key_values=cache), right)


@behaviour(EXACT)
def cache_continued(family: Family) -> Seen:
    """Four words, their tokens and the cache alone, asked on top of image and prompt, against one call."""
    return _continued(family, lambda tiny: None)


@behaviour(EXACT)
def cache_beside_another_image(family: Family) -> Seen:
    """The same, when another image (twice as high where the family takes it) was asked in between."""
    return _continued(family, lambda tiny: tiny.logits(**tiny.prompt(1, high=True)))


@behaviour(EXACT)
def cache_after_words_alone(family: Family) -> Seen:
    """The same, when `generate` was asked about words alone in between."""
    return _continued(family, lambda tiny: first_generated(tiny, tiny.words_only()))


@behaviour(EXACT)
def eager_against_sdpa(family: Family) -> Seen:
    """Eager attention against sdpa."""
    given = build(family).prompt()
    return exact_or_off(build(family, attention="eager").logits(**given), build(family).logits(**given))


@behaviour(EXACT)
def padding_on_the_left(family: Family) -> Seen:
    """A prompt padded on the left against the same prompt alone, both in `generate`."""
    tiny, given = asked(family)
    return exact_or_off(first_generated(tiny, _padded(given)), first_generated(tiny, given))


@behaviour(EXACT)
def eager_against_sdpa_padded(family: Family) -> Seen:
    """Eager attention against sdpa with padding on the left, in the forward call."""
    given = _padded(build(family).prompt())
    return exact_or_off(build(family, attention="eager").logits(**given), build(family).logits(**given))


def _padded(given: dict[str, Any]) -> dict[str, Any]:
    out = dict(given)
    for name in PER_TOKEN & given.keys():
        out[name] = torch.cat([torch.zeros_like(given[name][:, :3]), given[name]], 1)
    return out
