"""What loading costs beside transformers' own ``from_pretrained`` of the same model and processor, in one run."""

from __future__ import annotations

import gc
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
import transformers as hf

from tests.speed.workload import scene_samples
from toolkit.audit.gpu.released_shapes import SHAPES
from toolkit.paths import CACHE_VARIABLE
from toolkit.vlm.adapters.adapter_base import ImageLimits
from toolkit.vlm.adapters.families import adapter_class
from toolkit.vlm.loading.load_checkpoint import load_vlm
from toolkit.vlm.reference import plain_values

Report = Callable[[str], None]
LAYERS = 2
PROBE_PASSES = 10
"""Plain passes that the first load of a checkpoint spends on comparing engine and model."""


def write_folder(family: str, folder: Path, *, small: bool) -> int:
    """A checkpoint in float16 with a released model's widths and few layers, random; returns its number of weights."""
    shape = SHAPES[family]
    processor = shape.processor(small)
    config = shape.config(processor.tokenizer.get_vocab(), small)
    config.text_config.num_hidden_layers = LAYERS
    if hasattr(config.text_config, "layer_types"):
        config.text_config.layer_types = ["full_attention"] * LAYERS
    torch.manual_seed(0)
    model = getattr(hf, adapter_class(shape.model_type).model_class)(config)
    model.to(torch.float16).save_pretrained(folder)
    processor.save_pretrained(folder)
    return int(sum(weights.numel() for weights in model.parameters()))


@contextmanager
def _empty_cache(folder: Path) -> Iterator[None]:
    """Nothing is remembered of any checkpoint."""
    before = os.environ.get(CACHE_VARIABLE)
    os.environ[CACHE_VARIABLE] = str(folder)
    try:
        yield
    finally:
        del os.environ[CACHE_VARIABLE]
        if before is not None:
            os.environ[CACHE_VARIABLE] = before


def _seconds(action: Callable[[], object]) -> float:
    gc.collect()
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


def loading_row(family: str, *, small: bool, turns: int) -> dict[str, Any]:
    """First and later loads of one checkpoint, in plain loads of model and processor by transformers.

    Returns:
        ``later``: a later load over a plain one; ``first``: the first load, less ten plain passes, over a plain one;
        both with the medians of the turns, which take each in turn.
    """
    adapter = adapter_class(SHAPES[family].model_type)
    with tempfile.TemporaryDirectory() as kept:
        folder = Path(kept) / "checkpoint"
        n_weights = write_folder(family, folder, small=small)

        def plainly() -> None:
            model_class = getattr(hf, adapter.model_class)
            model_class.from_pretrained(folder, dtype=torch.float32, attn_implementation="sdpa")
            adapter.load_processor(str(folder), None, ImageLimits())

        def ours() -> None:
            load_vlm(folder, device="cpu", dtype="float32")

        plainly()  # the files are in the system's memory, the modules imported
        times: dict[str, list[float]] = {"plain": [], "first": [], "later": []}
        for turn in range(turns):
            with _empty_cache(Path(kept) / f"remembered-{turn}"):
                for name, action in (("plain", plainly), ("first", ours), ("later", ours)):
                    times[name].append(_seconds(action))
        with _empty_cache(Path(kept) / "remembered"):
            vlm = load_vlm(folder, device="cpu", dtype="float32")
        sample = vlm.asked(scene_samples(1)[0])
        game = vlm.game(sample, target=vlm.answer(sample).text)
        one = torch.ones(1, game.players.n, dtype=torch.bool).numpy()
        passed = statistics.median(_seconds(lambda: plain_values(game, one)) for _ in range(turns))
    plain, first, later = (statistics.median(times[name]) for name in ("plain", "first", "later"))
    return {
        "model": f"{SHAPES[family].name}, {LAYERS} layers" + (" (small)" if small else ""),
        "weights_M": n_weights / 1e6,
        "plain_s": plain,
        "first_s": first,
        "later_s": later,
        "pass_s": passed,
        "later": later / plain,
        "first": (first - PROBE_PASSES * passed) / plain,
    }


def bench(*, quick: bool, report: Report) -> list[dict[str, Any]]:
    """A row per family.

    Args:
        quick: Small shapes, one turn: shows that everything runs; the numbers are rough.
        report: Called with a line of text whenever something new begins.
    """
    rows = []
    for family in SHAPES:
        report(f"{family}: loading")
        rows.append(loading_row(family, small=quick, turns=1 if quick else 5))
    return rows
