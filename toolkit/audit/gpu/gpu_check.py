"""The check of a GPU, unattended: exactness in both precisions, time per (sample, explainer), memory, the hub.

The released models' shapes are built with random weights, which cost what the released ones cost, one family after the
other, each within its share of the time; what was not measured is listed with the reason.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from PIL import Image

from toolkit.audit.gpu.deadline import within
from toolkit.audit.gpu.released_shapes import SHAPES, build
from toolkit.datasets.sample import Sample
from toolkit.explainers.base import explain
from toolkit.synergy.evaluate import evaluate_all
from toolkit.vlm.loading.checkpoint import CheckpointError
from toolkit.vlm.loading.load_checkpoint import load_vlm
from toolkit.vlm.memory import is_out_of_memory, release
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.reference import plain_values

MINUTES = 7.5
"""A check ends within eight minutes."""

EXPLAINERS = ("input-x-gradient", "attn-lrp", "tam", "occlusion")
HUB_MODEL = "Qwen/Qwen2.5-VL-3B-Instruct"
"""The smallest model that the catalogue pins."""

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class GpuCheck:
    """What was found on a GPU.

    Attributes:
        device: Name of the card.
        exactness: |engine - plain path| per model and precision.
        speed: Seconds and peak memory per model and explainer: attribution and all metrics of one sample.
        left_out: What was not measured, and why.
    """

    device: str
    exactness: Rows = field(default_factory=list)
    speed: Rows = field(default_factory=list)
    left_out: Rows = field(default_factory=list)

    def tables(self) -> Iterator[tuple[list[str], list[list[str]]]]:
        """Header and rows of each table that has any."""
        for rows in (self.exactness, self.speed, self.left_out):
            if rows:
                cells = [[row[name] for name in rows[0]] for row in rows]
                yield list(rows[0]), [[f"{x:.3g}" if isinstance(x, float) else str(x) for x in row] for row in cells]


def gpu_check(
    *,
    families: Sequence[str] = tuple(SHAPES),
    small: bool = False,
    minutes: float = MINUTES,
    hub_model: str | None = HUB_MODEL,
    report: Callable[[str], None] = lambda line: None,
) -> GpuCheck:
    """Measure this GPU.

    Args:
        families: Which shapes.
        small: Small shapes, also on a CPU, for a look at the check itself.
        minutes: When to stop.
        hub_model: A hub model that is asked once where it is cached or there is a network; None asks none.
        report: Called with a line whenever something new begins.

    Raises:
        RuntimeError: There is no CUDA GPU, and so nothing to measure.
    """
    if not small and not torch.cuda.is_available():
        raise RuntimeError(
            "there is no CUDA GPU here that PyTorch sees, so nothing was measured; run this where there is one, with a "
            "PyTorch built for CUDA (python -m toolkit doctor says which is installed)"
        )
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    found = GpuCheck(torch.cuda.get_device_name() if device.type == "cuda" else "CPU (no GPU)")
    end = time.monotonic() + 60 * minutes
    steps = [(SHAPES[name].name, partial(_family, name, device, found, small=small)) for name in families]
    if hub_model is not None:
        steps.append((f"{hub_model} from the hub", partial(_hub, hub_model, device, found)))
    for i, (name, step) in enumerate(steps):
        report(name)
        try:
            with within((end - time.monotonic()) / (len(steps) - i)):
                step()
        except (TimeoutError, MemoryError, RuntimeError, CheckpointError) as error:
            if isinstance(error, RuntimeError) and not is_out_of_memory(error):
                raise
            found.left_out.append({"model": name, "reason": str(error).splitlines()[0][:300]})
            report(f"{name}: {found.left_out[-1]['reason']}")
        release(device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
    return found


def _family(family: str, device: torch.device, found: GpuCheck, *, small: bool) -> None:
    """Both precisions and every explainer on one family's shape."""
    vlm = build(family, device, torch.bfloat16, small=small).with_players("auto")
    first, *others = photographs(1 + len(EXPLAINERS))
    found.exactness.append(difference_row(vlm, first, 6 if small else 24, target="yes"))
    for explainer, sample in zip(EXPLAINERS, others, strict=True):
        found.speed.append(speed_row(vlm, sample, explainer))
    model: Any = vlm.model
    whole = LoadedVLM(vlm.name, vlm.adapter, model.float())
    with torch.backends.cudnn.flags(allow_tf32=False):
        found.exactness.append(difference_row(whole, first, 4 if small else 8, target="yes"))


def _hub(name: str, device: torch.device, found: GpuCheck) -> None:
    """One sample through the whole path: download or cache, checks at loading, answer, attribution, metrics."""
    vlm = load_vlm(name, device=device.type)
    found.speed.append(speed_row(vlm, photographs(1)[0], "attn-lrp"))


def difference_row(vlm: LoadedVLM, sample: Sample, n: int, *, target: str | None = None) -> dict[str, Any]:
    """Distribution of |engine - plain| over random coalitions of one sample, the picture whole in some of them.

    Args:
        vlm: The model.
        sample: The sample.
        n: Number of coalitions.
        target: The scored answer; None takes the model's own.
    """
    game = vlm.game(sample, target=target)
    rng = np.random.default_rng(0)
    chosen = rng.random((n, game.players.n)) < rng.random((n, 1))
    chosen[0], chosen[1:4, : game.players.n_image] = True, chosen[4 % n, : game.players.n_image]
    fast, plain = game(chosen), plain_values(game, chosen)
    difference = np.abs(fast - plain)
    return {
        "model": vlm.name, "dtype": str(vlm.model.dtype).removeprefix("torch."), "coalitions": n,
        "median": float(np.median(difference)), "p90": float(np.quantile(difference, 0.9)),
        "max": float(difference.max()), "max_log": float(np.abs(np.log(fast) - np.log(plain)).max()),
    }  # fmt: skip


def speed_row(vlm: LoadedVLM, sample: Sample, explainer: str) -> dict[str, Any]:
    """Seconds of one attribution and of all its metrics, on a sample that was not seen before."""
    start = time.perf_counter()
    attribution = explain(explainer, vlm, sample, target="yes")
    explained = time.perf_counter()
    game = vlm.game(sample, target="yes")
    evaluate_all(game, [attribution])
    on_gpu = vlm.model.device.type == "cuda"
    return {
        "model": vlm.name, "explainer": explainer, "players": game.partition.name,
        "explain s": explained - start, "metrics s": time.perf_counter() - explained,
        "peak GiB": torch.cuda.max_memory_allocated(vlm.model.device) / 2**30 if on_gpu else "-",
    }  # fmt: skip


def photographs(n: int) -> list[Sample]:
    """Random images of a photograph's size, with a question of ordinary length."""
    samples = []
    for seed in range(n):
        levels = np.random.default_rng(seed).integers(0, 256, (30, 40, 3), dtype=np.uint8)
        image = Image.fromarray(levels).resize((640, 480), Image.Resampling.BICUBIC)
        question = "is there a red circle next to the blue square in the picture?"
        samples.append(Sample(f"photograph-{seed}", image, question, "answer with yes or no.", ("yes", "no")))
    return samples
