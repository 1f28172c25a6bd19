"""Timing of the engine, of the plain path, and of a bare batched forward pass on the same tokens."""

from __future__ import annotations

import re
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch.nn import functional
from torch.utils.flop_counter import FlopCounterMode

from tests.speed.workload import PLAIN_PASSES, Task
from toolkit.vlm.engine import decoder, products
from toolkit.vlm.engine.engine import Engine
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.reference import plain_values
from toolkit.vlm.sample_game import score_games

BARE_TOKENS = (512, 1024, 2048)
"""Batches that the bare pass is tried with on a CPU; the fastest counts."""


@dataclass(frozen=True)
class Took:
    """How long something took.

    Attributes:
        wall: Seconds on the clock.
        cpu: Seconds of processor time, all threads together: steadier on a machine that others use as well.
    """

    wall: float
    cpu: float

    def __truediv__(self, n: float) -> Took:
        return Took(self.wall / n, self.cpu / n)

    def __mul__(self, n: float) -> Took:
        return Took(self.wall * n, self.cpu * n)

    def __add__(self, other: Took) -> Took:
        return Took(self.wall + other.wall, self.cpu + other.cpu)


@dataclass(frozen=True)
class Run:
    """One measured run of the engine.

    Attributes:
        took: Its time.
        cells: Distinct coalitions scored.
        images: Pictures encoded.
        rows: Decoder rows.
        tokens: Decoder tokens, padding not counted.
    """

    took: Took
    cells: int
    images: int
    rows: int
    tokens: int


def synchronise(vlm: LoadedVLM) -> None:
    """Wait until a GPU has finished, so that the clock reads what was done."""
    if vlm.model.device.type == "cuda":
        torch.cuda.synchronize(vlm.model.device)


def timed(vlm: LoadedVLM, action: Callable[[], object]) -> Took:
    """How long an action takes."""
    synchronise(vlm)
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    synchronise(vlm)
    return Took(time.perf_counter() - wall, time.process_time() - cpu)


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

    took = timed(vlm, all_at_once if together else one_by_one)
    after = vlm.engine.counters
    return Run(
        took,
        sum(game.n_evaluations for game in games),
        after.images - start[0],
        after.rows - start[1],
        after.tokens - start[2],
    )


