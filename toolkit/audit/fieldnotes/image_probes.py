"""Embeddings and the image: what may be handed over, what image tokens see, windows, quantisation."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch

from toolkit.audit.fieldnotes.behaviours import EXACT, Seen, behaviour
from toolkit.audit.fieldnotes.probing import (
    EQUAL,
    answer_under,
    as_numbers,
    asked,
    exact_or_off,
    gap,
    hooked,
    index_of_word,
    may_see,
    sent_to,
    text_part,
    with_positions,
)
from toolkit.audit.fieldnotes.tiny_families import IMAGE, Family, TinyModel, build


def _changed_word(given: dict[str, Any], embeds: torch.Tensor) -> torch.Tensor:
    out = embeds.clone()
    out[0, index_of_word(given)] += 0.5
    return out


@behaviour(EXACT)
@torch.no_grad()
def changed_embeddings(family: Family) -> Seen:
    """A word's changed embedding in `inputs_embeds` beside the image, against a hook's change."""
    tiny, given = asked(family)
    table = tiny.model.get_input_embeddings()
    with hooked(table, lambda module, args, named, out: _changed_word(given, out)):
        right = tiny.logits(**given)
    embeds = _changed_word(given, table(given["input_ids"]))
    rest = {name: value for name, value in given.items() if name != "input_ids"}
    return exact_or_off(build(family).logits(**rest, inputs_embeds=embeds), right)


@behaviour(EXACT)
def merged_embeddings(family: Family) -> Seen:
    """Words and image merged into `inputs_embeds`, the mask and nothing else, against the whole call."""
    tiny, given = asked(family)
    _, named = sent_to(tiny, text_part(tiny.model), given)[0]
    if named.get("inputs_embeds") is None:
        embeds = tiny.model.get_input_embeddings()(given["input_ids"])
    else:
        embeds = named["inputs_embeds"]
    seen = build(family).logits(inputs_embeds=embeds.detach(), attention_mask=given["attention_mask"])
    return exact_or_off(seen, tiny.logits(**given))


TYPES_VALUES = {"no types": "the family has none"}


@behaviour({**TYPES_VALUES, **EXACT})
def types_left_out(family: Family) -> Seen:
    """The call without the token types that the processor sends."""
    tiny = build(family)
    if not tiny.types:
        return "no types", None
    given = tiny.prompt()
    right = tiny.logits(**given)
    del given[tiny.types]
    return exact_or_off(build(family).logits(**given), right)


SIGHT = {
    "causal": "a token of the image sees earlier ones only", "both ways": "it sees later ones too",
    "sdpa both ways, eager causal": "it depends on the attention",
    "sdpa causal, eager both ways": "it depends on the attention",
    "not in the text": "the image is read by cross-attention",
}  # fmt: skip


@behaviour(SIGHT)
def image_tokens_see(family: Family) -> Seen:
    """What a token of the image sees of the image."""
    return _sight(family, types=True), None


@behaviour(SIGHT | TYPES_VALUES)
def image_tokens_see_without_types(family: Family) -> Seen:
    """The same, without the token types."""
    return (_sight(family, types=False) if build(family).types else "no types"), None


def _sight(family: Family, *, types: bool) -> str:
    seen = {attention: _looks_ahead(family, attention, types) for attention in ("sdpa", "eager")}
    if None in seen.values():
        return "not in the text"
    words = {name: "both ways" if ahead else "causal" for name, ahead in seen.items()}
    return words["sdpa"] if len(set(words.values())) == 1 else f"sdpa {words['sdpa']}, eager {words['eager']}"


def _looks_ahead(family: Family, attention: str, types: bool) -> bool | None:
    """Whether a change of the last image token reaches the first behind any layer; None without image tokens."""
    tiny, given = asked(family, attention)
    places = (given["input_ids"][0] == IMAGE).nonzero()[:, 0].tolist()
    if len(places) < 2:
        return None
    if not types:
        given.pop(tiny.types, None)
    layers = text_part(tiny.model).layers

    def change(module: Any, args: Any, named: Any) -> Any:
        state = (args[0] if args else named["hidden_states"]).clone()
        state[0, places[-1]] += torch.linspace(-1, 1, state.shape[-1])
        return ((state, *args[1:]), named) if args else (args, {**named, "hidden_states": state})

    plain = _state_at(tiny, layers[-1], given, places[0])
    with hooked(layers[0], change, before=True):
        changed = _state_at(tiny, layers[-1], given, places[0])
    return gap(plain, changed) > EQUAL


def _state_at(tiny: TinyModel, layer: Any, given: dict[str, Any], place: int) -> torch.Tensor:
    states: list[torch.Tensor] = []
    with hooked(layer, lambda m, a, k, out: states.append(out[0] if isinstance(out, tuple) else out)):
        tiny.logits(**given)
    return states[0][0, place]


@behaviour(
    {
        "no windows": "the family has none",
        "kept": "the windows stay",
        "lost": "every layer sees everything",
        "otherwise": "neither; the size is the difference to a model without windows",
    }
)
def windows_under_a_4d_mask(family: Family) -> Seen:
    """A ready mask of four dimensions on a model whose layers have windows of four tokens."""
    if family.window is None:
        return "no windows", None
    tiny, wide = build(family, window=True), build(family)
    given = with_positions(tiny)
    mask = as_numbers(may_see(given))
    windowed, seen, without = tiny.logits(**given), answer_under(tiny, given, mask), answer_under(wide, given, mask)
    if gap(windowed, without) < EQUAL:
        return "no windows", None
    if gap(seen, windowed) < EQUAL:
        return "kept", None
    return ("lost", gap(seen, windowed)) if gap(seen, without) < EQUAL else ("otherwise", gap(seen, without))


@behaviour({"none": "none has", "(layers)": "so many of them, and the window's length in tokens"})
def windows_by_default(family: Family) -> Seen:
    """Layers that have a window in the family's default configuration."""
    import transformers

    text = transformers.CONFIG_MAPPING[family.model_type]().get_text_config()
    types = [each for each in getattr(text, "layer_types", None) or [] if "sliding" in each]
    n_layers = len(types) or (text.num_hidden_layers if family.window and getattr(text, "sliding_window", None) else 0)
    if not n_layers or getattr(text, "use_sliding_window", True) is False:
        return "none", None
    return f"{n_layers} of {text.num_hidden_layers} layers, {text.sliding_window} tokens", None


@behaviour({"(parts)": "these; the image tower and the projector are quantised unless they are named"})
def left_out_of_quantisation(family: Family) -> Seen:
    """Parts with linear layers that 4-bit loading leaves as they are by default."""
    for place in ("transformers.quantizers.base", "transformers.integrations.bitsandbytes"):
        module = import_module(place)
        if hasattr(module, "get_keys_to_not_convert"):
            return ", ".join(sorted(module.get_keys_to_not_convert(build(family).model))), None
    return "not known", None


@behaviour({"accepted": "there is an answer"})
def image_of_zeros(family: Family) -> Seen:
    """An image of exact zeros."""
    tiny, given = asked(family)
    tiny.logits(**{**given, "pixel_values": torch.zeros_like(given["pixel_values"])})
    return "accepted", None
