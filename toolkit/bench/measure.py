"""Timing of the engine, of the plain path, and of a bare batched forward pass on the same tokens."""

from __future__ import annotations

import resource
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch

from toolkit.bench.workload import PLAIN_PASSES, Task
from toolkit.vlm import decoder
from toolkit.vlm.engine import Engine
from toolkit.vlm.game import score_games
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.plain import plain_values


@dataclass(frozen=True)
class Run:
    """One measured run of the engine.

    Attributes:
        seconds: Wall-clock time.
        cells: Distinct coalitions scored.
        images: Pictures encoded.
        rows: Decoder rows.
        tokens: Decoder tokens, padding not counted.
    """

    seconds: float
    cells: int
    images: int
    rows: int
    tokens: int


def synchronise(vlm: LoadedVLM) -> None:
    """Wait until a GPU has finished, so that the clock reads what was done."""
    if vlm.model.device.type == "cuda":
        torch.cuda.synchronize(vlm.model.device)


def timed(vlm: LoadedVLM, action: Callable[[], object]) -> float:
    """Seconds that an action takes."""
    synchronise(vlm)
    start = time.perf_counter()
    action()
    synchronise(vlm)
    return time.perf_counter() - start


def run_engine(vlm: LoadedVLM, tasks: Sequence[Task], *, together: bool = True) -> Run:
    """Score all tasks from nothing, in shared batches or one sample after the other."""
    games = [task.game(vlm) for task in tasks]
    for game in games:
        game.view.baseline(vlm.adapter, game.baseline)
    vlm.engine.forget()
    before = vlm.engine.counters
    start = (before.images, before.rows, before.tokens)
    requests = [(game, task.cells) for game, task in zip(games, tasks, strict=True)]

    def all_at_once() -> None:
        score_games(requests)

    def one_by_one() -> None:
        for request in requests:
            score_games([request])

    seconds = timed(vlm, all_at_once if together else one_by_one)
    after = vlm.engine.counters
    return Run(
        seconds,
        sum(game.n_evaluations for game in games),
        after.images - start[0],
        after.rows - start[1],
        after.tokens - start[2],
    )


def median_run(vlm: LoadedVLM, tasks: Sequence[Task], *, together: bool = True, repeats: int = 3) -> Run:
    """The run of median duration among some, after one that warms up."""
    run_engine(vlm, tasks[:1], together=together)
    runs = sorted((run_engine(vlm, tasks, together=together) for _ in range(repeats)), key=lambda run: run.seconds)
    return runs[len(runs) // 2]


def plain_seconds(vlm: LoadedVLM, tasks: Sequence[Task], *, passes: int = PLAIN_PASSES) -> float:
    """Seconds of one ordinary forward pass of the plain path, vision tower included, batch 1: the median over tasks."""
    found = []
    for task in tasks:
        game = task.game(vlm)
        game.view.baseline(vlm.adapter, game.baseline)
        cells = task.cells[np.arange(passes) % len(task.cells)]
        plain_values(game, cells[:3])
        found.append(timed(vlm, lambda g=game, c=cells: plain_values(g, c)) / passes)  # type: ignore[misc]
    return statistics.median(found)


@torch.inference_mode()
def bare_seconds(vlm: LoadedVLM, tasks: Sequence[Task], run: Run, *, repeats: int = 3) -> float:
    """Seconds of the bare model on as much work: the same number of pictures and of decoder tokens, well batched.

    The vision tower runs on batches of ready pixels, the decoder on batches of ready embeddings in rows of the mean
    length, causally and without a mask; there is no planning, no masking of pixels, no logit.
    """
    view = vlm.view(tasks[0].sample)
    pixels = view.pixels
    per_batch = max(1, min(run.images, vlm.engine.encode.entries.size // pixels.numel()))
    inputs = vlm.adapter.pixel_inputs(pixels.expand(per_batch, *pixels.shape).clone(), view.geometry)
    length = max(1, round(run.tokens / run.rows))
    n_rows = max(1, vlm.engine.tokens.size // length)
    width = vlm.model.config.get_text_config().hidden_size
    embeddings = torch.randn(n_rows, length, width, device=pixels.device, dtype=vlm.model.dtype)
    language_model = vlm.model.model.language_model
    with vlm.adapter.fast_vision(vlm.model):
        vision = _median_seconds(vlm, lambda: decoder.encode_images(vlm.model, inputs, per_batch), repeats)
    text = _median_seconds(vlm, lambda: language_model(inputs_embeds=embeddings, use_cache=False), repeats)
    return vision * run.images / per_batch + text * run.tokens / (n_rows * length)


def _median_seconds(vlm: LoadedVLM, action: Callable[[], object], repeats: int) -> float:
    action()
    return statistics.median(timed(vlm, action) for _ in range(repeats))


def peak_gib(vlm: LoadedVLM) -> float:
    """Highest memory use so far in GiB: the device's on a GPU, the process's on a CPU."""
    if vlm.model.device.type == "cuda":
        return torch.cuda.max_memory_allocated(vlm.model.device) / 2**30
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


def with_engine(
    vlm: LoadedVLM,
    *,
    max_tokens: int | None = None,
    max_entries: int | None = None,
    block_tokens: int | None = None,
) -> Engine:
    """Give the model a fresh engine with these bounds; returns the one it had."""
    old, vlm.engine = (
        vlm.engine,
        Engine(vlm.adapter, vlm.model, max_tokens=max_tokens, max_entries=max_entries, block_tokens=block_tokens),
    )
    return old
