"""The controls' rule: both steps must hold, oracle above random and random above anti-oracle, each beyond chance."""

import numpy as np
import pytest
from support.toy_bench import METRICS, ToyBench, spec

from toolkit.benchmark.report import model_tables as truths
from toolkit.benchmark.report.run_tables import load_run
from toolkit.benchmark.run.runner import run_benchmark
from toolkit.stats.verdict import MIN_IMAGES
from toolkit.synergy.score import Score

NAMES = ("oracle", "random", "anti-oracle")


def judged(tmp_path, levels, *, noise=0.1, samples=24):
    """The row of a run whose metric has these levels for the three controls, plus noise per sample."""

    class Levels(ToyBench):
        def score(self, game, attributions):
            number = int(game.sample.id.rsplit("-", 1)[1])
            found = []
            for attribution in attributions:
                draw = np.random.default_rng([number, NAMES.index(attribution.explainer)]).standard_normal()
                value = levels[NAMES.index(attribution.explainer)] + noise * draw
                found.append({m.name: Score(m, value, np.zeros(1), np.full(1, value), 1) for m in METRICS})
            return found

    wanted = spec(
        tmp_path / "run", explainers=list(NAMES), models=["gate-and"], seeds=[0], samples=samples,
        metrics=["f-syn"],
    )  # fmt: skip
    run_benchmark(wanted, workspace=Levels)
    (row,) = truths.controls(load_run(wanted.out)).to_dict("records")
    return row


@pytest.mark.parametrize(
    ("levels", "verdict"),
    [
        ((0.6, 0.3, 0.0), "passes"),
        ((0.6, 0.0, 0.0), "fails"),  # random is not above anti-oracle
        ((0.3, 0.3, 0.0), "fails"),  # oracle is not above random
        ((0.6, 0.0, 0.3), "fails"),  # random is below anti-oracle
        ((0.3, 0.6, 0.0), "fails"),  # oracle is below random
        ((0.0, 0.3, 0.6), "fails"),
    ],
)
def test_both_steps_must_hold(tmp_path, levels, verdict):
    row = judged(tmp_path, levels)
    assert row["n_images"] == 12
    assert row["verdict"] == verdict
    for name, level in zip(NAMES, levels, strict=True):
        assert row[name] == pytest.approx(level, abs=0.1)


def test_a_step_within_chance_does_not_hold(tmp_path):
    """The right order on average, but by a hundredth of the noise."""
    row = judged(tmp_path, (0.302, 0.301, 0.0))
    assert row["p_oracle_random"] > 0.05 > row["p_random_anti"]
    assert row["verdict"] == "fails"


def test_too_few_pictures_are_not_judged(tmp_path):
    row = judged(tmp_path, (0.6, 0.3, 0.0), samples=2 * (MIN_IMAGES - 1))
    assert row["verdict"] == "not tested"
