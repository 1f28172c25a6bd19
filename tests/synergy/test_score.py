"""Scores and their metrics."""

import numpy as np
import pytest

from toolkit.synergy.metrics import DEFAULT_METRICS, METRICS
from toolkit.synergy.score import Score


def test_a_score_is_nan_exactly_when_it_has_a_reason():
    spec = METRICS["f-syn"].spec
    empty = np.empty(0)
    for value, reason in ((float("nan"), None), (0.5, "too few samples")):
        with pytest.raises(ValueError, match="exactly when a reason"):
            Score(spec, value, empty, empty, 0, reason)
    assert Score(spec, float("nan"), empty, empty, 0, "no text").reason == "no text"


def test_the_registry_names_what_the_report_shows():
    assert {"srg-image", "srg-text", "f-syn", "f-syn-paper", "f-syn-interior", "total-interaction"} == set(
        DEFAULT_METRICS
    )
    assert set(DEFAULT_METRICS) < set(METRICS)
    for name in METRICS:
        spec = METRICS[name].spec
        low, high = spec.range
        assert low < high
        assert spec.direction in (-1, 0, 1)
        assert spec.reference
        assert spec.description.endswith(".")
