"""The study of the dose: its rule, and explainers whose mass is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from support.fakes import KnownVLM, known_sample
from typer.testing import CliRunner

from toolkit.audit.dose_study import RANDOM, DoseStudy, dose_study
from toolkit.audit.explainers.pair_recovery import ORACLE
from toolkit.cli.app import app
from toolkit.games.attribution import InteractionAttribution
from toolkit.synergy.f_syn import total_interaction

GROUNDED, BIASED = KnownVLM("tiny-llava-grounded"), KnownVLM("tiny-llava-biased")


def study(slope: float, *, gives: str = "pairs", random: bool = True) -> DoseStudy:
    """Mass = slope * D of twelve images, D from 1 to 0; random pairs that know nothing, or that follow."""
    rows = []
    for image in range(12):
        for step in range(5):
            total = 1 - step / 4
            up = (-1) ** image * step if random else total
            for name, kind, mass in (("e", gives, slope * total), (RANDOM, "control", up)):
                rows.append({"sample": image, "image_id": image, "explainer": name, "gives": kind, "strength": step / 4,
                             "total": total, "mass": mass})  # fmt: skip
    return DoseStudy(pd.DataFrame(rows))


def test_the_rule_that_was_written_before() -> None:
    assert study(1.0).verdict() == "e: follows the dose, has the size of D (1.00)."
    assert study(0.5).verdict() == "e: follows the dose, shows too little (0.50)."
    assert study(2.0).verdict() == "e: follows the dose, shows too much (2.00)."
    assert study(-1.0).verdict() == "e: does not follow, shows too little (-1.00)."
    assert study(0.0, gives="a product").verdict() == "e: does not follow."
    assert "Nothing can be said" in study(1.0, random=False).verdict()


class Twice:
    """Gives one pair all of the interaction, twice."""

    name, reference, cost, needs = "twice", "a test", "nothing", frozenset({"game"})

    def attribute(self, vlm, sample, *, target=None, baseline="blur", rng):
        players = vlm.players(sample)
        pairs = np.zeros((players.n_image, players.n_text))
        pairs[0, 0] = 2 * total_interaction(vlm.game(sample, target=target, baseline=baseline)).value
        return InteractionAttribution.from_pairs(pairs, players, self.name, target)


def test_slopes_of_masses_that_are_known(tmp_path: Path) -> None:
    samples = [known_sample(i) for i in range(3)]
    asked = {"n": 2, "explainers": (Twice(), "occlusion"), "strengths": (0.0, 0.5, 1.0)}
    found = dose_study(GROUNDED, BIASED, samples, tmp_path, **asked)
    slopes = found.responses().set_index(["explainer", "sample"])["slope"]
    assert slopes["twice"].tolist() == pytest.approx([2, 2], abs=1e-9)
    assert slopes[ORACLE].tolist() == pytest.approx([1, 1], abs=1e-9)
    assert slopes["occlusion"].isna().all()  # products are in another unit
    assert len(found.rows) == 2 * 3 * 4
    pd.testing.assert_frame_equal(dose_study(GROUNDED, BIASED, samples, tmp_path, **asked).rows, found.rows)


def test_models_without_another_interaction_are_refused() -> None:
    with pytest.raises(ValueError, match="on none of 2 samples does the total interaction"):
        dose_study(BIASED, BIASED, [known_sample(0), known_sample(1)], None)


def test_the_command_writes_its_page(tmp_path: Path) -> None:
    run = CliRunner().invoke(
        app, ["study", "dose", "--samples", "2", "--explainers", "occlusion", "--out", str(tmp_path)]
    )
    assert run.exit_code == 0, run.output
    assert "Do explanations follow the dose?" in (tmp_path / "dose.html").read_text()
    assert set(pd.read_csv(tmp_path / "dose.csv")["explainer"]) == {"occlusion", ORACLE, RANDOM}
    run = CliRunner().invoke(app, ["study", "dose", "--model", "tiny-llava-grounded", "--out", str(tmp_path)])
    assert run.exit_code == 2
    assert "biased twin" in run.output
