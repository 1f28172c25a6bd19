"""The benchmarks run, count what they claim to count, and write what they measured."""

from __future__ import annotations

import dataclasses
import json
import math
import signal
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from torch.nn import functional
from typer.testing import CliRunner

from tests.speed import cpu, executors, gpu, measure, released, tables, ties, validate_parts, validate_ratio, workload
from tests.speed import explainers as speed_explainers
from tests.speed.__main__ import app, embedded_models
from tests.speed.aims import EXPLAINER_AIMS, Aim, aim_rows
from tests.speed.demo_ratio import both_ok, largest_differences
from toolkit.audit.gpu.deadline import within
from toolkit.audit.gpu.released_shapes import build
from toolkit.scenes.training.tiny import build_tiny
from toolkit.scenes.vocabulary import VOCABULARY
from toolkit.vlm.adapters.llava import Llava
from toolkit.vlm.engine import fused_decoder
from toolkit.vlm.engine.products import project
from toolkit.vlm.loading import load_checkpoint
from toolkit.vlm.model import LoadedVLM


@pytest.fixture(scope="module")
def vlm() -> LoadedVLM:
    model, processor = build_tiny("llava", VOCABULARY, seed=0)
    return LoadedVLM("tiny", Llava(processor), model)


def test_the_workload_is_what_metrics_ask_for(vlm: LoadedVLM) -> None:
    samples = workload.scene_samples(3)
    assert len({s.dataset for s in samples}) == 3
    one, two, nine = (workload.metric_tasks(vlm, samples, n) for n in (1, 2, 9))
    for single, double, all_nine in zip(one, two, nine, strict=True):
        assert len(np.unique(single.cells, axis=0)) == len(single.cells) <= 76
        assert len(single.cells) < len(double.cells) <= 148
        assert len(double.cells) < len(all_nine.cells) <= 652
        images = [len(np.unique(task.cells[:, :36], axis=0)) for task in (single, double, all_nine)]
        assert images == [20, 38, 164]  # independent orderings of 36 cells: no two of their tops coincide
        assert double.n_asked == 2 * single.n_asked > len(double.cells)
    macro = workload.macro_game_task(vlm, samples[0])
    assert macro.n_asked == 11 * 256
    assert 1000 < len(macro.cells) < macro.n_asked


def test_a_run_counts_every_cell_and_image_once(vlm: LoadedVLM) -> None:
    tasks = workload.metric_tasks(vlm, workload.scene_samples(2), 1)
    run = measure.run_engine(vlm, tasks)
    assert run.cells == sum(len(task.cells) for task in tasks)
    assert run.images == sum(len(np.unique(task.cells[:, :36], axis=0)) for task in tasks)
    assert run.took.wall > 0
    assert run.took.cpu > 0
    separate = measure.run_engine(vlm, tasks, together=False)
    assert (separate.cells, separate.images) == (run.cells, run.images)


def test_each_idea_only_changes_how_and_the_bounds_hold(vlm: LoadedVLM, monkeypatch) -> None:
    tasks = workload.metric_tasks(vlm, workload.scene_samples(1), 1)
    engine, by_layers = vlm.engine, []
    read = fused_decoder.read_states
    monkeypatch.setattr(fused_decoder, "read_states", lambda *inputs: by_layers.append(1) or read(*inputs))
    games = []
    for name, bounds, together in cpu._IDEAS:
        by_layers.clear()
        with measure.engine_bounds(vlm, **bounds):
            run = measure.run_engine(vlm, tasks, together=together)
            games.append((name, run, tasks[0].game(vlm)(tasks[0].cells), bool(by_layers)))
    assert vlm.engine is engine
    alone, shared, within, over, by_words, *_ = (run for _, run, _, _ in games)
    assert alone.rows == alone.cells == shared.cells
    assert shared.rows == shared.images == alone.images
    assert shared.tokens < 0.7 * alone.tokens
    assert by_words.tokens < shared.tokens == within.tokens == over.tokens
    assert by_words.rows == shared.rows
    assert [used for *_, used in games] == [False] * 5 + [True]
    for _, _, values, _ in games[1:]:
        np.testing.assert_allclose(values, games[0][2], atol=1e-5, rtol=0)


