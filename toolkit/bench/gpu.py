"""The engine at the released models' real shapes: exactness, speed-up, share of the bare rate, time of the grid."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image

from toolkit.bench.measure import bare_pass, median_run, peak_gib, plain_pass
from toolkit.bench.shapes import SHAPES, build
from toolkit.bench.workload import PLAIN_PASSES, Task, metric_tasks
from toolkit.datasets.sample import Sample
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.plain import plain_values

FAMILIES = tuple(SHAPES)
GRID_SAMPLES = 8_917
GRID_EXPLAINERS = 9
"""The paper's grid: RePOPE, CV-Bench and MMStar together, nine explainers, three models."""

Rows = list[dict[str, Any]]
Report = Callable[[str], None]


def bench(families: Sequence[str], *, small: bool, report: Report) -> dict[str, Rows]:
    """Three tables: exactness in both precisions, speed, and the extrapolated grid.

    Args:
        families: Which shapes.
        small: Small shapes, for a look at the script itself.
        report: Called with a line of text whenever something new begins.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    exactness: Rows = []
    metrics: Rows = []
    grid: Rows = []
    for family in families:
        start = time.perf_counter()
        vlm = build(family, device, torch.bfloat16, small=small)
        vlm.engine.forget()
        report(f"{vlm.name}: built in {time.perf_counter() - start:.0f} s, {peak_gib(vlm):.1f} GiB")
        exactness.append(difference_row(vlm, 6 if small else 24))
        report(f"{vlm.name}: speed")
        metrics.append(speed_row(vlm, n_explainers=1, n_samples=4))
        metrics.append(speed_row(vlm, n_explainers=2 if small else GRID_EXPLAINERS, n_samples=2))
        grid.append(grid_row(metrics[-1]))
        report(f"{vlm.name}: exactness in float32")
        model: Any = vlm.model
        vlm = LoadedVLM(vlm.name, vlm.adapter, model.float())
        with torch.backends.cudnn.flags(allow_tf32=False):
            exactness.append(difference_row(vlm, 4 if small else 8))
        report(f"{vlm.name}: {time.perf_counter() - start:.0f} s in all")
        del vlm
        gc.collect()
        if device.type == "cuda":
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(device)
    if len(grid) > 1:
        grid.append({"model": "all", "hours": sum(row["hours"] for row in grid), "each_s": float("nan")})
    return {"exactness": exactness, "metrics": metrics, "grid": grid}


def device_name() -> str:
    """The GPU's name, or that there is none."""
    return torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU (no GPU)"


def photographs(n: int) -> list[Sample]:
    """Random pictures of a photograph's size, with a question of ordinary length."""
    samples = []
    for seed in range(n):
        levels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        picture = Image.fromarray(levels).resize((640, 480), Image.Resampling.BICUBIC)
        question = "is there a red circle next to the blue square in the picture?"
        samples.append(Sample(f"photograph-{seed}", picture, question, "answer with yes or no.", ("yes", "no")))
    return samples


def difference_row(vlm: LoadedVLM, n: int) -> dict[str, Any]:
    """Distribution of |engine - plain| over random coalitions of one sample."""
    game = vlm.game(photographs(1)[0], target="yes")
    rng = np.random.default_rng(0)
    chosen = rng.random((n, game.players.n)) < rng.random((n, 1))
    chosen[0], chosen[1:4, : game.players.n_image] = True, chosen[4 % n, : game.players.n_image]
    fast, plain = game(chosen), plain_values(game, chosen)
    difference = np.abs(fast - plain)
    return {
        "model": vlm.name,
        "dtype": str(vlm.model.dtype).removeprefix("torch."),
        "coalitions": n,
        "median": float(np.median(difference)),
        "p90": float(np.quantile(difference, 0.9)),
        "max": float(difference.max()),
        "max_log": float(np.abs(np.log(fast) - np.log(plain)).max()),
    }


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
