"""What the engine is meant to reach, beside what was measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Aim:
    """One bound on one column of one table.

    Attributes:
        text: What is bounded, in words.
        table: Name of the table.
        column: Name of the column.
        bound: The bound.
        at_least: Whether the measured value must be at least the bound; False: at most.
        only: A column and how its entry must begin for a row to count.
    """

    text: str
    table: str
    column: str
    bound: float
    at_least: bool = True
    only: tuple[str, str] = ("model", "")


GB = 2**30 / 1e9
CPU_AIMS = (
    Aim("metrics of one explainer: times faster than 118 plain passes", "metrics", "speed_up", 20.0),
    Aim("metrics: share of the bare rate", "metrics", "share_of_bare", 0.7),
    Aim("macro-game: times faster than one plain pass per coalition", "macro_game", "speed_up", 20.0),
    Aim(
        "float32: difference of values to the plain path",
        "exactness",
        "max",
        1e-5,
        at_least=False,
        only=("dtype", "float32"),
    ),
    Aim("metrics: peak memory in GiB (1.5 GB)", "metrics", "peak_GiB", 1.5 / GB, at_least=False),
    Aim("all 2^14 coalitions of a sample: times faster than one plain pass each", "orders", "speed_up", 20.0),
    Aim("pairs by sampling: share of the rows of shapley-interaction", "pairs", "share", 0.5, at_least=False),
    Aim("pairs by sampling: standard error", "pairs", "standard_error", 0.01, at_least=False),
    Aim("macro-game: peak memory in GiB (1.5 GB)", "macro_game", "peak_GiB", 1.5 / GB, at_least=False),
    Aim(
        "every token of a 20-word answer, explainers that ask the game: times one token",
        "answers",
        "times_one_cpu",
        3.0,
        at_least=False,
        only=("asks", "the game"),
    ),
    Aim("256 samples: peak memory in GiB (1.5 GB)", "scaling", "peak_GiB", 1.5 / GB, at_least=False),
)
RELEASED_AIMS = (
    Aim("metrics at released token counts: share of the bound by distinct tokens", "released", "share", 0.9),
    Aim("occlusion on grid:12x12 over that on 576 cells", "occlusion", "share", 0.25, at_least=False),
)
LOADING_AIMS = (
    Aim("later loads: times transformers' own", "loading", "later", 1.3, at_least=False),
    Aim("first load less ten plain passes: times transformers' own", "loading", "first", 1.3, at_least=False),
)
EXPLAINER_AIMS = tuple(
    Aim(f"{name}: plain passes", "explainers", "passes", bound, at_least=False, only=("explainer", name))
    for name, bound in {
        "input-x-gradient": 4.0,
        "attn-lrp": 8.0,
        "rollout": 4.0,
        "grad-rollout": 6.0,
        "llava-cam": 30.0,
        "smoothgrad": 36.0,
    }.items()
)
GPU_AIMS = (
    Aim("times faster than the plain path", "metrics", "speed_up", 8.0, only=("model", "LLaVA-1.5-7B")),
    Aim("share of the bare rate", "metrics", "share_of_bare", 0.6),
    Aim("hours for the full grid", "grid", "hours", 12.0, at_least=False, only=("model", "all")),
    Aim(
        "float32: difference of log-probability to the plain path",
        "exactness",
        "max_log",
        1e-3,
        at_least=False,
        only=("dtype", "float32"),
    ),
)


def aim_rows(tables: Mapping[str, Sequence[Mapping[str, Any]]], aims: Sequence[Aim]) -> list[dict[str, Any]]:
    """For each aim its worst measured row, and whether that row reaches it; "not measured" where there is none."""
    rows = []
    for aim in aims:
        found = [row for row in tables.get(aim.table, ()) if str(row[aim.only[0]]).startswith(aim.only[1])]
        worst = (min if aim.at_least else max)(found, key=lambda row: float(row[aim.column]), default=None)
        value = float("nan") if worst is None else float(worst[aim.column])
        is_reached = value >= aim.bound if aim.at_least else value <= aim.bound
        rows.append(
            {
                "aim": aim.text,
                "bound": f"{'>=' if aim.at_least else '<='} {aim.bound:.3g}",
                "worst": "-" if worst is None else value,
                "model": "-" if worst is None else worst["model"],
                "verdict": "not measured" if worst is None else "reached" if is_reached else "missed",
            }
        )
    return rows
