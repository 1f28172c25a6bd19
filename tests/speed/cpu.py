"""The engine on the embedded models: speed-up over the plain path, what each idea is worth, and how it scales."""

from __future__ import annotations

import copy
import dataclasses
import statistics
from collections.abc import Callable, Sequence
from typing import Any, TypedDict

import toolkit
from tests.speed.aims import CPU_AIMS, aim_rows
from tests.speed.measure import (
    Comparison,
    Took,
    bare_pass,
    compare,
    engine_bounds,
    flops_of,
    median_run,
    peak_gib,
    peak_rate,
    plain_flops,
    plain_pass,
    reset_peak,
    run_engine,
    timed,
)
from tests.speed.workload import PLAIN_PASSES, Task, macro_game_task, metric_tasks, order_task, scene_samples
from toolkit.audit.gpu.gpu_check import difference_row
from toolkit.datasets.sample import Sample
from toolkit.explainers.banzhaf_interaction import BanzhafInteraction
from toolkit.explainers.base import explain, get_explainer, passes_of
from toolkit.games.target import Target
from toolkit.vlm.model import LoadedVLM

Rows = list[dict[str, Any]]
Report = Callable[[str], None]


def both_precisions(vlm: LoadedVLM, sample: Sample, n: int) -> list[dict[str, Any]]:
    """The differences in the model's own precision, and those of a copy in bfloat16, for the same answer."""
    target = vlm.answer(sample).text
    model: Any = copy.deepcopy(vlm.model)
    half = LoadedVLM(vlm.name, vlm.adapter, model.bfloat16())
    return [difference_row(one, sample, n, target=target) for one in (vlm, half)]


def bound(vlm: LoadedVLM, tasks: Sequence[Task], found: Comparison, passes: float) -> dict[str, float]:
    """What bounds the speed-up over so many plain passes.

    Returns:
        ``fewer_flops``: how many times fewer operations the engine needs; ``limit``: the speed-up if these ran at the
        rate of one large matrix product and nothing else took any time.
    """
    fewest = flops_of(lambda: run_engine(vlm, tasks))
    return {
        "fewer_flops": statistics.mean(plain_flops(vlm, task) for task in tasks) * passes / fewest,
        "limit": found.plain.wall * passes * peak_rate(vlm) / fewest,
    }


def metrics_row(vlm: LoadedVLM, *, n_samples: int, turns: int, passes: int) -> dict[str, Any]:
    """Unimodal metrics and F_syn of one explainer: engine against 118 plain passes, per (sample, explainer)."""
    tasks = metric_tasks(vlm, scene_samples(n_samples), 1)
    reset_peak(vlm)
    found = compare(vlm, tasks, turns=turns, passes=passes)
    peak, run, n = peak_gib(vlm), found.run, len(tasks)
    speed_up = found.speed_up(PLAIN_PASSES * n)
    return {
        "model": vlm.name,
        "plain_s": found.plain.wall * PLAIN_PASSES,
        "engine_s": run.took.wall / n,
        "speed_up": speed_up.wall,
        "speed_up_cpu": speed_up.cpu,
        **bound(vlm, tasks, found, PLAIN_PASSES * n),
        "cells_per_s": run.cells / run.took.wall,
        "share_of_bare": bare_pass(vlm, tasks, run).wall / run.took.wall,
        "cells": run.cells / n,
        "images": run.images / n,
        "tokens": run.tokens / n,
        "peak_GiB": peak,
    }


def macro_row(vlm: LoadedVLM, *, turns: int, passes: int) -> dict[str, Any]:
    """Exact Shapley interaction index of the macro-game: engine against one plain pass per coalition.

    ``speed_up`` is over a pass for each of the 11 x 256 coalitions, ``speed_up_distinct`` over one for each distinct
    one.
    """
    return exact_row(vlm, macro_game_task(vlm, scene_samples(3)[1]), turns=turns, passes=passes)


