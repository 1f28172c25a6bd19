"""A run grows in its folder: nothing is computed twice, and the tables are those of a run that was so large at once."""

import json
import shutil
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from support.toy_bench import ToyBench, spec, tables_digest

from toolkit.benchmark.report.run_tables import load_run
from toolkit.benchmark.run.runner import run_benchmark
from toolkit.benchmark.run.spec import BenchmarkSpec, SpecError
from toolkit.datasets.hub import subset
from toolkit.datasets.load import DatasetRequest, load_samples

SMALL = {
    "models": ["gate-and"], "explainers": ["random", "oracle"], "samples": 4, "seeds": [0],
    "metrics": ["f-syn", "srg-image"],
}  # fmt: skip
LARGE = {
    "samples": {"samples": 6},
    "explainer": {"explainers": ["random", "nan", "oracle"]},
    "model": {"models": ["gate-or", "gate-and"]},
    "dataset": {"datasets": ["toys", "other"]},
    "seed": {"seeds": [0, 1]},
    "metric": {"metrics": ["f-syn", "srg-image", "srg-text"], "headline": "srg-text"},
    "all": {"samples": 6, "seeds": [0, 1], "models": ["gate-and", "gate-or"],
            "explainers": ["random", "oracle", "anti-oracle"], "metrics": ["srg-text", "f-syn", "srg-image"]},
}  # fmt: skip


def small(out, **changes):
    return spec(out, **{**SMALL, **changes})


@pytest.mark.parametrize("what", LARGE)
def test_a_grown_run_computes_only_what_is_new_and_ends_as_if_it_had_been_so_large_at_once(tmp_path, what):
    run_benchmark(small(tmp_path / "run"), workspace=ToyBench)
    ToyBench.asked.clear()
    grown = run_benchmark(small(tmp_path / "run", **LARGE[what]), workspace=ToyBench)
    asked = list(ToyBench.asked)
    at_once = run_benchmark(small(tmp_path / "other", **LARGE[what]), workspace=ToyBench)
    before = {("gate-and", f"toys-{i}", explainer, 0) for i in range(4) for explainer in ("random", "oracle")}
    assert len(asked) == len(set(asked)) == at_once.planned - len(before)
    assert before.isdisjoint(asked)
    assert (grown.planned, grown.ok, grown.failed) == (at_once.planned, at_once.ok, at_once.failed)
    assert tables_digest(grown.folder) == tables_digest(at_once.folder)
    assert run_benchmark(small(tmp_path / "run", **LARGE[what]), workspace=ToyBench).new == 0


def test_what_a_later_metric_costs_is_counted(tmp_path):
    def spent(**changes):
        folder = run_benchmark(small(tmp_path / "run", **changes), workspace=ToyBench).folder
        costs = pd.read_parquet(folder / "costs.parquet")
        return costs[costs["kind"] == "record"][["score_seconds", "score_evaluations"]].sum()

    first = spent()
    later = spent(**LARGE["metric"])
    assert later["score_evaluations"] > first["score_evaluations"] > 0
    assert later["score_seconds"] > first["score_seconds"] > 0


def test_a_run_grows_again_and_again_whoever_works_and_whatever_is_missing(tmp_path):
    """Each step is torn: the last shard lies without its second half when the next one starts."""
    folder = tmp_path / "run"
    steps = [{}, LARGE["samples"], {**LARGE["samples"], **LARGE["metric"]}, {**LARGE["metric"], **LARGE["all"]}]
    for number, step in enumerate(steps):
        how = {"executor": "processes", "workers": 2} if number == 3 else {}
        run_benchmark(small(folder, **step, **how), workspace=ToyBench)
        last = sorted((folder / "shards").glob("*.jsonl"))[-1]
        content = last.read_bytes()
        last.write_bytes(content[: len(content) // 2])
    whole = run_benchmark(small(folder, **steps[-1]), workspace=ToyBench)
    run_benchmark(small(tmp_path / "other", **steps[-1]), workspace=ToyBench)
    assert whole.ok == whole.planned == 2 * 6 * 4
    assert tables_digest(folder) == tables_digest(tmp_path / "other")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"samples": 3}, "samples: 4 -> 3"),
        ({"explainers": ["oracle"]}, r'explainers: \["random", "oracle"\] -> \["oracle"\]'),
        ({"seeds": [1, 0]}, r"seeds: \[0\] -> \[1, 0\]"),
        ({"samples": 9, "steps": 6}, "with other settings: steps: 5 -> 6. Choose"),
        ({"samples": 9, "options": {"random": {"n": 2}}}, "with other settings: options: "),
    ],
)
def test_what_does_not_contain_the_run_is_refused_with_the_difference(tmp_path, change, said):
    run_benchmark(small(tmp_path / "run"), workspace=ToyBench)
    with pytest.raises(SpecError, match=said):
        run_benchmark(small(tmp_path / "run", **change), workspace=ToyBench)


