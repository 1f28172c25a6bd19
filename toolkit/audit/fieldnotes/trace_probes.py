"""What a model shows of its inside, and what stays behind: state, hooks, hidden states, attentions."""

from __future__ import annotations

from typing import Any

import torch

from toolkit.audit.fieldnotes.behaviours import Seen, behaviour
from toolkit.audit.fieldnotes.probing import EQUAL, asked, first_generated, gap, hooked, sent_to, text_part
from toolkit.audit.fieldnotes.tiny_families import Family, build


@behaviour({"none": "nothing stays behind", "(names)": "these stay behind and can reach the next call"})
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


@behaviour({"none": "none stay", "stay": "they stay; the size is their number"})
def hooks_left_by_hidden_states(family: Family) -> Seen:
    """Hooks that stay on the model after `output_hidden_states=True`."""
    tiny = build(family)
    before = _n_hooks(tiny.model)
    tiny.logits(**tiny.prompt(), output_hidden_states=True)
    left = _n_hooks(tiny.model) - before
    return ("stay", float(left)) if left else ("none", None)


@behaviour({"none": "every entry is its layer's input", "(numbers)": "these entries are something else"})
def hidden_states_that_no_layer_receives(family: Family) -> Seen:
    """Entries of `hidden_states` that are not what the layer of that number receives."""
    tiny, given = asked(family)
    layers = text_part(tiny.model).layers
    received: dict[int, torch.Tensor] = {}
    for number, layer in enumerate(layers):
        args, named = sent_to(tiny, layer, given)[0]
        received[number] = args[0] if args else named["hidden_states"]
    with torch.no_grad():
        states = tiny.model(**given, output_hidden_states=True).hidden_states
    wrong = [number for number, state in received.items() if gap(state, states[number]) > EQUAL]
    return ", ".join(map(str, wrong)) or "none", None


@behaviour(
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
    tiny, given = asked(family)
    if asked_before:
        tiny.model(**given, output_hidden_states=True)

    def change(module: Any, args: Any, named: Any, out: Any) -> Any:
        return (out[0] + 100, *out[1:]) if isinstance(out, tuple) else out + 100

    with hooked(text_part(tiny.model).layers[0], change):
        states = tiny.model(**given, output_hidden_states=True).hidden_states
    return float(states[1].mean()) > 50


@behaviour(
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
    return ("weights", None) if len(real) == len(text_part(tiny.model).layers) else ("some", float(len(real)))


@behaviour({"all tokens": "the whole prompt", "one token": "the last token alone"})
def last_layer_in_generate(family: Family) -> Seen:
    """What a hook on the last layer sees of the prompt in `generate`."""
    tiny, given = asked(family)
    lengths: list[int] = []

    def note(module: Any, args: Any, named: Any) -> None:
        lengths.append((args[0] if args else named["hidden_states"]).shape[1])

    with hooked(text_part(tiny.model).layers[-1], note, before=True):
        first_generated(tiny, given)
    return ("all tokens" if lengths[0] == given["input_ids"].shape[1] else "one token"), None
