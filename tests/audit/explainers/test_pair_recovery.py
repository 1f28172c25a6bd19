"""Recovery of known pairs, and the verdict on it."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest
from support.fakes import PAIRS, ToyVLM, toy_sample

import toolkit
from toolkit.audit.explainers.map_grid import localised_samples
from toolkit.audit.explainers.pair_recovery import ORACLE, SHUFFLED, PairReport, pair_recovery
from toolkit.explainers import explain
from toolkit.synergy.pair_metrics import pairs_of, recovery

TRUTH = np.array([[True, False], [False, False]])


def test_recovery_of_the_truth_of_its_opposite_and_of_nothing() -> None:
    assert recovery(TRUTH.astype(float), TRUTH) == (1.0, 1.0)
    assert recovery(-TRUTH.astype(float), TRUTH) == (0.0, 0.0)
    assert recovery(np.zeros((2, 2)), TRUTH) == (0.5, 0.25)
    assert all(math.isnan(x) for x in recovery(np.ones((2, 2)), np.ones((2, 2), dtype=bool)))
    with pytest.raises(ValueError, match="shape"):
        recovery(np.zeros((2, 3)), TRUTH)


def test_scores_of_the_first_order_are_multiplied_and_pairs_are_taken_as_they_are() -> None:
    plain, pairs = explain("occlusion", ToyVLM(), toy_sample()), explain("banzhaf-interaction", ToyVLM(), toy_sample())
    np.testing.assert_array_equal(pairs_of(plain), np.outer(plain.of("image"), plain.of("text")))
    np.testing.assert_allclose(pairs_of(pairs), PAIRS, atol=1e-9)


def report(**auc: float) -> PairReport:
    """Twenty pictures with the AUC given, a little spread around it."""
    gives = {"one": "pairs", "two": "a product", ORACLE: "control", SHUFFLED: "control"}
    names = {"oracle": ORACLE, "shuffled": SHUFFLED}
    rows = [
        {"model": "toy", "sample": i, "image_id": i, "explainer": names.get(name, name),
         "gives": gives[names.get(name, name)], "auc": value + 0.04 * (i % 2 - 0.5), "precision": value}
        for name, value in auc.items() for i in range(20)
    ]  # fmt: skip
    return PairReport(pd.DataFrame(rows), 20)


def test_the_verdict_says_who_finds_pairs_and_whether_a_product_is_beaten() -> None:
    said = report(one=0.9, two=0.6, oracle=1.0, shuffled=0.5).verdict()
    assert "better than chance: one, two." in said
    assert "one (AUC 0.90), beats the best product of scores, two (0.60)" in said
    lost = report(one=0.6, two=0.9, oracle=1.0, shuffled=0.5).verdict()
    assert "does not clearly beat" in lost
    assert lost.endswith("That pairs beat products is not supported.")
    assert "not supported" not in said
    assert "no explainer" in report(one=0.5, two=0.4, oracle=1.0, shuffled=0.5).verdict()
    assert "Of toy nothing can be said" in report(one=0.9, two=0.6, oracle=1.0, shuffled=0.7).verdict()


def test_every_model_has_its_own_verdict_and_its_own_ranking() -> None:
    right, lost = (report(one=a, two=b, oracle=1.0, shuffled=0.5).rows for a, b in ((0.9, 0.6), (0.6, 0.9)))
    both = PairReport(pd.concat([right, lost.assign(model="other")]), 40)
    assert both.table()["explainer"].tolist() == [ORACLE, "one", "two", SHUFFLED, ORACLE, "two", "one", SHUFFLED]
    of_toy, of_other = both.verdict().split(" On other ")
    assert "one (AUC 0.90), beats" in of_toy
    assert "does not clearly beat the best product of scores, two" in of_other


def test_on_an_embedded_model_the_truth_is_found_and_its_shuffle_is_not() -> None:
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
    found = pair_recovery([vlm], localised_samples(2), ["banzhaf-interaction", "occlusion"])
    table = found.table().set_index("explainer")
    assert table.loc[ORACLE, "auc"] == 1.0
    assert table.loc["banzhaf-interaction", "auc"] > 0.8 > table.loc[SHUFFLED, "auc"]
    assert table.loc["banzhaf-interaction", "gives"] == "pairs"
    assert table.loc["occlusion", "gives"] == "a product"
    for score in ("pair_gain", "added_r2", "f_syn"):
        assert table.loc[ORACLE, score] > table.loc[SHUFFLED, score]


def test_samples_without_anything_to_find_are_refused_with_the_cure() -> None:
    vlm = toolkit.load_vlm("tiny-llava-biased", device="cpu")
    with pytest.raises(ValueError, match="a grounded model"):
        pair_recovery([vlm], localised_samples(1), ["occlusion"])