def test_new_explainers_and_models_may_bring_their_settings(tmp_path):
    run_benchmark(small(tmp_path / "run"), workspace=ToyBench)
    larger = small(tmp_path / "run", explainers=["random", "oracle", "nan"], options={"nan": {"n": 2}})
    assert run_benchmark(larger, workspace=ToyBench).new == 4


def test_a_run_whose_data_or_weights_changed_does_not_grow(tmp_path):
    class Retrained(ToyBench):
        def identities(self):
            return {"model": "weights 2"}

    class Renamed(ToyBench):
        def samples(self, dataset):
            return {f"x{name}": sample for name, sample in super().samples(dataset).items()}

    run_benchmark(small(tmp_path / "run"), workspace=ToyBench)
    larger = small(tmp_path / "run", samples=6)
    with pytest.raises(SpecError, match='model: "weights 1" -> "weights 2"'):
        run_benchmark(larger, workspace=Retrained)
    with pytest.raises(SpecError, match="the samples of toys"):
        run_benchmark(larger, workspace=Renamed)
    assert "grown_from" not in json.dumps(json.loads((tmp_path / "run" / "spec.json").read_text())["spec"])
    run_benchmark(larger, workspace=ToyBench)
    with pytest.raises(SpecError, match='model: "weights 1" -> "weights 2"'):
        run_benchmark(larger, workspace=Retrained)


def test_a_metric_that_fails_later_fails_its_records_until_it_is_mended(tmp_path):
    class Fails(ToyBench):
        def score(self, game, attributions):
            if self.spec.metrics == ("srg-text",):
                raise MemoryError
            return super().score(game, attributions)

    run_benchmark(small(tmp_path / "run"), workspace=ToyBench)
    larger = small(tmp_path / "run", metrics=["f-syn", "srg-image", "srg-text"])
    summary = run_benchmark(larger, workspace=Fails)
    assert (summary.ok, summary.failed, summary.reasons) == (0, 8, (("out of memory", 8),))
    run = load_run(summary.folder)
    assert run.frame["f-syn"].notna().all()
    assert {record["unscored"]["srg-text"] for record in run.records} == {"out of memory"}
    mended = run_benchmark(larger.model_copy(update={"retry_failed": True}), workspace=ToyBench)
    assert (mended.ok, mended.failed) == (8, 0)


def test_a_folder_copied_before_it_grew_does_not_take_the_shards_of_the_grown_one(tmp_path):
    run_benchmark(small(tmp_path / "run"), workspace=ToyBench)
    shutil.copytree(tmp_path / "run", tmp_path / "copy")
    run_benchmark(small(tmp_path / "run", samples=6), workspace=ToyBench)
    last = sorted((tmp_path / "run" / "shards").glob("*.jsonl"))[-1]
    shutil.copy(last, tmp_path / "copy" / "shards" / last.name)
    with pytest.raises(ValueError, match="belongs to another run"):
        load_run(tmp_path / "copy")


@pytest.mark.parametrize("seed", range(4))
def test_a_larger_subset_contains_the_smaller_ones(seed):
    chosen = [set(subset(DatasetRequest("repope", "test", n, seed), 50)) for n in range(1, 51)]
    assert [len(found) for found in chosen] == list(range(1, 51))
    assert all(a < b for a, b in pairwise(chosen))


@pytest.mark.parametrize("name", ["scenes-existence", "scenes-choice", "scenes-mixed", "scenes-everyday"])
def test_more_scenes_begin_with_the_fewer_ones(name):
    many, few = load_samples(name, n=12), load_samples(name, n=5)
    assert [(a.id, a.question, a.answer) for a in many[:5]] == [(b.id, b.question, b.answer) for b in few]
    assert all(np.array_equal(a.image, b.image) for a, b in zip(many, few, strict=False))


def test_a_grown_specification_keeps_what_it_has_grown_from(tmp_path):
    run_benchmark(small(tmp_path / "run"), workspace=ToyBench)
    run_benchmark(small(tmp_path / "run", samples=6), workspace=ToyBench)
    stored = json.loads((tmp_path / "run" / "spec.json").read_text())
    assert stored["spec"]["samples"] == 6
    (older,) = stored["grown_from"]
    assert (older["spec"]["samples"], older["samples"]) == (4, {"toys": [f"toys-{i}" for i in range(4)]})
    assert BenchmarkSpec(**older["spec"]).fingerprint == small(tmp_path).fingerprint