def test_ratios_are_of_one_turn_and_their_median(vlm: LoadedVLM, monkeypatch) -> None:
    tasks = workload.metric_tasks(vlm, workload.scene_samples(1), 1)
    passes = iter([measure.Took(2.0, 1.0), measure.Took(8.0, 2.0), measure.Took(3.0, 9.0)])
    runs = iter([measure.Took(9.0, 9.0), measure.Took(1.0, 1.0), measure.Took(2.0, 4.0), measure.Took(3.0, 3.0)])
    monkeypatch.setattr(measure, "plain_pass", lambda *_, **__: next(passes))
    monkeypatch.setattr(measure, "run_engine", lambda *_: measure.Run(next(runs), 1, 1, 1, 1))
    found = measure.compare(vlm, tasks, turns=3, passes=1)
    assert found.speed_up(10) == measure.Took(20.0, 10.0)  # walls 2/1, 8/2, 3/3 and cpus 1/1, 2/4, 9/3, times 10
    assert found.plain == measure.Took(3.0, 2.0)
    assert found.run.took.wall == 2.0


def test_the_bare_pass_grows_with_the_work(vlm: LoadedVLM) -> None:
    tasks = workload.metric_tasks(vlm, workload.scene_samples(1), 1)
    run = measure.run_engine(vlm, tasks)
    assert run.took.cpu * 5 > measure.bare_pass(vlm, tasks, run).cpu > 0
    more = dataclasses.replace(run, images=20 * run.images, rows=20 * run.rows, tokens=20 * run.tokens)
    assert measure.bare_pass(vlm, tasks, more).cpu > 4 * measure.bare_pass(vlm, tasks, run).cpu


def test_operations_of_a_product_are_counted_whoever_computes_it():
    rows, layer = torch.ones(256, 48), torch.nn.Linear(48, 80, bias=False).requires_grad_(False)
    with torch.inference_mode():
        for action in (lambda: layer(rows), lambda: project(layer, rows)):
            assert measure.flops_of(action) == 2 * 256 * 48 * 80


def test_operations_are_counted_and_bound_the_speed_up(vlm: LoadedVLM) -> None:
    one, other = torch.ones(3, 5), torch.ones(5, 7)
    assert measure.flops_of(lambda: one @ other) == 2 * 3 * 5 * 7
    query, key, value = torch.ones(2, 4, 9, 8), torch.ones(2, 4, 11, 8), torch.ones(2, 4, 11, 8)
    with torch.inference_mode():
        n_found = measure.flops_of(lambda: functional.scaled_dot_product_attention(query, key, value))
    assert n_found == 2 * 2 * 4 * 9 * 11 * (8 + 8)
    task = workload.metric_tasks(vlm, workload.scene_samples(1), 1)[0]
    everything = dataclasses.replace(task, cells=np.ones_like(task.cells[:1]), n_asked=1)
    found = measure.Comparison(measure.run_engine(vlm, [everything]), measure.Took(2.0, 2.0), [])
    bound = cpu.bound(vlm, [everything], found, 1)
    again = cpu.bound(vlm, [everything], found, 118)
    n_operations = measure.flops_of(lambda: measure.run_engine(vlm, [everything]))
    assert bound["limit"] * n_operations / 2.0 == pytest.approx(measure.peak_rate(vlm), rel=0.9)
    assert 1 < bound["fewer_flops"] < 1.4  # one cell: only the last layer is cut
    assert again["fewer_flops"] == pytest.approx(118 * bound["fewer_flops"])


def test_the_peak_is_of_this_measurement(vlm: LoadedVLM) -> None:
    measure.reset_peak(vlm)
    before = measure.peak_gib(vlm)
    held = torch.ones(100 << 20, dtype=torch.float32)
    assert measure.peak_gib(vlm) > before + 0.35
    assert held[-1] == 1
    del held
    if sys.platform == "linux":
        measure.reset_peak(vlm)
        assert measure.peak_gib(vlm) < before + 0.2