def median_run(vlm: LoadedVLM, tasks: Sequence[Task], *, together: bool = True, repeats: int = 3) -> Run:
    """The run of median duration among some, after one that warms up."""
    run_engine(vlm, tasks[:1], together=together)
    runs = sorted((run_engine(vlm, tasks, together=together) for _ in range(repeats)), key=lambda run: run.took.wall)
    return runs[len(runs) // 2]


def plain_pass(vlm: LoadedVLM, task: Task, *, passes: int = PLAIN_PASSES) -> Took:
    """One ordinary forward pass of the plain path, vision tower included, batch 1: the mean over some passes."""
    game = task.game(vlm)
    game.view.baseline(vlm.adapter, game.baseline)
    cells = task.cells[np.arange(passes) % len(task.cells)]
    plain_values(game, cells[:3])
    return timed(vlm, lambda: plain_values(game, cells)) / passes


@dataclass(frozen=True)
class Comparison:
    """The engine and the plain path, measured in turn so that what else the machine does meets both.

    Attributes:
        run: The engine's run of median duration.
        plain: One plain pass: the median.
        ratios: Plain pass over engine run, for each turn.
    """

    run: Run
    plain: Took
    ratios: Sequence[Took]

    def speed_up(self, passes: float) -> Took:
        """How many times faster the run is than so many plain passes: the median of the turns."""
        walls, cpus = [r.wall for r in self.ratios], [r.cpu for r in self.ratios]
        return Took(statistics.median(walls), statistics.median(cpus)) * passes


def compare(vlm: LoadedVLM, tasks: Sequence[Task], *, turns: int, passes: int) -> Comparison:
    """Measure plain passes on one task and the engine on all of them, in turn."""
    run_engine(vlm, tasks[:1])
    plain, runs = [], []
    for turn in range(turns):
        plain.append(plain_pass(vlm, tasks[turn % len(tasks)], passes=passes))
        runs.append(run_engine(vlm, tasks))
    ratios = [Took(p.wall / r.took.wall, p.cpu / r.took.cpu) for p, r in zip(plain, runs, strict=True)]
    middle = Took(statistics.median(p.wall for p in plain), statistics.median(p.cpu for p in plain))
    return Comparison(sorted(runs, key=lambda run: run.took.wall)[len(runs) // 2], middle, ratios)


@torch.inference_mode()
def bare_pass(vlm: LoadedVLM, tasks: Sequence[Task], run: Run, *, repeats: int = 3) -> Took:
    """The bare model on as much work as a run had: the same number of pictures and of decoder tokens, well batched.

    The vision tower runs on batches of ready pixels, transformers' decoder on batches of ready embeddings in rows of
    the mean length, causally and without a mask, in the fastest of some batch sizes; there is no planning, no masking
    of pixels, no logit. It runs on PyTorch's own functions, so the engine's share of its rate may be above 1.
    """
    view = vlm.view(tasks[0].sample)
    pixels = view.pixels
    per_batch = max(1, min(run.images, vlm.engine.encode.entries.size // pixels.numel()))
    inputs = vlm.adapter.pixel_inputs(pixels.expand(per_batch, *pixels.shape).clone(), view.geometry)
    with vlm.adapter.fast_vision(vlm.model):
        vision = _median(vlm, lambda: decoder.encode_images(vlm.model, inputs, per_batch), repeats) / per_batch
    length = max(1, round(run.tokens / run.rows))
    sizes = BARE_TOKENS if pixels.device.type == "cpu" else (vlm.engine.tokens.size,)
    text = min((_bare_token(vlm, length, size, repeats) for size in sizes), key=lambda took: took.wall)
    return vision * run.images + text * run.tokens


def _bare_token(vlm: LoadedVLM, length: int, tokens: int, repeats: int) -> Took:
    """One token's share of a batch of full rows."""
    n_rows = max(1, tokens // length)
    width = vlm.model.config.get_text_config().hidden_size
    embeddings = torch.randn(n_rows, length, width, device=vlm.model.device, dtype=vlm.model.dtype)
    stack = cast(Any, vlm.model).get_decoder()
    return _median(vlm, lambda: stack(inputs_embeds=embeddings, use_cache=False), repeats) / (n_rows * length)


def _attention_flops(query: Sequence[int], key: Sequence[int], value: Sequence[int], *_: object, **__: object) -> int:
    batch, heads, length, width = query
    return 2 * batch * heads * length * key[2] * (width + value[3])


def _linear_flops(rows: Sequence[int], weight: Sequence[int], *_: object, **__: object) -> int:
    """Operations of oneDNN's linear layer, which PyTorch's counter does not know."""
    return 2 * rows[0] * rows[1] * weight[0]


_UNCOUNTED: dict[Any, Callable[..., int]] = {
    torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: _attention_flops,
    **({} if products.ONEDNN is None else {products.ONEDNN: _linear_flops}),
}
"""What PyTorch's counter of operations does not know."""


def flops_of(action: Callable[[], object]) -> int:
    """Floating-point operations of the matrix products, attentions and convolutions in an action."""
    with FlopCounterMode(display=False, custom_mapping=_UNCOUNTED) as counter:
        action()
    return int(counter.get_total_flops())


def plain_flops(vlm: LoadedVLM, task: Task, *, passes: int = 4) -> float:
    """Operations of one plain pass: the mean over cells from all over the task."""
    game = task.game(vlm)
    game.view.baseline(vlm.adapter, game.baseline)
    cells = task.cells[np.linspace(0, len(task.cells) - 1, passes).astype(int)]
    return flops_of(lambda: plain_values(game, cells)) / passes


@torch.inference_mode()
def peak_rate(vlm: LoadedVLM, *, side: int = 1024, repeats: int = 5) -> float:
    """Operations per second of one large square matrix product on the model's device and in its dtype."""
    matrix = torch.randn(side, side, device=vlm.model.device, dtype=vlm.model.dtype)
    with products.fast_products():
        return 2 * side**3 / _median(vlm, lambda: functional.linear(matrix, matrix), repeats).wall


def _median(vlm: LoadedVLM, action: Callable[[], object], repeats: int) -> Took:
    action()
    took = sorted((timed(vlm, action) for _ in range(repeats)), key=lambda one: one.wall)
    return took[len(took) // 2]


def reset_peak(vlm: LoadedVLM) -> None:
    """Begin a new measurement of the highest memory use, where the system can."""
    if vlm.model.device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(vlm.model.device)
        return
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        return  # the peak is then that of the whole process so far


def peak_gib(vlm: LoadedVLM) -> float:
    """Highest memory use in GiB since the last reset: the device's on a GPU, the process's on a CPU."""
    if vlm.model.device.type == "cuda":
        return torch.cuda.max_memory_allocated(vlm.model.device) / 2**30
    try:
        found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    except OSError:
        found = None
    if found is not None:
        return int(found.group(1)) / 2**20
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**30 if sys.platform == "darwin" else 2**20)


@contextmanager
def engine_bounds(
    vlm: LoadedVLM,
    *,
    max_tokens: int | None = None,
    max_entries: int | None = None,
    query_tokens: int | None = None,
    by_words: bool = True,
    by_layers: bool = True,
) -> Iterator[None]:
    """Give the model a fresh engine with these bounds for a while."""
    old = vlm.engine
    vlm.engine = Engine(
        vlm.adapter,
        vlm.model,
        max_tokens=max_tokens,
        max_entries=max_entries,
        query_tokens=query_tokens,
        by_words=by_words,
        by_layers=by_layers,
    )
    try:
        yield
    finally:
        vlm.engine = old
