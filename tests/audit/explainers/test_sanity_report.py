"""The sanity report: its rule, its summary, its page."""

from __future__ import annotations

import math
from pathlib import Path

import pandas as pd
import pytest
from support.fakes import ToyVLM

from toolkit.audit.explainers.sanity_report import SanityReport, survives
from toolkit.audit.explainers.shuffled_labels import Shuffled


def correlations(**rhos: tuple[float, float]) -> pd.DataFrame:
    rows = [(method, rho, error, 8) for method, (rho, error) in rhos.items()]
    return pd.DataFrame(rows, columns=["explainer", "rho", "rho_se", "n_samples"])


@pytest.fixture
def report() -> SanityReport:
    first = correlations(picture=(0.99, 0.01), model=(0.2, 0.1)).assign(stage="head", position=1, modality="image")
    last = correlations(picture=(0.95, 0.01), model=(0.1, 0.1)).assign(stage="rest", position=2, modality="image")
    answers = correlations(picture=(0.9, 0.05), model=(0.55, 0.1)).assign(modality="image", ssim=0.5, ssim_se=0.1)
    pointing = pd.DataFrame(
        [("picture", "image", 0.25), ("picture", "text", 0.5), ("model", "image", 1.0), ("model", "text", 0.75)],
        columns=["explainer", "modality", "pointing"],
    )
    cost = pd.DataFrame([("picture", 0.1, 1, 0), ("model", 0.2, 2, 3)],
                        columns=["explainer", "seconds", "n_evaluations", "n_gradients"])  # fmt: skip
    moved = pd.DataFrame(
        [(name, change, rho) for name, rho in (("picture", 1.0), ("model", 0.5), ("oracle", 1.0))
         for change in ("seed", "baseline", "shift", "paraphrase")],
        columns=["explainer", "change", "rho"],
    )  # fmt: skip
    tables = {
        "random weights": pd.concat([first, last], ignore_index=True),
        "permuted answers": answers,
        "another question": correlations(picture=(0.8, 0.01), model=(-0.1, 0.1)),
        "seeds": correlations(picture=(1.0, 0.0), model=(1.0, 0.0)),
        "stability": moved,
        "plausibility": pointing,
        "cost": cost,
    }
    return SanityReport("tiny", Shuffled(ToyVLM(), 60, 0.9, 0.4, 0.41, 60), tables)


def test_a_map_survives_only_if_its_whole_interval_says_so() -> None:
    table = correlations(sure=(0.6, 0.04), wide=(0.6, 0.06), single=(0.9, math.nan)).set_index("explainer")
    assert survives(table, "sure")
    assert not survives(table, "wide")
    assert not survives(table, "single")
    four = correlations(few=(0.6, 0.04)).assign(n_samples=4).set_index("explainer")
    assert not survives(four, "few"), "with four samples the interval is 1.6 times as wide as the normal one"


def test_the_summary_reads_the_end_of_the_cascade_and_names_what_survived(report: SanityReport) -> None:
    found = report.summary()
    assert list(found.index) == ["picture", "model"]
    assert found.loc["picture", "random weights"] == 0.95
    assert found.loc["picture", "survives"] == "random weights, permuted answers, another question"
    assert found.loc["model", "survives"] == "none"
    assert found.loc["model", "passes"] == 5
    assert found.loc["model", "points at cells"] == 1.0
    assert found.loc["picture", "points at words"] == 0.5
    assert found.loc["model", ["stable, baseline", "stable, shift", "stable, paraphrase"]].tolist() == [0.5] * 3
    assert "shift to words" not in found
    assert "picture (random weights" in report.sentence()
    assert "40%" in report.sentence()


def test_the_page_has_every_table_and_needs_no_network(report: SanityReport, tmp_path: Path) -> None:
    text = report.write(tmp_path / "made").read_text()
    assert all(f"<h2>{title}</h2>" in text for title in report.tables)
    assert "http" not in text
    assert pd.read_csv(tmp_path / "made" / "sanity.csv").set_index("explainer").loc["model", "seeds"] == 1.0
    assert set(pd.read_csv(tmp_path / "made" / "sanity.csv")["model"]) == {"tiny"}
    assert (tmp_path / "made" / "sanity-random-weights.csv").exists()