@pytest.mark.slow
def test_the_cpu_tables(vlm: LoadedVLM, tmp_path) -> None:
    lines: list[str] = []
    found = cpu.bench([vlm], quick=True, report=lines.append)
    assert set(found) == {
        "aims",
        "metrics",
        "macro_game",
        "ideas",
        "scaling",
        "exactness",
        "answers",
        "orders",
        "pairs",
    }
    assert next(iter(found)) == "aims"
    single, half = found["exactness"]
    assert (single["dtype"], half["dtype"]) == ("float32", "bfloat16")
    assert single["max"] <= 1e-5 < half["max"]
    assert found["ideas"][-1]["speed_up"] > found["ideas"][1]["speed_up"] > 1
    assert found["metrics"][0]["speed_up"] > 2
    assert found["metrics"][0]["fewer_flops"] > found["macro_game"][0]["fewer_flops"] > 1
    assert (found["orders"][0]["cells"], found["orders"][0]["images"]) == (2**8, 2**4)
    assert (found["pairs"][0]["rows"], found["pairs"][0]["shapley_interaction_rows"]) == (768, 2034)
    assert found["macro_game"][0]["speed_up"] > found["macro_game"][0]["speed_up_distinct"]
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
    (grid,) = found["grid"]  # no total of fewer than three models
    assert grid["hours"] == pytest.approx(found["metrics"][1]["engine_s"] * 9 * 8917 / 3600)
    assert found["left_out"] == []


def test_the_gpu_script_ends_in_time_and_says_what_it_did_not_measure(monkeypatch) -> None:
    monkeypatch.setattr(gpu, "_measure", lambda *_, **__: pytest.fail("it began without time"))
    found = gpu.bench(["llava", "qwen2.5-vl"], small=False, minutes=-1, report=lambda line: None)
    assert [row["reason"] for row in found["left_out"]] == ["no time was left"] * 2
    assert {row["verdict"] for row in found["aims"]} == {"not measured"}


def test_a_family_that_does_not_fit_leaves_room_for_the_next(monkeypatch) -> None:
    def measure_one(family, device, found, *, small, begin) -> None:
        begin(f"{family}: speed")
        if family == "llava":
            raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
        if family == "internvl":
            raise RuntimeError("shape mismatch")
        found["grid"].append({"model": family, "hours": 1.0, "each_s": 1.0})

    monkeypatch.setattr(gpu, "_measure", measure_one)
    lines: list[str] = []
    found = gpu.bench(["llava", "qwen2.5-vl"], small=True, report=lines.append)
    assert found["left_out"] == [{"from": "llava: speed", "reason": "CUDA out of memory. Tried to allocate 2.00 GiB"}]
    assert [row["model"] for row in found["grid"]] == ["qwen2.5-vl"]
    assert lines[1] == "llava: speed: CUDA out of memory. Tried to allocate 2.00 GiB"
    with pytest.raises(RuntimeError, match="shape mismatch"):
        gpu.bench(["internvl"], small=True, report=lines.append)


def test_the_alarm_rings_and_is_taken_back() -> None:
    before = signal.getsignal(signal.SIGALRM)
    with pytest.raises(TimeoutError, match="stopped after 0 s"), within(0.05):
        time.sleep(30)
    assert signal.getsignal(signal.SIGALRM) == before
    with within(0.05):
        pass
    time.sleep(0.1)


def test_an_aim_is_judged_by_the_worst_row() -> None:
    rows = [{"model": "a", "speed_up": 21.0}, {"model": "b", "speed_up": 19.0}]
    aims = (Aim("fast", "metrics", "speed_up", 20.0), Aim("small", "macro_game", "peak_GiB", 1.4, at_least=False))
    first, second = aim_rows({"metrics": rows, "macro_game": [{"model": "c", "peak_GiB": 1.4}]}, aims)
    assert (first["worst"], first["model"], first["verdict"], first["bound"]) == (19.0, "b", "missed", ">= 20")
    assert (second["worst"], second["verdict"]) == (1.4, "reached")
    assert aim_rows({"metrics": rows[:1]}, aims[:1])[0]["verdict"] == "reached"
    assert aim_rows({}, aims)[0]["verdict"] == "not measured"
    assert aim_rows({"metrics": [{"model": "a", "speed_up": math.nan}]}, aims[:1])[0]["verdict"] == "missed"


def test_nothing_is_measured_where_there_is_no_gpu(monkeypatch, tmp_path) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused = CliRunner().invoke(app, ["gpu", "--out", str(tmp_path / "out")])
    assert refused.exit_code == 2
    assert "no GPU here" in refused.output
    assert not (tmp_path / "out").exists()
    unknown = CliRunner().invoke(app, ["gpu", "--small", "--family", "lava"])
    assert unknown.exit_code == 2
    assert "'lava'" in unknown.output