def pairs_row(vlm: LoadedVLM, *, n_samples: int) -> dict[str, Any]:
    """The sampled pair matrix of ``banzhaf-interaction``, mirrored, on samples of 42 players: rows and standard error.

    ``share`` is that of the rows of ``shapley-interaction``, ``standard_error`` the largest over the samples of the
    root mean square over pairs.
    """
    samples, mirrored = toolkit.load_samples("scenes-existence", n=n_samples), BanzhafInteraction(mirrored=True)
    found = [explain(mirrored, vlm, sample) for sample in samples]
    players = found[0].players
    asked = passes_of("shapley-interaction", players.n)
    assert asked is not None
    rows = max(one.n_evaluations for one in found)
    return {
        "model": vlm.name, "players": players.n, "rows": rows, "shapley_interaction_rows": asked.forward,
        "share": rows / asked.forward, "standard_error": max(float(one.details["error"]) for one in found),
        "seconds": statistics.median(one.seconds for one in found),
    }  # fmt: skip


def exact_row(vlm: LoadedVLM, task: Task, *, turns: int, passes: int) -> dict[str, Any]:
    """All coalitions of a game of few players: engine against one plain pass per coalition."""
    reset_peak(vlm)
    found = compare(vlm, [task], turns=turns, passes=passes)
    peak, run = peak_gib(vlm), found.run
    speed_up = found.speed_up(task.n_asked)
    return {
        "model": vlm.name,
        "coalitions": task.n_asked,
        "cells": run.cells,
        "images": run.images,
        "plain_s": found.plain.wall * task.n_asked,
        "plain_passes_timed": turns * passes,
        "engine_s": run.took.wall,
        "speed_up": speed_up.wall,
        "speed_up_cpu": speed_up.cpu,
        **bound(vlm, [task], found, task.n_asked),
        "speed_up_distinct": found.speed_up(run.cells).wall,
        "share_of_bare": bare_pass(vlm, [task], run).wall / run.took.wall,
        "peak_GiB": peak,
    }


class _Bounds(TypedDict, total=False):
    max_tokens: int
    max_entries: int
    query_tokens: int
    by_words: bool
    by_layers: bool


_ALONE: _Bounds = {"max_tokens": 1, "max_entries": 1}
_PLAIN: _Bounds = {"by_words": False, "by_layers": False}

_IDEAS: tuple[tuple[str, _Bounds, bool], ...] = (
    ("each distinct image encoded once", {**_ALONE, **_PLAIN, "query_tokens": 1}, False),
    ("each image prefix run once", {**_ALONE, **_PLAIN}, False),
    ("batched within a sample", _PLAIN, False),
    ("batched over samples", _PLAIN, True),
    ("each question's beginning run once", {**_PLAIN, "by_words": True}, True),
    ("last layer only where an answer is read", {}, True),
)
"""The ideas, each on top of those before: its name, the engine that has it, and whether samples share batches."""


