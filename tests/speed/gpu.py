"""The engine at the released models' real shapes: exactness, speed-up, share of the bare rate, time of the grid."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any

import torch

from tests.speed.aims import GPU_AIMS, aim_rows
from tests.speed.measure import bare_pass, median_run, peak_gib, plain_pass
from tests.speed.workload import PLAIN_PASSES, Task, metric_tasks
from toolkit.audit.gpu.deadline import within
from toolkit.audit.gpu.gpu_check import difference_row, photographs
from toolkit.audit.gpu.released_shapes import SHAPES, build
from toolkit.vlm.memory import is_out_of_memory, release
from toolkit.vlm.model import LoadedVLM

FAMILIES = tuple(SHAPES)
GRID_SAMPLES = 8_917
GRID_EXPLAINERS = 9
"""The paper's grid: RePOPE, CV-Bench and MMStar together, nine explainers, three models."""

MINUTES = 7.5
"""A run ends within eight minutes, tables written."""

Rows = list[dict[str, Any]]
Report = Callable[[str], None]


def bench(families: Sequence[str], *, small: bool, report: Report, minutes: float = MINUTES) -> dict[str, Rows]:
    """Exactness in both precisions, speed, the extrapolated grid, and what could not be measured.

    Each family gets an equal share of the time that is left. A step that runs out of time or memory is listed with its
    reason, and the next family follows.

    Args:
        families: Which shapes.
        small: Small shapes, for a look at the script itself.
        report: Called with a line of text whenever something new begins.
        minutes: When to stop.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found: dict[str, Rows] = {"exactness": [], "metrics": [], "grid": [], "left_out": []}
    end = time.monotonic() + 60 * minutes
    for i, family in enumerate(families):
        share = (end - time.monotonic()) / (len(families) - i)
        at = [f"{SHAPES[family].name if family in SHAPES else family}: build"]

        def begin(line: str, at: list[str] = at) -> None:
            at[0] = line
            report(line)

        try:
            with within(share):
                _measure(family, device, found, small=small, begin=begin)
        except (TimeoutError, MemoryError, RuntimeError) as error:
            if not isinstance(error, TimeoutError | MemoryError) and not is_out_of_memory(error):
                raise
            found["left_out"].append({"from": at[0], "reason": str(error).splitlines()[0][:200]})
            report(f"{at[0]}: {found['left_out'][-1]['reason']}")
        release(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
    if len(found["grid"]) == len(FAMILIES):
        total = {key: sum(row[key] for row in found["grid"]) for key in ("hours", "each_s")}
        found["grid"].append({"model": "all", **total})
    return found if small else {"aims": aim_rows(found, GPU_AIMS), **found}


def _measure(family: str, device: torch.device, found: dict[str, Rows], *, small: bool, begin: Report) -> None:
    """Build one family's model and add its rows, one after the other, to the tables."""
    begin(f"{SHAPES[family].name if family in SHAPES else family}: build")
    vlm = build(family, device, torch.bfloat16, small=small)
    sample = photographs(1)[0]
    begin(f"{vlm.name}: exactness in bfloat16")
    found["exactness"].append(difference_row(vlm, sample, 6 if small else 24, target="yes"))
    begin(f"{vlm.name}: speed, one explainer")
    found["metrics"].append(speed_row(vlm, n_explainers=1, n_samples=4))
    n_explainers = 2 if small else GRID_EXPLAINERS
    begin(f"{vlm.name}: speed, {n_explainers} explainers")
    found["metrics"].append(speed_row(vlm, n_explainers=n_explainers, n_samples=2))
    found["grid"].append(grid_row(found["metrics"][-1]))
    begin(f"{vlm.name}: exactness in float32")
    model: Any = vlm.model
    whole = LoadedVLM(vlm.name, vlm.adapter, model.float())
    with torch.backends.cudnn.flags(allow_tf32=False):
        found["exactness"].append(difference_row(whole, sample, 4 if small else 8, target="yes"))


def device_name() -> str:
    """The GPU's name, or that there is none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU (no GPU)"


def speed_row(vlm: LoadedVLM, *, n_explainers: int, n_samples: int) -> dict[str, Any]:
    """Engine against the plain path, per (sample, explainer)."""
    tasks: list[Task] = metric_tasks(vlm, photographs(n_samples), n_explainers)
    plain = plain_pass(vlm, tasks[0], passes=30).wall * PLAIN_PASSES
    run = median_run(vlm, tasks, repeats=1)
    seconds = run.took.wall
    each = seconds / (n_samples * n_explainers)
    return {
        "model": vlm.name,
        "samples": n_samples,
        "explainers": n_explainers,
        "image_players": vlm.players(tasks[0].sample).n_image,
        "plain_s": plain,
        "engine_s": each,
        "speed_up": plain / each,
        "cells_per_s": run.cells / seconds,
        "share_of_bare": bare_pass(vlm, tasks, run, repeats=1).wall / seconds,
        "tokens_per_s": run.tokens / seconds,
        "peak_GiB": peak_gib(vlm),
    }


def grid_row(speed: dict[str, Any]) -> dict[str, Any]:
    """Hours for all samples of the paper's grid with all explainers; the explainers' own cost is not in it."""
    seconds = speed["engine_s"] * speed["explainers"] * GRID_SAMPLES * (GRID_EXPLAINERS / speed["explainers"])
    return {"model": speed["model"], "hours": seconds / 3600, "each_s": speed["engine_s"]}
