from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from support.fakes import SIDE, KnownVLM, known_sample

from toolkit.audit.metrics.claims import BIAS_ONLY, GROUPS, NOT, REPRODUCED, UNKNOWN, salience_claim, unimodal_claims
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
        return unimodal_claims({n: table_of("controls", "srg-image", t) for n, t in tables.items()}, ("srg-image",))[0]

    fair, unfair = {"oracle": 0.5, "random": 0.1}, {"oracle": 0.0, "random": 0.1}
    assert claim(fair, fair).verdict == NOT
    assert claim(fair, unfair).verdict == BIAS_ONLY
    assert claim(unfair, fair).verdict == REPRODUCED
    assert f"{GROUNDED} oracle +0.4" in claim(fair, fair).numbers
    assert unimodal_claims({}, ("srg-image",))[0].verdict == UNKNOWN


def test_salience_must_beat_attention_and_random():
    def verdict(made, attention):
        values = dict.fromkeys(GROUPS["made for VLMs"], made) | dict.fromkeys(GROUPS["attention"], attention)
        return salience_claim({GROUNDED: table_of("explainers", "salience", values | {"random": 0.0})})

    assert verdict(0.4, 0.1).verdict == REPRODUCED
    assert verdict(0.4, 0.4).verdict == NOT
    assert verdict(0.0, -0.3).verdict == NOT
    assert "made for VLMs +0.4" in verdict(0.4, 0.1).numbers
    assert salience_claim({}).verdict == UNKNOWN
