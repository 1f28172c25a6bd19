"""The engine on the embedded models: speed-up over the plain path, what each idea is worth, and how it scales."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from toolkit.bench.measure import bare_seconds, median_run, peak_gib, plain_seconds, with_engine
from toolkit.bench.workload import PLAIN_PASSES, macro_game_task, metric_tasks, scene_samples
from toolkit.vlm.model import LoadedVLM

Rows = list[dict[str, Any]]
Report = Callable[[str], None]


def metrics_row(vlm: LoadedVLM, *, n_samples: int, n_plain: int) -> dict[str, Any]:
    """Unimodal metrics and F_syn of one explainer: engine against 118 plain passes, per (sample, explainer)."""
    tasks = metric_tasks(vlm, scene_samples(n_samples), 1)
    plain = plain_seconds(vlm, tasks[:n_plain]) * PLAIN_PASSES
    run = median_run(vlm, tasks)
    each = run.seconds / len(tasks)
    return {
        "model": vlm.name,
        "plain_s": plain,
        "engine_s": each,
        "speed_up": plain / each,
        "cells_per_s": run.cells / run.seconds,
        "share_of_bare": bare_seconds(vlm, tasks, run) / run.seconds,
        "cells": run.cells / len(tasks),
        "images": run.images / len(tasks),
        "tokens": run.tokens / len(tasks),
        "peak_GiB": peak_gib(vlm),
    }


def macro_row(vlm: LoadedVLM, *, n_plain: int) -> dict[str, Any]:
    """Exact Shapley interaction index of the macro-game: engine against one plain pass per distinct coalition."""
    task = macro_game_task(vlm, scene_samples(3)[1])
    plain = plain_seconds(vlm, [task], passes=n_plain) * len(task.cells)
    run = median_run(vlm, [task], repeats=1)
    return {
        "model": vlm.name,
        "cells": run.cells,
        "images": run.images,
        "plain_s": plain,
        "plain_passes_timed": n_plain,
        "engine_s": run.seconds,
        "speed_up": plain / run.seconds,
        "share_of_bare": bare_seconds(vlm, [task], run) / run.seconds,
        "peak_GiB": peak_gib(vlm),
    }


def idea_rows(vlm: LoadedVLM, *, n_samples: int, n_plain: int) -> Rows:
    """What each idea adds, one after the other, per (sample, explainer)."""
    tasks = metric_tasks(vlm, scene_samples(n_samples), 1)
    one_pass = plain_seconds(vlm, tasks[:n_plain])
    cells = sum(len(task.cells) for task in tasks) / len(tasks)
    steps: list[tuple[str, float]] = [
        ("118 plain passes", one_pass * PLAIN_PASSES),
        ("each distinct cell once", one_pass * cells),
    ]
    few = tasks[: max(1, n_samples // 4)]
    for name, bounds, some, together in (
        ("each distinct image encoded once", {"max_tokens": 1, "max_entries": 1, "block_tokens": 1}, few, False),
        ("each image prefix run once", {"max_tokens": 1, "max_entries": 1}, few, False),
        ("batched within a sample", {}, tasks, False),
        ("batched over samples", {}, tasks, True),
    ):
        old = with_engine(vlm, **bounds)
        steps.append((name, median_run(vlm, some, together=together).seconds / len(some)))
        vlm.engine = old
    return [
        {"model": vlm.name, "idea": name, "seconds": seconds, "speed_up": steps[0][1] / seconds}
        for name, seconds in steps
    ]


def scaling_rows(vlm: LoadedVLM, sizes: Sequence[tuple[int, int]]) -> Rows:
    """Time per (sample, explainer) for pairs of numbers of samples and explainers."""
    rows = []
    for n_samples, n_explainers in sizes:
        tasks = metric_tasks(vlm, scene_samples(n_samples), n_explainers)
        run = median_run(vlm, tasks, repeats=1 if n_samples * n_explainers > 64 else 3)
        rows.append(
            {
                "model": vlm.name,
                "samples": n_samples,
                "explainers": n_explainers,
                "seconds": run.seconds,
                "each_s": run.seconds / (n_samples * n_explainers),
                "cells_per_s": run.cells / run.seconds,
                "peak_GiB": peak_gib(vlm),
            }
        )
    return rows


SIZES = ((1, 1), (4, 1), (16, 1), (64, 1), (256, 1), (16, 3), (16, 9))
QUICK_SIZES = ((1, 1), (4, 1), (2, 3))


def bench(models: Sequence[LoadedVLM], *, quick: bool, report: Report) -> dict[str, Rows]:
    """All four tables.

    Args:
        models: Loaded models.
        quick: Few samples and passes: shows that everything runs; the numbers are rough.
        report: Called with a line of text whenever something new begins.
    """
    n_samples, n_plain, sizes = (2, 1, QUICK_SIZES) if quick else (16, 2, SIZES)
    metrics, macro = [], []
    for vlm in models:
        report(f"{vlm.name}: metrics of one explainer")
        metrics.append(metrics_row(vlm, n_samples=n_samples, n_plain=n_plain))
        report(f"{vlm.name}: exact index of the macro-game")
        macro.append(macro_row(vlm, n_plain=10 if quick else PLAIN_PASSES))
    report(f"{models[0].name}: what each idea is worth")
    ideas = idea_rows(models[0], n_samples=n_samples, n_plain=n_plain)
    report(f"{models[0].name}: scaling")
    scaling = scaling_rows(models[0], sizes)
    return {"metrics": metrics, "macro_game": macro, "ideas": ideas, "scaling": scaling}