@pytest.mark.parametrize("words", [["cpu"], ["gpu", "--small"], ["executors"]])
def test_a_folder_that_cannot_be_written_is_refused_before_anything_is_measured(words, monkeypatch, tmp_path) -> None:
    for module, name in ((cpu, "bench"), (gpu, "bench"), (executors, "executor_rows")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("it was measured"))
    (tmp_path / "taken").write_text("mine")
    refused = CliRunner().invoke(app, [*words, "--out", str(tmp_path / "taken" / "out")])
    assert refused.exit_code == 2
    assert "is a file; give a folder" in " ".join(refused.output.replace("│", " ").split())
    assert (tmp_path / "taken").read_text() == "mine"


def test_the_executors_are_measured_on_the_grounded_models(monkeypatch, tmp_path) -> None:
    asked = {}

    def rows(spec, **options):
        asked.update(options, spec=spec)
        return [{"executor": "serial", "workers": 1, "threads_each": 2, "seconds": 8.0, "speed_up": 1.0, "failed": 0}]

    monkeypatch.setattr(executors, "executor_rows", rows)
    words = ["executors", "--out", str(tmp_path / "out"), "--workers", "2", "--workers", "4", "--samples", "3"]
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 0, done.output
    assert (asked["workers"], asked["turns"], asked["spec"].samples) == ((2, 4), 3, 3)
    assert {name.rpartition("-")[2] for name in asked["spec"].models} == {"grounded"}
    written = json.loads((tmp_path / "out" / "speed.json").read_text())
    assert written["tables"]["executors"][0]["seconds"] == 8.0
    assert "starting up and loading included" in done.output


def test_the_embedded_models_are_measured() -> None:
    assert [vlm.name for vlm in embedded_models()] == [
        f"tiny-{family}-{kind}" for family in ("llava", "qwen2.5-vl", "internvl") for kind in ("grounded", "biased")
    ]


def test_four_turns_of_an_order_are_measured_beside_sixteen_independent_ones(vlm: LoadedVLM) -> None:
    rows = pd.DataFrame(ties.bench([vlm], quick=True, report=lambda line: None))
    assert set(rows["map"]) == {"oracle", "anti-oracle", "constant", "image-only"}
    counted = rows.groupby("orders")["evaluations"].mean()
    assert counted["four turns"] <= counted["four independent"] * 1.05 < 0.4 * counted["sixteen independent"]
    assert (rows[list(ties.SCORES)] >= 0).all(axis=None)
    alone = rows[(rows["map"] == "constant") & (rows["orders"] != "sixteen independent")].set_index("orders")
    assert alone.loc["four turns", "srg-image"] < alone.loc["four independent", "srg-image"]


