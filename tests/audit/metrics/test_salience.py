from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support.fakes import SIDE, KnownVLM, known_sample

from toolkit.audit.metrics.claims import (
    BIAS_ONLY,
    GROUPS,
    NOT,
    REPRODUCED,
    UNKNOWN,
    Claim,
    claims_table,
    explainer_claims,
    salience_claim,
    unimodal_claims,
)
from toolkit.audit.metrics.salience import contrast, salience
from toolkit.games.attribution import Attribution

GROUNDED, BIASED = "tiny-llava-grounded", "tiny-llava-biased"


def striking(number=0):
    """A grey picture of 4 x 4 cells, two of them bright; the evidence is the first of these."""
    pixels = np.full((40, 40, 3), 100, dtype=np.uint8)
    pixels[0:10, 0:10] = 250
    pixels[20:30, 30:40] = 200
    return replace(known_sample(number), image=Image.fromarray(pixels))


def of(cells):
    players = KnownVLM().players(striking())
    return Attribution(np.concatenate([cells, np.zeros(players.n_text)]), players, "m", "yes")


def test_contrast_is_the_distance_to_the_median_colour():
    cells = contrast(striking(), KnownVLM().regions(striking()))
    expected = np.zeros(SIDE * SIDE)
    expected[0], expected[11] = 150 / 255, 100 / 255
    assert cells == pytest.approx(expected)


def test_a_map_of_what_stands_out_follows_salience_and_one_of_the_evidence_does_not():
    vlm, sample = KnownVLM(), striking()
    stands_out = contrast(sample, vlm.regions(sample))
    assert salience(vlm, sample, of(stands_out)).value == pytest.approx(1)
    assert salience(vlm, sample, of(-stands_out)).value == pytest.approx(-1)
    evidence_alone = np.eye(SIDE * SIDE)[0]
    found = salience(vlm, sample, of(evidence_alone))
    assert np.isnan(found.value)
    assert "all alike" in found.reason
    without_truth = salience(vlm, replace(sample, truth=None), of(evidence_alone))
    assert without_truth.value > 0.5


def test_nothing_beside_the_evidence_is_not_scored():
    sample = replace(striking(), truth=known_sample(0, everywhere=True).truth)
    assert salience(KnownVLM(), sample, of(np.arange(16.0))).reason is not None


def table_of(part, metric, by_explainer, n=30):
    rng = np.random.default_rng(0)
    rows = [
        {"part": part, "metric": metric, "sample": i, "explainer": m, "value": v + 0.05 * rng.normal()}
        for i in range(n)
        for m, v in by_explainer.items()
    ]
    return pd.DataFrame(rows)


def test_punished_means_that_the_oracle_lies_below_random():
    def claim(grounded, biased):
        tables = {GROUNDED: grounded, BIASED: biased}
        found = unimodal_claims({n: table_of("controls", "srg-image", t) for n, t in tables.items()}, ("srg-image",))
        return claims_table(found).iloc[0]

    fair, unfair = {"oracle": 0.5, "random": 0.1}, {"oracle": 0.0, "random": 0.1}
    assert claim(fair, fair).verdict == NOT
    assert claim(fair, unfair).verdict == BIAS_ONLY
    assert claim(unfair, fair).verdict == REPRODUCED
    assert f"{GROUNDED} oracle +0.4" in claim(fair, fair).numbers
    assert unimodal_claims({}, ("srg-image",))[0].verdict == UNKNOWN


def test_salience_must_beat_attention_and_random():
    def verdict(made, attention):
        values = dict.fromkeys(GROUPS["made for VLMs"], made) | dict.fromkeys(GROUPS["attention"], attention)
        found = salience_claim({GROUNDED: table_of("explainers", "salience", values | {"random": 0.0})})
        return claims_table([found]).iloc[0]

    assert verdict(0.4, 0.1).verdict == REPRODUCED
    assert verdict(0.4, 0.4).verdict == NOT
    assert verdict(0.0, -0.3).verdict == NOT
    assert "made for VLMs +0.4" in verdict(0.4, 0.1).numbers
    assert salience_claim({}).verdict == UNKNOWN


def test_no_better_than_random_needs_a_margin_and_samples():
    """A p-value of at least .05 is no evidence: with few samples or a real advantage nothing is reproduced."""

    def verdict(made, n):
        maps = dict.fromkeys(GROUPS["attention"], 0.3) | dict.fromkeys(GROUPS["made for VLMs"], made) | {"random": 0.0}
        ranked = table_of("explainers", "f-syn", maps, n).assign(setting="default")
        controls = table_of("controls", "f-syn", {"oracle": 0.5, "random": 0.0})
        return claims_table(explainer_claims({GROUNDED: pd.concat([ranked, controls])}, ("f-syn",)))["verdict"].tolist()

    assert verdict(0.0, 40) == [REPRODUCED, REPRODUCED]
    assert verdict(0.0, 5) == [NOT, NOT]
    assert verdict(0.2, 40) == [REPRODUCED, NOT]


def test_claims_that_are_tests_are_corrected_together():
    tests = [Claim(str(i), UNKNOWN, "", "smaller", {GROUNDED: p}) for i, p in enumerate((0.04, 0.001))]
    table = claims_table([*tests, Claim("2", REPRODUCED, "", "as it stands")])
    assert table["verdict"].tolist() == [REPRODUCED] * 3  # .04 and .002
    assert table["rule"].tolist()[1:] == [
        "smaller, p below 0.05 after Holm's correction over the 2 tests of this table", "as it stands",
    ]  # fmt: skip
    tests.append(Claim("3", UNKNOWN, "", "smaller", {GROUNDED: 0.03}))
    assert claims_table(tests)["verdict"].tolist() == [NOT, REPRODUCED, NOT]  # .06, .003, .06
