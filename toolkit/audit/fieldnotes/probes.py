"""One function per behaviour: what a family's tiny model does, as a value of a documented set and a size.

Every probe takes a family, builds the tiny models that it needs and returns what it saw. What it raises is the
note's error. Nothing here imports more of the toolkit than the families.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import torch

from toolkit.audit.fieldnotes.tiny_families import IMAGE, WORDS, Family, TinyModel, build

EQUAL = 1e-3
"""Logits of spread 1 that differ by less are called equal (float32 arithmetic in another order: below 1e-4)."""

PER_TOKEN = {"input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "cross_attention_mask"}
"""Arguments with one entry per token."""

Seen = tuple[str, float | None]
"""Value of the documented set, and the largest difference of a logit where one was measured."""


@dataclass(frozen=True)
class Behaviour:
    """One column of the table.

    Attributes:
        name: Its name in the records.
        question: What was asked, in one sentence.
        values: Value -> what it says.
        probe: Family -> what was seen.
    """

    name: str
    question: str
    values: dict[str, str]
    probe: Callable[[Family], Seen]


BEHAVIOURS: dict[str, Behaviour] = {}
"""Name -> behaviour, in the order of the table."""

EXACT = {"exact": "the same answer", "off": "another answer; the size is the largest difference of a logit"}
HIDDEN = {
    "removed": "as if the word had never been written; positions make no difference",
    "renumbered": "as if the word had never been written: later words move up",
    "gap kept": "the word is hidden and later words keep their positions",
    "ignored": "the answer does not change",
    "neither": "none of these; the size is the difference to the nearest",
}


def _behaviour(values: dict[str, str]) -> Callable[[Callable[[Family], Seen]], Callable[[Family], Seen]]:
    def register(probe: Callable[[Family], Seen]) -> Callable[[Family], Seen]:
        name = probe.__name__
        BEHAVIOURS[name] = Behaviour(name, (probe.__doc__ or "").rstrip("."), values, probe)
        return probe

    return register


def _gap(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first - second).abs().max())


def _exact_or_off(first: torch.Tensor, second: torch.Tensor) -> Seen:
    size = _gap(first, second)
    return ("exact" if size < EQUAL else "off"), size


def _text_part(model: Any) -> Any:
    """The module that holds the decoder's layers."""
    names = ("language_model", "text_model")
    found = [part for name, part in model.named_modules() if name.split(".")[-1] in names and hasattr(part, "layers")]
    return found[-1]