def idea_rows(vlm: LoadedVLM, *, n_samples: int, turns: int, passes: int) -> Rows:
    """What each idea adds, one after the other, per (sample, explainer)."""
    tasks = metric_tasks(vlm, scene_samples(n_samples), 1)
    few = tasks[: max(1, n_samples // 4)]
    passed = sorted((plain_pass(vlm, task, passes=passes) for task in tasks[:turns]), key=lambda took: took.wall)
    one_pass = passed[len(passed) // 2]
    cells = sum(len(task.cells) for task in tasks) / len(tasks)
    steps: list[tuple[str, Took]] = [
        (f"{PLAIN_PASSES} plain passes", one_pass * PLAIN_PASSES),
        ("each distinct cell once", one_pass * cells),
    ]
    for name, bounds, together in _IDEAS:
        some = few if "max_tokens" in bounds else tasks
        with engine_bounds(vlm, **bounds):
            steps.append((name, median_run(vlm, some, together=together, repeats=turns).took / len(some)))
    before = [steps[0], *steps]
    return [
        {
            "model": vlm.name,
            "idea": name,
            "seconds": took.wall,
            "cpu_s": took.cpu,
            "worth": last.wall / took.wall,
            "speed_up": steps[0][1].wall / took.wall,
        }
        for (name, took), (_, last) in zip(steps, before, strict=False)
    ]


def scaling_rows(vlm: LoadedVLM, sizes: Sequence[tuple[int, int]]) -> Rows:
    """Time per (sample, explainer) for pairs of numbers of samples and explainers."""
    rows = []
    for n_samples, n_explainers in sizes:
        tasks = metric_tasks(vlm, scene_samples(n_samples), n_explainers)
        reset_peak(vlm)
        run = median_run(vlm, tasks, repeats=1 if n_samples * n_explainers > 64 else 3)
        rows.append(
            {
                "model": vlm.name,
                "samples": n_samples,
                "explainers": n_explainers,
                "cells": run.cells / n_samples,
                "images": run.images / n_samples,
                "seconds": run.took.wall,
                "each_s": run.took.wall / (n_samples * n_explainers),
                "each_cpu_s": run.took.cpu / (n_samples * n_explainers),
                "cells_per_s": run.cells / run.took.wall,
                "peak_GiB": peak_gib(vlm),
            }
        )
    return rows


ANSWER = "red circle left of blue square and green triangle above yellow star there is no object on the background ."
"""Twenty words of the embedded world, which are twenty tokens to its models."""


def answer_rows(vlm: LoadedVLM, *, turns: int) -> Rows:
    """Explaining every token of a 20-word answer, against explaining one token: the same explainer, side by side."""
    sample = dataclasses.replace(scene_samples(1)[0], choices=None)
    tokens = [part.target for part in vlm.answer_parts(sample, ANSWER, per="token")]
    alone = [part.target for part in vlm.answer_parts(sample, ANSWER.split()[0], per="token")]

    def explained(explainer: str, targets: Sequence[Target]) -> Took:
        vlm.forget()
        return timed(vlm, lambda: [explain(explainer, vlm, sample, target=target) for target in targets])

    rows = []
    for explainer in ("occlusion", "kernel-shap", "input-x-gradient"):
        pairs = [(explained(explainer, alone), explained(explainer, tokens)) for _ in range(turns)]
        one, every = min(pairs, key=lambda pair: pair[1].cpu / pair[0].cpu)
        rows.append(
            {
                "model": vlm.name,
                "explainer": explainer,
                "asks": "the game" if "game" in get_explainer(explainer).needs else "gradients",
                "tokens": len(tokens),
                "one_s": one.wall,
                "all_s": every.wall,
                "times_one": every.wall / one.wall,
                "times_one_cpu": every.cpu / one.cpu,
            }
        )
    return rows


SIZES = ((1, 1), (4, 1), (16, 1), (64, 1), (256, 1), (16, 3), (16, 9), (1, 9))
QUICK_SIZES = ((1, 1), (4, 1), (2, 3))


def bench(models: Sequence[LoadedVLM], *, quick: bool, report: Report) -> dict[str, Rows]:
    """All tables, the aims first.

    Args:
        models: Loaded models; the ideas and the scaling are measured on the first.
        quick: Few samples and passes: shows that everything runs; the numbers are rough.
        report: Called with a line of text whenever something new begins.
    """
    n_samples, turns, passes = (2, 1, 20) if quick else (16, 3, PLAIN_PASSES)
    metrics, macro, exactness, answers, orders, pairs = [], [], [], [], [], []
    for vlm in models:
        report(f"{vlm.name}: exactness")
        exactness += both_precisions(vlm, scene_samples(1)[0], 8 if quick else 48)
        report(f"{vlm.name}: metrics of one explainer")
        metrics.append(metrics_row(vlm, n_samples=n_samples, turns=turns, passes=passes))
        report(f"{vlm.name}: exact index of the macro-game")
        macro.append(macro_row(vlm, turns=1 if quick else 2, passes=passes))
        report(f"{vlm.name}: all coalitions of the study of orders")
        task = order_task(vlm, scene_samples(3)[1], n_cells=4 if quick else 10)
        orders.append(exact_row(vlm, task, turns=1 if quick else 2, passes=passes))
        report(f"{vlm.name}: pairs by sampling")
        pairs.append(pairs_row(vlm, n_samples=1 if quick else 4))
        report(f"{vlm.name}: every token of an answer")
        answers += answer_rows(vlm, turns=turns)
    report(f"{models[0].name}: what each idea is worth")
    ideas = idea_rows(models[0], n_samples=n_samples, turns=turns, passes=passes)
    report(f"{models[0].name}: scaling")
    scaling = scaling_rows(models[0], QUICK_SIZES if quick else SIZES)
    found = {"metrics": metrics, "macro_game": macro, "ideas": ideas, "scaling": scaling, "exactness": exactness}
    found |= {"answers": answers, "orders": orders, "pairs": pairs}
    return {"aims": aim_rows(found, CPU_AIMS), **found}
