"""Pairs of a run: on record, scored as they were given also by metrics that come later, and shown beside controls."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import toolkit
from toolkit.audit.explainers.pair_recovery import evidence_pairs
from toolkit.benchmark.report.report_data import ReportData
from toolkit.benchmark.report.run_tables import load_run
from toolkit.benchmark.report.section_pairs import pair_scores, pairs
from toolkit.synergy.pair_metrics import pair_gain, recovery

GIVER = "banzhaf-interaction"


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    asked = {
        "models": ["tiny-llava-grounded"], "datasets": ["scenes-existence"], "samples": 3, "executor": "serial",
        "out": tmp_path_factory.mktemp("pairs") / "run", "bootstrap": 100, "images": 0, "seeds": [0],
        "explainers": ["random", "oracle", "occlusion", GIVER], "metrics": ["f-syn"],
        "headline": "f-syn",
    }  # fmt: skip
    toolkit.run_benchmark(toolkit.BenchmarkSpec(**asked))
    return load_run(toolkit.run_benchmark(toolkit.BenchmarkSpec(**asked | {"metrics": ["f-syn", "pair-gain"]})).folder)


def test_a_metric_that_comes_later_reads_the_pairs_that_were_given(run) -> None:
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
    scores = pair_scores(run).set_index(["explainer", "sample"])
    samples = {sample.id: sample for sample in toolkit.load_samples("scenes-existence", n=50)}
    mine = scores.loc[GIVER]
    assert len(mine) == 3
    for sample, row in mine.iterrows():
        found = toolkit.explain(GIVER, vlm, samples[sample])
        assert row["pair-gain"] == pytest.approx(pair_gain(vlm.game(samples[sample]), found.pairs), abs=1e-6)
        known, _ = recovery(found.pairs, evidence_pairs(vlm, samples[sample]))
        np.testing.assert_allclose(row["recovery AUC"], known, atol=1e-9)
    stored = pd.read_parquet(run.folder / "records.parquet").set_index("explainer")["pairs"]
    assert (stored.loc[GIVER].map(len) == 36 * 6).all()
    assert stored.drop(GIVER).isna().all()


def test_the_section_shows_controls_and_what_is_judged_and_is_left_out_where_nobody_gives_pairs(run) -> None:
    [section] = pairs(ReportData(run))
    for shown in (GIVER, "oracle", "random", "a product", "recovery AUC", "pair-gain"):
        assert shown in section.body
    assert section.body.index(">oracle<") < section.body.index(">random<")
    without = [{key: value for key, value in record.items() if key != "pairs"} for record in run.records]
    assert pairs(ReportData(type(run)(**{**vars(run), "records": without}))) == []
