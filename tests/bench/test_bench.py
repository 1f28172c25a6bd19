"""The benchmarks run, count what they claim to count, and write what they measured."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import torch

from toolkit.bench import cpu, gpu, measure, tables, workload
from toolkit.bench.shapes import build
from toolkit.scenes.vocabulary import VOCABULARY
from toolkit.vlm.llava import Llava
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.tiny import build_tiny


@pytest.fixture(scope="module")
def vlm() -> LoadedVLM:
    model, processor = build_tiny("llava", VOCABULARY, seed=0)
    return LoadedVLM("tiny", Llava(processor), model)


def test_the_workload_is_what_metrics_ask_for(vlm: LoadedVLM) -> None:
    samples = workload.scene_samples(3)
    assert len({s.dataset for s in samples}) == 3
    one, two = (workload.metric_tasks(vlm, samples, n) for n in (1, 2))
    for single, double in zip(one, two, strict=True):
        assert len(np.unique(single.cells, axis=0)) == len(single.cells) <= 76
        assert len(single.cells) < len(double.cells) <= 148
    macro = workload.macro_game_task(vlm, samples[0])
    assert 1000 < len(macro.cells) <= 11 * 256


def test_a_run_counts_every_cell_and_image_once(vlm: LoadedVLM) -> None:
    tasks = workload.metric_tasks(vlm, workload.scene_samples(2), 1)
    run = measure.run_engine(vlm, tasks)
    assert run.cells == sum(len(task.cells) for task in tasks)
    assert run.images == sum(len(np.unique(task.cells[:, :36], axis=0)) for task in tasks)
    assert run.seconds > 0
    separate = measure.run_engine(vlm, tasks, together=False)
    assert (separate.cells, separate.images) == (run.cells, run.images)


def test_each_idea_only_changes_how_and_the_bounds_hold(vlm: LoadedVLM) -> None:
    tasks = workload.metric_tasks(vlm, workload.scene_samples(1), 1)
    old = measure.with_engine(vlm, max_tokens=1, max_entries=1, block_tokens=1)
    alone = measure.run_engine(vlm, tasks)
    vlm.engine = old
    shared = measure.run_engine(vlm, tasks)
    assert alone.rows == alone.cells == shared.cells
    assert shared.rows == shared.images == alone.images
    assert shared.tokens < 0.7 * alone.tokens


@pytest.mark.slow
def test_the_cpu_tables(vlm: LoadedVLM, tmp_path) -> None:
    lines: list[str] = []
    found = cpu.bench([vlm], quick=True, report=lines.append)
    assert set(found) == {"metrics", "macro_game", "ideas", "scaling"}
    assert found["ideas"][-1]["speed_up"] > found["ideas"][1]["speed_up"] > 1
    assert found["metrics"][0]["speed_up"] > 2
    paths = tables.write(tmp_path / "out", found, {"device": "here"})
    assert json.loads(paths[0].read_text())["tables"]["metrics"][0]["model"] == "tiny"
    assert "speed_up" in paths[1].read_text()
    assert lines


@pytest.mark.parametrize("family", gpu.FAMILIES)
def test_the_gpu_script_runs_on_small_shapes(family: str) -> None:
    found = gpu.bench([family], small=True, report=lambda line: None)
    half, full = found["exactness"]
    assert (half["dtype"], full["dtype"]) == ("bfloat16", "float32")
    assert full["max"] <= 1e-5
    assert full["max_log"] <= 1e-3
    assert half["max"] < 0.05
    assert found["metrics"][0]["speed_up"] > 0
    assert math.isfinite(found["grid"][0]["hours"])


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown family 'lava'"):
        build("lava", torch.device("cpu"), torch.float32, small=True)


def test_numbers_in_tables() -> None:
    assert [tables.cell_text(x) for x in (1.23456, 1234.5, 1e-5, 0.0, 7, "a")] == [
        "1.23",
        "1234",
        "1.0e-05",
        "0",
        "7",
        "a",
    ]
    text = tables.as_text({"ideas": [{"idea": "x", "seconds": 1.5}], "scaling": []})
    assert "What each idea" in text
    assert "Scaling" not in text
