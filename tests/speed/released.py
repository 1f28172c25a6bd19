"""Metrics and occlusion at the released models' token counts, on models so narrow that a CPU can run them.

The bound is what distinct tokens allow: with V image tokens, P further tokens of the prefix and S of the question and
what follows it, the paper's 118 passes for one explainer (K = 10) need 118 (V + P + S), while 20 distinct images and 76
distinct coalitions need 20 (V + P) + 76 S.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import torch
import transformers as hf

from tests.speed.aims import RELEASED_AIMS, aim_rows
from tests.speed.measure import compare, timed
from tests.speed.workload import PLAIN_PASSES, Task, metric_tasks
from toolkit.audit.gpu.gpu_check import photographs
from toolkit.audit.gpu.released_shapes import SHAPES
from toolkit.explainers.base import explain
from toolkit.vlm.adapters.families import adapter_class
from toolkit.vlm.model import LoadedVLM

Rows = list[dict[str, Any]]

WIDE, LAYERS, HEADS = 256, 6, 4
TILES = 6
"""Of InternVL's image, besides the small copy of it; a photograph of 4 : 3 has twelve."""


def narrow(family: str) -> LoadedVLM:
    """The released class behind the processor as released, with few and narrow random layers."""
    shape = SHAPES[family]
    processor = shape.processor(False)
    config = shape.config(processor.tokenizer.get_vocab(), True)
    text, vision = config.text_config, config.vision_config
    text.hidden_size, text.intermediate_size, text.num_hidden_layers = WIDE, 11 * WIDE // 4, LAYERS
    text.num_attention_heads, text.num_key_value_heads, text.head_dim = HEADS, HEADS // 2, WIDE // HEADS
    if family == "llava":
        text.num_key_value_heads, vision.image_size = HEADS, 336
    elif family == "internvl":
        vision.image_size, config.image_seq_length = [448, 448], 256
        text.layer_types = ["full_attention"] * LAYERS
        processor.image_processor.max_patches = TILES
    else:
        vision.out_hidden_size = WIDE
        text.layer_types = ["full_attention"] * LAYERS
        text.rope_parameters = {**text.rope_parameters, "mrope_section": [8, 12, 12]}
    adapter = adapter_class(shape.model_type)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = getattr(hf, adapter.model_class)(config)
    return LoadedVLM(
        f"{shape.name}, {LAYERS} layers of {WIDE}", adapter(processor), model.train(False).requires_grad_(False)
    )


def token_counts(vlm: LoadedVLM, task: Task) -> tuple[int, int, int]:
    """V, P and S of a task's prompt."""
    view = task.game(vlm).view
    image, before = view.geometry.n_tokens, view.prompt.prefix_length
    return image, before - image, len(view.prompt.ids) - before


def bound_of(v: int, p: int, s: int, n_explainers: int = 1) -> float:
    """How many times faster than 118 plain passes for each explainer, by distinct tokens; of one explainer or nine."""
    images, coalitions = {1: (20, 76), 9: (164, 652)}[n_explainers]
    return n_explainers * PLAIN_PASSES * (v + p + s) / (images * (v + p) + coalitions * s)


def metrics_row(vlm: LoadedVLM, *, n_explainers: int, turns: int, passes: int) -> dict[str, Any]:
    """Metrics of one explainer or nine on one photograph: the speed-up over plain passes as a share of the bound."""
    (task,) = metric_tasks(vlm, photographs(1), n_explainers)
    v, p, s = token_counts(vlm, task)
    found = compare(vlm, [task], turns=turns, passes=passes)
    speed_up = found.speed_up(n_explainers * PLAIN_PASSES)
    limit = bound_of(v, p, s, n_explainers)
    return {
        "model": vlm.name, "explainers": n_explainers, "V": v, "P": p, "S": s, "plain_s": found.plain.wall,
        "engine_s": found.run.took.wall / n_explainers, "speed_up": speed_up.wall, "bound": limit,
        "share": speed_up.wall / limit, "share_cpu": speed_up.cpu / limit, "tokens": found.run.tokens,
    }  # fmt: skip


def occlusion_row(vlm: LoadedVLM) -> dict[str, Any]:
    """Occlusion on a grid of 12 x 12 beside every image token: a row per image, that of the whole among both."""
    sample, took, images = photographs(1)[0], {}, {}

    def ask(players: str) -> object:
        return explain("occlusion", vlm, sample, target="yes", players=players)

    for players in ("grid:12x12", "tokens"):
        vlm.forget()
        before = vlm.engine.counters.images
        took[players] = timed(vlm, partial(ask, players))
        images[players] = vlm.engine.counters.images - before
    grid, cells = took["grid:12x12"], took["tokens"]
    return {
        "model": vlm.name, "images_grid": images["grid:12x12"], "images_cells": images["tokens"],
        "images": images["grid:12x12"] / images["tokens"], "grid_s": grid.wall, "cells_s": cells.wall,
        "share": grid.wall / cells.wall, "share_cpu": grid.cpu / cells.cpu,
    }  # fmt: skip


def bench(families: Sequence[str], *, quick: bool, report: Callable[[str], None]) -> dict[str, Rows]:
    """The tables, the aims first.

    Args:
        families: Keys of ``SHAPES``.
        quick: One turn of few passes, one explainer: shows that everything runs.
        report: Called with a line of text whenever something new begins.
    """
    found: dict[str, Rows] = {"released": [], "occlusion": []}
    for family in families:
        vlm = narrow(family)
        for n in (1,) if quick else (1, 9):
            report(f"{vlm.name}: metrics, explainers: {n}")
            turns = 1 if quick else 5
            found["released"].append(metrics_row(vlm, n_explainers=n, turns=turns, passes=3 if quick else 10))
        if family == "llava" and not quick:
            report(f"{vlm.name}: occlusion")
            found["occlusion"].append(occlusion_row(vlm))
    return {"aims": aim_rows(found, RELEASED_AIMS), **found}
