"""The page of twelve checks: every line runs, says True of a sound pipeline and False of one that breaks it."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from toolkit.audit.fieldnotes.probes import BEHAVIOURS
from toolkit.audit.fieldnotes.tiny_families import FAMILIES, build

PAGE = (Path(__file__).parents[3] / "notebooks" / "site" / "before_you_trust_a_map.md").read_text(encoding="utf-8")
SETUP, *CHECKS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)


def remove(given: dict[str, Any], cells: Any) -> dict[str, Any]:
    """LLaVA's image of 2 x 2 cells, some of them at zero."""
    pixels = given["pixel_values"].clone()
    for cell in np.atleast_1d(cells):
        row, column = divmod(int(cell), 2)
        pixels[:, :, 14 * row : 14 * row + 14, 14 * column : 14 * column + 14] = 0
    return {**given, "pixel_values": pixels}


def pipeline(family: str = "LLaVA") -> dict[str, Any]:
    """The names of the page, with occlusion as LLaVA's map."""
    torch.manual_seed(0)
    tiny = build(FAMILIES[family])
    inputs = tiny.prompt()
    names: dict[str, Any] = {"model": tiny.model, "inputs": inputs, "other": tiny.prompt(1), "remove": remove}
    names |= {"i": inputs["input_ids"].shape[1] - 5, "t": 7, "best": [0]}

    def explain(given: dict[str, Any]) -> np.ndarray:
        if family != "LLaVA":
            return np.arange(4.0)
        return np.array([float(names["ask"](given)[7] - names["ask"](remove(given, cell))[7]) for cell in range(4)])

    names["explain"] = explain
    exec(SETUP, names)
    names["best"] = np.argsort(-explain(inputs))[:1]
    return names


def says(check: int, names: dict[str, Any]) -> bool:
    with torch.no_grad():
        return bool(eval(CHECKS[check - 1].strip(), names))


def test_there_are_twelve_lines_and_each_names_notes_that_exist() -> None:
    assert len(CHECKS) == 12
    assert all(len(check.strip().splitlines()) == 1 for check in CHECKS)
    assert len(re.findall(r"^## \d+\. ", PAGE, re.MULTILINE)) == 12
    known = {name.replace("_", " ") for name in BEHAVIOURS}
    named = [each for line in re.findall(r"Note: (.*)", PAGE) for each in re.split(r", |; .* for | \(", line)]
    assert {each.rstrip(".") for each in named if "remove cells" not in each} - {"not through the mask)"} <= known


@pytest.mark.parametrize("check", range(1, 13))
def test_a_check_passes_where_it_should(check: int) -> None:
    family = "Qwen2.5-VL" if check == 2 else "LLaVA"
    assert says(check, pipeline(family))


def _stateful(names: dict[str, Any]) -> None:
    calls: list[int] = []
    names["ask"] = lambda given: calls.append(0) or torch.full((3,), float(len(calls)))


def _bool_mask(names: dict[str, Any]) -> None:
    n_tokens = names["inputs"]["input_ids"].shape[1]
    names["model"].set_attn_implementation("eager")
    names["masked"]["attention_mask"] = torch.ones(1, 1, n_tokens, n_tokens, dtype=torch.bool).tril()
    names["masked"]["attention_mask"][..., names["i"]] = False


def _short_mask(names: dict[str, Any]) -> None:
    names["inputs"]["attention_mask"] = names["inputs"]["attention_mask"][:, 1:]


def _no_types(names: dict[str, Any]) -> None:
    del names["inputs"]["mm_token_type_ids"]


def _batch_matters(names: dict[str, Any]) -> None:
    names["ask"] = lambda given: torch.tensor([float(len(given["input_ids"]))])


def _hooked(names: dict[str, Any]) -> None:
    names["model"].lm_head.register_forward_hook(lambda module, args, out: out)


def _eager_differs(names: dict[str, Any]) -> None:
    del names["inputs"]["token_type_ids"]


def _upside_down(names: dict[str, Any]) -> None:
    names["best"] = np.argsort(names["explain"](names["inputs"]))[:1]


def _blind(names: dict[str, Any]) -> None:
    names["best"] = [0]
    names["explain"] = lambda given: np.arange(4.0)


@pytest.mark.parametrize(
    ("check", "family", "broken"),
    [
        (1, "LLaVA", _stateful), (2, "LLaVA", None), (3, "LLaVA", _bool_mask), (4, "LLaVA", _short_mask),
        (5, "Qwen2.5-VL", _no_types), (6, "Qwen2.5-VL", None), (7, "PaliGemma", None), (8, "LLaVA", _batch_matters),
        (9, "LLaVA", _hooked), (10, "PaliGemma", _eager_differs), (11, "LLaVA", _upside_down),
        (12, "LLaVA", _blind),
    ],
)  # fmt: skip
def test_a_check_fails_where_it_should(
    check: int, family: str, broken: Callable[[dict[str, Any]], None] | None
) -> None:
    names = pipeline(family)
    if broken is not None:
        broken(names)
    assert not says(check, names)
