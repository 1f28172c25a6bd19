"""How a probe asks a tiny model: its prompt, masks, hooks, and how far two answers lie apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch

from toolkit.audit.fieldnotes.behaviours import Seen
from toolkit.audit.fieldnotes.tiny_families import IMAGE, WORDS, Family, TinyModel, build

EQUAL = 1e-3
"""Logits of spread 1 that differ by less are called equal (float32 arithmetic in another order: below 1e-4)."""

PER_TOKEN = {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "cross_attention_mask"}
"""Arguments with one entry per token."""


def gap(first: torch.Tensor, second: torch.Tensor) -> float:
    """Largest difference of two answers, in logits."""
    return float((first - second).abs().max())


def exact_or_off(first: torch.Tensor, second: torch.Tensor) -> Seen:
    """Whether two answers are equal, and how far they lie apart."""
    size = gap(first, second)
    return ("exact" if size < EQUAL else "off"), size


def text_part(model: Any) -> Any:
    """The module that holds the decoder's layers."""
    names = ("language_model", "text_model")
    found = [part for name, part in model.named_modules() if name.split(".")[-1] in names and hasattr(part, "layers")]
    return found[-1]


@contextmanager
def hooked(module: Any, hook: Callable[..., Any], *, before: bool = False) -> Iterator[None]:
    """A hook on a module, before its call (with keyword arguments) or behind it, for as long as the block runs."""
    register = module.register_forward_pre_hook if before else module.register_forward_hook
    handle = register(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def sent_to(tiny: TinyModel, module: Any, given: dict[str, Any]) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The arguments of a module's calls during one forward call."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    with hooked(module, lambda _, args, named: calls.append((args, dict(named))), before=True):
        tiny.logits(**given)
    return calls


def positions_of(tiny: TinyModel, given: dict[str, Any]) -> torch.Tensor:
    """Positions that the model gives its tokens, shape (..., batch, length)."""
    args, named = sent_to(tiny, text_part(tiny.model).rotary_emb, given)[0]
    positions = named["position_ids"] if "position_ids" in named else args[1]
    return torch.as_tensor(positions)


def without_token(given: dict[str, Any], where: int) -> dict[str, Any]:
    """The same prompt with one token left out."""
    keep = [i for i in range(given["input_ids"].shape[1]) if i != where]
    return {name: value[:, keep] if name in PER_TOKEN else value for name, value in given.items()}


def index_of_word(given: dict[str, Any]) -> int:
    """Where the third word behind the image stands."""
    return int(given["input_ids"].shape[1]) - len(WORDS) + 2


def asked(family: Family, attention: str = "sdpa") -> tuple[TinyModel, dict[str, Any]]:
    """A family's tiny model, and its prompt."""
    tiny = build(family, attention=attention)
    return tiny, tiny.prompt()


def answer_under(tiny: TinyModel, given: dict[str, Any], mask: torch.Tensor) -> torch.Tensor:
    """Logits under another ``attention_mask``."""
    return tiny.logits(**{**given, "attention_mask": mask})


def mask_without(given: dict[str, Any], where: int) -> torch.Tensor:
    """The prompt's mask of two dimensions with a 0 at one place."""
    mask: torch.Tensor = given["attention_mask"].clone()
    mask[0, where] = 0
    return mask


def may_see(given: dict[str, Any], where: int | None = None) -> torch.Tensor:
    """Who sees whom, shape (1, 1, length, length), bool: causal, but for the two families whose images look ahead."""
    ids = given["input_ids"][0]
    allowed = torch.ones(len(ids), len(ids), dtype=torch.bool).tril()
    if "token_type_ids" in given:
        ahead = (ids == IMAGE) if bool(given["token_type_ids"].any()) else torch.ones_like(ids, dtype=torch.bool)
        allowed |= ahead[:, None] & ahead[None]
    if where is not None:
        allowed[:, where] = False
        allowed[where, where] = True
    return allowed[None, None]


def as_numbers(allowed: torch.Tensor) -> torch.Tensor:
    """The same as numbers to add: 0 or the smallest float."""
    return torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)


def first_generated(tiny: TinyModel, given: dict[str, Any]) -> torch.Tensor:
    """Logits of the first generated token."""
    settings = {"max_new_tokens": 1, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    return torch.as_tensor(tiny.model.generate(**given, **settings).logits[0][0]).float()


def with_positions(tiny: TinyModel) -> dict[str, Any]:
    """The prompt with the positions that the model gives it, for some families find none beside a 4-D mask."""
    given = tiny.prompt()
    return {**given, "position_ids": positions_of(tiny, given)}