@contextmanager
def _hook(module: Any, hook: Callable[..., Any], *, before: bool = False) -> Iterator[None]:
    """A hook on a module, before its call (with keyword arguments) or behind it, for as long as the block runs."""
    register = module.register_forward_pre_hook if before else module.register_forward_hook
    handle = register(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def _sent_to(tiny: TinyModel, module: Any, given: dict[str, Any]) -> list[tuple[tuple[Any, ...], dict[str, Any]]]:
    """The arguments of a module's calls during one forward call."""
    calls: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    with _hook(module, lambda _, args, named: calls.append((args, dict(named))), before=True):
        tiny.logits(**given)
    return calls


def _positions(tiny: TinyModel, given: dict[str, Any]) -> torch.Tensor:
    """Positions that the model gives its tokens, shape (..., batch, length)."""
    args, named = _sent_to(tiny, _text_part(tiny.model).rotary_emb, given)[0]
    positions = named["position_ids"] if "position_ids" in named else args[1]
    return torch.as_tensor(positions)


def _without(given: dict[str, Any], where: int) -> dict[str, Any]:
    """The same prompt with one token left out."""
    keep = [i for i in range(given["input_ids"].shape[1]) if i != where]
    return {name: value[:, keep] if name in PER_TOKEN else value for name, value in given.items()}


def _word(given: dict[str, Any]) -> int:
    """Where the third word behind the image stands."""
    return int(given["input_ids"].shape[1]) - len(WORDS) + 2


def _asked(family: Family, attention: str = "sdpa") -> tuple[TinyModel, dict[str, Any]]:
    """A family's tiny model, and its prompt."""
    tiny = build(family, attention=attention)
    return tiny, tiny.prompt()


def _masked(tiny: TinyModel, given: dict[str, Any], mask: torch.Tensor) -> torch.Tensor:
    return tiny.logits(**{**given, "attention_mask": mask})


def _zeroed(given: dict[str, Any], where: int) -> torch.Tensor:
    mask: torch.Tensor = given["attention_mask"].clone()
    mask[0, where] = 0
    return mask


def _may_see(given: dict[str, Any], where: int | None = None) -> torch.Tensor:
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


def _added(allowed: torch.Tensor) -> torch.Tensor:
    """The same as numbers to add: 0 or the smallest float."""
    return torch.zeros(allowed.shape).masked_fill(~allowed, torch.finfo(torch.float32).min)


def _generated(tiny: TinyModel, given: dict[str, Any]) -> torch.Tensor:
    """Logits of the first generated token."""
    settings = {"max_new_tokens": 1, "do_sample": False, "output_logits": True, "return_dict_in_generate": True}
    return torch.as_tensor(tiny.model.generate(**given, **settings).logits[0][0]).float()


def _hidden_as(tiny: TinyModel, given: dict[str, Any], seen: torch.Tensor) -> Seen:
    """Which way of hiding the word gives the logits that were seen."""
    where, whole = _word(given), tiny.logits(**given)
    keep = [i for i in range(given["input_ids"].shape[1]) if i != where]
    positions = _positions(tiny, given)[..., keep]
    short = _without({name: value for name, value in given.items() if name != "position_ids"}, where)
    ways = {
        "ignored": _gap(seen, whole),
        "renumbered": _gap(seen, tiny.logits(**short)),
        "gap kept": _gap(seen, tiny.logits(**short, position_ids=positions)),
    }
    right = [way for way, size in ways.items() if size < EQUAL]
    if {"renumbered", "gap kept"} <= set(right):
        return "removed", None
    return (right[0], None) if right else ("neither", min(ways.values()))


@_behaviour(HIDDEN)
def masked_word_in_forward(family: Family) -> Seen:
    """A 0 for a word in the middle of `attention_mask`, in the forward call."""
    tiny, given = _asked(family)
    return _hidden_as(tiny, given, _masked(tiny, given, _zeroed(given, _word(given))))


@_behaviour(HIDDEN)
def masked_word_in_generate(family: Family) -> Seen:
    """The same 0 in `generate`."""
    tiny, given = _asked(family)
    masked = {**given, "attention_mask": _zeroed(given, _word(given))}
    return _hidden_as(tiny, given, _generated(tiny, masked))


@_behaviour(HIDDEN)
def word_hidden_by_a_4d_mask(family: Family) -> Seen:
    """The word hidden by a float mask of four dimensions, in the forward call."""
    tiny, given = _asked(family)
    return _hidden_as(tiny, given, _masked(tiny, given, _added(_may_see(given, _word(given)))))


@_behaviour(HIDDEN)
def word_hidden_by_a_4d_mask_with_positions(family: Family) -> Seen:
    """The same with the positions given."""
    tiny = build(family)
    given = _placed(tiny)
    return _hidden_as(tiny, given, _masked(tiny, given, _added(_may_see(given, _word(given)))))


def _placed(tiny: TinyModel) -> dict[str, Any]:
    """The prompt with the positions that the model gives it, for some families find none beside a 4-D mask."""
    given = tiny.prompt()
    return {**given, "position_ids": _positions(tiny, given)}


def _bool_mask(family: Family, attention: str) -> Seen:
    tiny = build(family, attention=attention)
    given = _placed(tiny)
    allowed = _may_see(given, _word(given))
    return _exact_or_off(_masked(tiny, given, allowed), _masked(tiny, given, _added(allowed)))


@_behaviour(EXACT)
def bool_mask_under_sdpa(family: Family) -> Seen:
    """A bool mask of four dimensions against the float one, sdpa attention."""
    return _bool_mask(family, "sdpa")


@_behaviour(EXACT)
def bool_mask_under_eager(family: Family) -> Seen:
    """A bool mask of four dimensions against the float one, eager attention."""
    return _bool_mask(family, "eager")


@_behaviour(
    {
        "refused": "both raise",
        "longer": "only the longer one is accepted",
        "shorter": "only the shorter one is accepted",
        "both": "both are accepted; the size is the largest difference to the right answer",
    }
)
def mask_of_another_length(family: Family) -> Seen:
    """A mask of two dimensions with three entries more than there are tokens, and with three fewer."""
    tiny, given = _asked(family)
    right = tiny.logits(**given)
    sizes = {}
    for name, more in {"longer": 3, "shorter": -3}.items():
        mask = torch.ones(1, given["input_ids"].shape[1] + more, dtype=torch.long)
        with suppress(Exception):
            sizes[name] = _gap(_masked(tiny, given, mask), right)
    value = "both" if len(sizes) == 2 else next(iter(sizes), "refused")
    return value, max(sizes.values(), default=None)


@_behaviour(
    {
        "hidden": "as the float mask of four dimensions hides it",
        "ignored": "the answer does not change",
        "otherwise": "neither; the size is the difference to the float mask",
    }
)
def masked_image_token(family: Family) -> Seen:
    """A 0 for one token of the image in `attention_mask`, in the forward call."""
    tiny, given = _asked(family)
    where = int((given["input_ids"][0] == IMAGE).nonzero()[0, 0])
    seen = _masked(tiny, given, _zeroed(given, where))
    size = _gap(seen, _masked(tiny, given, _added(_may_see(given, where))))
    if _gap(seen, tiny.logits(**given)) < EQUAL:
        return "ignored", None
    return ("hidden", None) if size < EQUAL else ("otherwise", size)


@torch.no_grad()
def _continued(family: Family, between: Callable[[TinyModel], object]) -> Seen:
    """The prompt in two calls, image and first words from a cache, with something else in between."""
    tiny, given = _asked(family)
    right = tiny.logits(**given)
    n_first = given["input_ids"].shape[1] - 4
    first = {name: value[:, :n_first] if name in PER_TOKEN else value for name, value in given.items()}
    tiny = build(family)
    cache = tiny.model(**first, use_cache=True).past_key_values
    between(tiny)
    return _exact_or_off(tiny.logits(input_ids=given["input_ids"][:, n_first:], past_key_values=cache), right)


@_behaviour(EXACT)
def cache_continued(family: Family) -> Seen:
    """Four words, their tokens and the cache alone, asked on top of image and prompt, against one call."""
    return _continued(family, lambda tiny: None)


@_behaviour(EXACT)
def cache_beside_another_image(family: Family) -> Seen:
    """The same, when another image (twice as high where the family takes it) was asked in between."""
    return _continued(family, lambda tiny: tiny.logits(**tiny.prompt(1, high=True)))


@_behaviour(EXACT)
def cache_after_words_alone(family: Family) -> Seen:
    """The same, when `generate` was asked about words alone in between."""
    return _continued(family, lambda tiny: _generated(tiny, tiny.words_only()))


@_behaviour(EXACT)
def eager_against_sdpa(family: Family) -> Seen:
    """Eager attention against sdpa."""
    given = build(family).prompt()
    return _exact_or_off(build(family, attention="eager").logits(**given), build(family).logits(**given))


@_behaviour(EXACT)
def padding_on_the_left(family: Family) -> Seen:
    """A prompt padded on the left against the same prompt alone, both in `generate`."""
    tiny, given = _asked(family)
    return _exact_or_off(_generated(tiny, _padded(given)), _generated(tiny, given))


@_behaviour(EXACT)
def eager_against_sdpa_padded(family: Family) -> Seen:
    """Eager attention against sdpa with padding on the left, in the forward call."""
    given = _padded(build(family).prompt())
    return _exact_or_off(build(family, attention="eager").logits(**given), build(family).logits(**given))


def _padded(given: dict[str, Any]) -> dict[str, Any]:
    out = dict(given)
    for name in PER_TOKEN & given.keys():
        out[name] = torch.cat([torch.zeros_like(given[name][:, :3]), given[name]], 1)
    return out


@_behaviour({"none": "nothing stays behind", "(names)": "these stay behind and can reach the next call"})
def state_left_behind(family: Family) -> Seen:
    """Attributes of the model that another value after a forward call than before it."""
    tiny = build(family)
    before = _state(tiny.model)
    tiny.logits(**tiny.prompt())
    after = _state(tiny.model)
    changed = sorted({name.split(".")[-1] for name in after if after[name] != before.get(name)})
    return ", ".join(changed) or "none", None


def _n_hooks(model: Any) -> int:
    return sum(len(module._forward_hooks) for module in model.modules())


def _state(model: Any) -> dict[str, str]:
    """Plain attributes and buffers of all modules, as text."""
    return {
        f"{name}.{key}": repr(value)
        for name, module in model.named_modules()
        for key, value in {**vars(module), **module._buffers}.items()
        if key not in ("_parameters", "_buffers", "_modules", "config", "generation_config") and "hooks" not in key
    }


@_behaviour({"none": "none stay", "stay": "they stay; the size is their number"})
def hooks_left_by_hidden_states(family: Family) -> Seen:
    """Hooks that stay on the model after `output_hidden_states=True`."""
    tiny = build(family)
    before = _n_hooks(tiny.model)
    tiny.logits(**tiny.prompt(), output_hidden_states=True)
    left = _n_hooks(tiny.model) - before
    return ("stay", float(left)) if left else ("none", None)


@_behaviour({"none": "every entry is its layer's input", "(numbers)": "these entries are something else"})
def hidden_states_that_no_layer_receives(family: Family) -> Seen:
    """Entries of `hidden_states` that are not what the layer of that number receives."""
    tiny, given = _asked(family)
    layers = _text_part(tiny.model).layers
    received: dict[int, torch.Tensor] = {}
    for number, layer in enumerate(layers):
        args, named = _sent_to(tiny, layer, given)[0]
        received[number] = args[0] if args else named["hidden_states"]
    with torch.no_grad():
        states = tiny.model(**given, output_hidden_states=True).hidden_states
    wrong = [number for number, state in received.items() if _gap(state, states[number]) > EQUAL]
    return ", ".join(map(str, wrong)) or "none", None


@_behaviour(
    {
        "both": "the changed output is shown",
        "neither": "the original is shown",
        "before only": "only a hook set before the first use is seen",
        "after only": "only a later hook is seen",
    }
)
def hidden_states_and_a_hook(family: Family) -> Seen:
    """Does `hidden_states` show a hook's change, for a hook set before its first use and behind it."""
    early, late = (_hook_is_shown(family, asked_before) for asked_before in (False, True))
    if early == late:
        return ("both" if early else "neither"), None
    return ("before only" if early else "after only"), None


@torch.no_grad()
def _hook_is_shown(family: Family, asked_before: bool) -> bool:
    tiny, given = _asked(family)
    if asked_before:
        tiny.model(**given, output_hidden_states=True)

    def change(module: Any, args: Any, named: Any, out: Any) -> Any:
        return (out[0] + 100, *out[1:]) if isinstance(out, tuple) else out + 100

    with _hook(_text_part(tiny.model).layers[0], change):
        states = tiny.model(**given, output_hidden_states=True).hidden_states
    return float(states[1].mean()) > 50


@_behaviour(
    {
        "weights": "one tensor per layer",
        "nothing": "None or nothing per layer",
        "some": "weights of some layers; the size is how many",
    }
)
@torch.no_grad()
def attentions_under_sdpa(family: Family) -> Seen:
    """`output_attentions=True` under sdpa."""
    tiny = build(family)
    found = tiny.model(**tiny.prompt(), output_attentions=True).attentions or ()
    real = [each for each in found if each is not None]
    if not real:
        return "nothing", None
    return ("weights", None) if len(real) == len(_text_part(tiny.model).layers) else ("some", float(len(real)))


@_behaviour({"all tokens": "the whole prompt", "one token": "the last token alone"})
def last_layer_in_generate(family: Family) -> Seen:
    """What a hook on the last layer sees of the prompt in `generate`."""
    tiny, given = _asked(family)
    lengths: list[int] = []

    def note(module: Any, args: Any, named: Any) -> None:
        lengths.append((args[0] if args else named["hidden_states"]).shape[1])

    with _hook(_text_part(tiny.model).layers[-1], note, before=True):
        _generated(tiny, given)
    return ("all tokens" if lengths[0] == given["input_ids"].shape[1] else "one token"), None


def _changed_word(given: dict[str, Any], embeds: torch.Tensor) -> torch.Tensor:
    out = embeds.clone()
    out[0, _word(given)] += 0.5
    return out


@_behaviour(EXACT)
@torch.no_grad()
def changed_embeddings(family: Family) -> Seen:
    """A word's changed embedding in `inputs_embeds` beside the image, against a hook's change."""
    tiny, given = _asked(family)
    table = tiny.model.get_input_embeddings()
    with _hook(table, lambda module, args, named, out: _changed_word(given, out)):
        right = tiny.logits(**given)
    embeds = _changed_word(given, table(given["input_ids"]))
    rest = {name: value for name, value in given.items() if name != "input_ids"}
    return _exact_or_off(build(family).logits(**rest, inputs_embeds=embeds), right)


@_behaviour(EXACT)
def merged_embeddings(family: Family) -> Seen:
    """Words and image merged into `inputs_embeds`, the mask and nothing else, against the whole call."""
    tiny, given = _asked(family)
    _, named = _sent_to(tiny, _text_part(tiny.model), given)[0]
    if named.get("inputs_embeds") is None:
        embeds = tiny.model.get_input_embeddings()(given["input_ids"])
    else:
        embeds = named["inputs_embeds"]
    seen = build(family).logits(inputs_embeds=embeds.detach(), attention_mask=given["attention_mask"])
    return _exact_or_off(seen, tiny.logits(**given))


TYPES_VALUES = {"no types": "the family has none"}


@_behaviour({**TYPES_VALUES, **EXACT})
def types_left_out(family: Family) -> Seen:
    """The call without the token types that the processor sends."""
    tiny = build(family)
    if not tiny.types:
        return "no types", None
    given = tiny.prompt()
    right = tiny.logits(**given)
    del given[tiny.types]
    return _exact_or_off(build(family).logits(**given), right)


SIGHT = {
    "causal": "a token of the image sees earlier ones only", "both ways": "it sees later ones too",
    "sdpa both ways, eager causal": "it depends on the attention",
    "sdpa causal, eager both ways": "it depends on the attention",
    "not in the text": "the image is read by cross-attention",
}  # fmt: skip


@_behaviour(SIGHT)
def image_tokens_see(family: Family) -> Seen:
    """What a token of the image sees of the image."""
    return _sight(family, types=True), None


@_behaviour(SIGHT | TYPES_VALUES)
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
    tiny, given = _asked(family, attention)
    places = (given["input_ids"][0] == IMAGE).nonzero()[:, 0].tolist()
    if len(places) < 2:
        return None
    if not types:
        given.pop(tiny.types, None)
    layers = _text_part(tiny.model).layers

    def change(module: Any, args: Any, named: Any) -> Any:
        state = (args[0] if args else named["hidden_states"]).clone()
        state[0, places[-1]] += torch.linspace(-1, 1, state.shape[-1])
        return ((state, *args[1:]), named) if args else (args, {**named, "hidden_states": state})

    plain = _state_at(tiny, layers[-1], given, places[0])
    with _hook(layers[0], change, before=True):
        changed = _state_at(tiny, layers[-1], given, places[0])
    return _gap(plain, changed) > EQUAL


def _state_at(tiny: TinyModel, layer: Any, given: dict[str, Any], place: int) -> torch.Tensor:
    states: list[torch.Tensor] = []
    with _hook(layer, lambda m, a, k, out: states.append(out[0] if isinstance(out, tuple) else out)):
        tiny.logits(**given)
    return states[0][0, place]


@_behaviour(
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
    given = _placed(tiny)
    mask = _added(_may_see(given))
    windowed, seen, without = tiny.logits(**given), _masked(tiny, given, mask), _masked(wide, given, mask)
    if _gap(windowed, without) < EQUAL:
        return "no windows", None
    if _gap(seen, windowed) < EQUAL:
        return "kept", None
    return ("lost", _gap(seen, windowed)) if _gap(seen, without) < EQUAL else ("otherwise", _gap(seen, without))


@_behaviour({"none": "none has", "(layers)": "so many of them, and the window's length in tokens"})
def windows_by_default(family: Family) -> Seen:
    """Layers that have a window in the family's default configuration."""
    import transformers

    text = transformers.CONFIG_MAPPING[family.model_type]().get_text_config()
    types = [each for each in getattr(text, "layer_types", None) or [] if "sliding" in each]
    n_layers = len(types) or (text.num_hidden_layers if family.window and getattr(text, "sliding_window", None) else 0)
    if not n_layers or getattr(text, "use_sliding_window", True) is False:
        return "none", None
    return f"{n_layers} of {text.num_hidden_layers} layers, {text.sliding_window} tokens", None


@_behaviour({"(parts)": "these; the image tower and the projector are quantised unless they are named"})
def left_out_of_quantisation(family: Family) -> Seen:
    """Parts with linear layers that 4-bit loading leaves as they are by default."""
    for place in ("transformers.quantizers.base", "transformers.integrations.bitsandbytes"):
        module = import_module(place)
        if hasattr(module, "get_keys_to_not_convert"):
            return ", ".join(sorted(module.get_keys_to_not_convert(build(family).model))), None
    return "not known", None


@_behaviour({"accepted": "there is an answer"})
def image_of_zeros(family: Family) -> Seen:
    """An image of exact zeros."""
    tiny, given = _asked(family)
    tiny.logits(**{**given, "pixel_values": torch.zeros_like(given["pixel_values"])})
    return "accepted", None