def test_loading_is_measured_beside_transformers_and_remembers_nothing_here(monkeypatch, tmp_path) -> None:
    monkeypatch.setenv("SYNERGY_TOOLKIT_CACHE", str(tmp_path / "mine"))
    checked = []
    check = load_checkpoint.require_scoring
    monkeypatch.setattr(load_checkpoint, "require_scoring", lambda vlm: checked.append(vlm.name) or check(vlm))
    done = CliRunner().invoke(app, ["loading", "--quick", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    written = json.loads((tmp_path / "out" / "speed.json").read_text())["tables"]
    assert [aim["bound"] for aim in written["aims"]] == ["<= 1.3", "<= 1.3"]
    assert len(written["loading"]) == 3
    for row in written["loading"]:
        assert row["later"] == pytest.approx(row["later_s"] / row["plain_s"])
        assert row["first"] == pytest.approx((row["first_s"] - 10 * row["pass_s"]) / row["plain_s"])
        assert min(row["first_s"], row["later_s"], row["plain_s"]) > 0
    assert len(checked) == 2 * 3  # one turn's first load and that of the plain pass; the later one remembers
    assert not (tmp_path / "mine").exists()


def test_explainers_are_measured_in_plain_passes_of_the_same_model(tmp_path) -> None:
    done = CliRunner().invoke(app, ["explainers", "--quick", "--out", str(tmp_path / "out")])
    assert done.exit_code == 0, done.output
    found = json.loads((tmp_path / "out" / "speed.json").read_text())["tables"]
    rows = {row["explainer"]: row for row in found["explainers"]}
    assert set(rows) == set(speed_explainers.EXPLAINERS) >= {aim.only[1] for aim in EXPLAINER_AIMS}
    assert [aim["worst"] for aim in found["aims"]] == [rows[aim.only[1]]["passes"] for aim in EXPLAINER_AIMS]
    assert min(row[column] for row in rows.values() for column in ("plain_s", "passes", "first")) > 0
    assert {row["processor"] for row in rows.values()} == {speed_explainers.processor_name()}
    assert torch.backends.cpu.get_cpu_capability() in speed_explainers.processor_name()


def test_every_part_of_a_panel_is_measured() -> None:
    few = {"controls": 2, "halves": 1, "weights": 1, "ranked": 1, "settings": 0, "diagnosed": 2}
    seconds = validate_parts.parts("tiny-llava-grounded", ["f-syn"], few)
    assert list(seconds) == ["controls", "weights", "ranked", "diagnosed"]
    assert min(seconds.values()) > 0


def test_two_versions_panels_are_compared_part_by_part(monkeypatch, tmp_path) -> None:
    asked = []

    def run_parts(checkout, model):
        asked.append((checkout.name, model))
        took = len(asked) if checkout == tmp_path else 1
        return {"controls": 2.0 * took, "ranked": 1.0 * took}

    monkeypatch.setattr(validate_ratio, "run_parts", run_parts)
    rows = validate_ratio.validate_rows(tmp_path, ["m"], turns=3, report=lambda line: None)
    assert [asked[0], len(asked)] == [(tmp_path.name, "m"), 6]
    assert {row["part"]: (row["here_s"], row["there_s"]) for row in rows} == {
        "controls": (2, 6), "ranked": (1, 3), "all": (3, 9),
    }  # fmt: skip
    assert [row["ratio"] for row in rows] == pytest.approx([1 / 3] * 3)
    wrong = CliRunner().invoke(app, ["validate", ".", "--model", "m", "--out", str(tmp_path / "out")])
    assert wrong.exit_code == 2
    assert "expected one of tiny-llava-grounded" in " ".join(wrong.output.split())


@pytest.mark.parametrize("command", ["demo", "validate"])
def test_a_folder_without_the_toolkit_is_no_other_version(command: str, tmp_path) -> None:
    """The installed one would be found in its place, and compared with itself."""
    wrong = CliRunner().invoke(app, [command, str(tmp_path), "--out", str(tmp_path / "out")])
    assert wrong.exit_code == 2
    assert "expected a checkout of another version" in " ".join(wrong.output.replace("│", " ").split())


def test_records_of_two_versions_are_compared() -> None:
    key = {"model": "m", "dataset": "d", "sample": ["a", "b"], "explainer": "e", "seed": 0}
    one = pd.DataFrame({**key, "metric.f-syn": [0.5, math.nan], "metric.new": 1.0})
    other = pd.DataFrame({**key, "metric.f-syn": [0.25, math.nan]})
    assert largest_differences(one, other[::-1]) == {"metric.f-syn": 0.25}
    with pytest.raises(ValueError, match=r"metric\.f-syn is missing in other records"):
        largest_differences(one, other.fillna(0.0))
    with pytest.raises(ValueError, match="the records differ: 2 here, 1 there"):
        largest_differences(one, other[:1])
    ours, theirs = both_ok(one.assign(status=["ok", "failed"]), other.assign(status="ok"))
    assert ours["sample"].tolist() == theirs["sample"].tolist() == ["a"]


def test_an_unknown_shape_is_refused() -> None:
    with pytest.raises(ValueError, match="unknown family 'lava'"):
        build("lava", torch.device("cpu"), torch.float32, small=True)


def test_numbers_in_tables() -> None:
    assert [tables.field_text(x) for x in (1.23456, 1234.5, 1e-5, 0.0, 7, "a")] == [
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


def test_the_bound_is_that_of_the_distinct_tokens_of_a_released_prompt(monkeypatch) -> None:
    assert released.bound_of(576, 20, 30) == pytest.approx(118 * 626 / (20 * 596 + 76 * 30))
    assert released.bound_of(576, 20, 30, 9) == pytest.approx(9 * 118 * 626 / (164 * 596 + 652 * 30))
    monkeypatch.setattr(released, "WIDE", 16)
    monkeypatch.setattr(released, "LAYERS", 1)
    monkeypatch.setattr(released, "HEADS", 2)
    llava = released.narrow("llava")
    row = released.metrics_row(llava, n_explainers=1, turns=1, passes=2)
    assert row["V"] == 576
    assert row["share"] == pytest.approx(row["speed_up"] / released.bound_of(row["V"], row["P"], row["S"]))
    assert row["tokens"] <= 20 * (row["V"] + row["P"]) + 76 * row["S"]  # the bound counts no words that are shared
    row = released.occlusion_row(llava)
    assert (row["images_grid"], row["images_cells"]) == (145, 577)
    assert row["share"] > 0
