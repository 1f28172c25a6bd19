"""The study of masking: its rule, and what it measures on games that are known."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from support.fakes import KnownVLM, known_sample
from typer.testing import CliRunner

from toolkit.audit.masking_study import MaskingStudy, masking_study
from toolkit.cli.app import app
from toolkit.games.game import CachedGame


def study(distances: dict[str, float], gaps: dict[str, float]) -> MaskingStudy:
    """Twelve images per fill, each number with a little spread."""
    rows = [
        {"fill": fill, "image_id": i, "wrong_sign": 0.0, "distance": distances[fill] + 0.01 * (i % 2 - 0.5),
         "f-syn": gaps[fill] + 0.01 * (i % 2 - 0.5)}
        for fill in distances for i in range(12)
    ]  # fmt: skip
    return MaskingStudy(pd.DataFrame(rows))


@pytest.mark.parametrize(
    ("gaps", "said"),
    [
        ((0.2, 0.1, 0.1), "f-syn: right under every fill."),
        ((-0.2, 0.1, 0.1), "f-syn: wrong by itself (not right under blur)."),
        ((0.2, 0.1, 0.0), "f-syn: misled by the mask (not right under shuffle)."),
        ((0.2, 0.0, 0.1), "f-syn: undecided (not right under mean)."),
    ],
)
def test_the_rule_that_was_written_before(gaps: tuple[float, ...], said: str) -> None:
    fills = ("blur", "mean", "shuffle")
    found = study(dict(zip(fills, (0.05, 0.1, 0.3), strict=True)), dict(zip(fills, gaps, strict=True)))
    assert found.verdict() == f"Fills known: blur; unclear: mean; foreign: shuffle. {said}"
    assert "Nothing can be said" in study({"shuffle": 0.3}, {"shuffle": 0.1}).verdict()


def test_a_metric_that_refuses_to_score_is_neither_right_nor_wrong_there() -> None:
    rows = study({"blur": 0.05, "shuffle": 0.3}, {"blur": 0.2, "shuffle": 0.0}).rows
    few = MaskingStudy(rows.assign(**{"f-syn": rows["f-syn"].where((rows["fill"] == "blur") | (rows["image_id"] < 5))}))
    assert few.judged() == {"f-syn": "right under every fill (not scored often enough under shuffle)"}
    none = MaskingStudy(rows.assign(**{"f-syn": float("nan")}))
    assert none.judged() == {"f-syn": "undecided (not scored often enough under blur, shuffle)"}
    assert none.wide().to_numpy().tolist() == [["blur", "–"], ["shuffle", "–"]]


class Misled(KnownVLM):
    """Believes the opposite where cells are filled with noise."""

    def game(self, sample, *, target=None, baseline="blur"):
        found = super().game(sample, target=target, baseline=baseline)
        return replace(found, inner=CachedGame(Opposite(found.inner))) if baseline == "noise" else found


class Opposite:
    def __init__(self, game) -> None:
        self.game, self.players = game, game.players

    def __call__(self, coalitions):
        return 1 - self.game(coalitions)


def test_gaps_and_signs_on_a_model_that_one_fill_misleads(tmp_path: Path) -> None:
    samples = [known_sample(i) for i in range(4)]
    found = masking_study(Misled(), samples, tmp_path, n=3, fills=("blur", "noise"), metrics=("f-syn", "srg-text"))
    gaps = found.gaps().set_index(["metric", "fill"])["gap"]
    assert gaps["f-syn", "blur"] > 0.05 > -0.05 > gaps["f-syn", "noise"]
    rows = found.rows.set_index(["fill", "sample"])
    assert (rows.loc["blur", "wrong_sign"] == 0).all()
    assert (rows.loc["noise", "wrong_sign"] == 1).all()
    assert len(rows) == 6
    again = masking_study(Misled(), samples, tmp_path, n=3, fills=("blur", "noise"), metrics=("f-syn", "srg-text"))
    pd.testing.assert_frame_equal(again.rows, found.rows)


def test_samples_without_localised_evidence_are_refused() -> None:
    with pytest.raises(ValueError, match="none of 1 samples has localised evidence"):
        masking_study(KnownVLM(), [known_sample(0, everywhere=True)], None)


def test_the_command_writes_its_page(tmp_path: Path) -> None:
    run = CliRunner().invoke(
        app, ["study", "masking", "--samples", "2", "--fills", "blur,shuffle", "--out", str(tmp_path)]
    )
    assert run.exit_code == 0, run.output
    assert "Is the metric wrong, or the mask?" in (tmp_path / "masking.html").read_text()
    rows = pd.read_csv(tmp_path / "masking.csv")
    assert len(rows) == 4
    of_text = rows.pivot_table(index="sample", columns="fill", values="srg-text")
    assert of_text["blur"].tolist() == pytest.approx(of_text["shuffle"].tolist())  # it never removes a cell
    run = CliRunner().invoke(app, ["study", "masking", "--fills", "blurr", "--out", str(tmp_path)])
    assert run.exit_code == 2
    assert "blurr" in run.output
