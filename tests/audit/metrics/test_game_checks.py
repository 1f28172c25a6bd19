import numpy as np
import pytest

from toolkit.audit.metrics import game_checks
from toolkit.audit.metrics.controls import half_right_floor
from toolkit.audit.metrics.game_checks import gate_entries, half_right_entry, noise_entries, ties_entry
from toolkit.synergy.metrics import METRICS, Metric
from toolkit.synergy.score import MetricSpec, Score


@pytest.fixture(autouse=True)
def _small(monkeypatch):
    monkeypatch.setattr(game_checks, "N_DRAWS", 10)
    monkeypatch.setattr(game_checks, "N_NOISE", 40)
    monkeypatch.setattr(game_checks, "N_RENAMED", 4)


def passed(cells):
    return {cell.check: cell.passed for cell in cells}


def test_signed_f_syn_finds_synergy_and_ranks_the_oracle_last_on_redundancy():
    found = passed(gate_entries(METRICS["f-syn"]))
    assert found["gate AND"]
    assert not found["gate OR"]
    assert not found["gate XOR"]
    assert found["gate additive"]
    assert found["redundancy visible"]


def test_the_published_score_hides_redundancy():
    found = {cell.check: cell for cell in gate_entries(METRICS["f-syn-paper"])}
    assert found["redundancy visible"].passed is False
    assert found["redundancy visible"].value == 0.0
    assert "oracle +0.000" in found["gate OR"].note


def test_a_unimodal_metric_counts_single_effects():
    found = passed(gate_entries(METRICS["srg-image"]))
    assert found["gate additive"] is False
    entry = half_right_entry(METRICS["srg-image"])
    floor = half_right_floor(game_checks.evidence(), game_checks.players(), game_checks.STEPS)
    assert 0 < floor < 0.1
    assert entry.value == pytest.approx(0.5 - floor)
    assert entry.note.startswith("0.500, of which ")


def test_the_recovered_score_passes_every_gate():
    cells = [*gate_entries(METRICS["f-syn-recovered"]), half_right_entry(METRICS["f-syn-recovered"])]
    assert {cell.subject for cell in cells if not cell.passed} == {"corner effect"}
    assert {cell.reason for cell in cells if not cell.passed} == {"not scored"}


def test_clipping_turns_noise_into_a_score():
    published, signed = noise_entries([METRICS["f-syn-paper"], METRICS["f-syn"]])
    assert published.passed is False
    assert published.value > 0.5
    assert abs(signed.value) < 0.3


def test_both_gaps_must_be_open():
    """A metric that puts random above the oracle fails, however far below the anti-oracle is."""
    by_explainer = {"oracle": 1.0, "random": 2.0, "anti-oracle": 0.0}

    def score(values, attribution, steps):
        return Score(SPEC, by_explainer[attribution.explainer], np.ones(1), np.ones(1), 1)

    cells = {cell.check: cell for cell in gate_entries(Metric(SPEC, METRICS["f-syn"].coalitions, score))}
    assert cells["gate AND"].value == -1.0
    assert cells["gate AND"].passed is False


def index_lover(values, attribution, steps):
    """A metric that pays players of low number: what the ties rule is there for."""
    image = attribution.of("image")
    value = float(values.max()) + float(np.argmax(image)) / 10
    return Score(SPEC, value, np.ones(1), np.ones(1), 1)


SPEC = MetricSpec("index-lover", 1, (-1.0, 5.0), "index", "made up")


def test_a_metric_that_reads_the_numbering_fails_the_ties_rule():
    cell = ties_entry(Metric(SPEC, METRICS["f-syn"].coalitions, index_lover))
    assert cell.passed is not True
    own = ties_entry(METRICS["f-syn-paper"])
    ends = own.low / own.value, own.high / own.value  # chi-square with 3 degrees of freedom
    assert ends == pytest.approx((0.5665, 3.7286), rel=1e-3)
    assert ties_entry(METRICS["f-syn-recovered"]).value < 0.1
