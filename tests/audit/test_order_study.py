"""The study of orders: its rule, and that a stopped one goes on."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import toolkit
from toolkit.audit.explainers.map_grid import localised_samples
from toolkit.audit.order_study import OrderStudy, order_study
from toolkit.cli.app import app


def study(beyond: float, cancellation: float) -> OrderStudy:
    rows = [
        {
            "model": "m",
            "image_id": i,
            "beyond_pairs": beyond + 0.02 * (i % 2),
            "cancellation": cancellation - 0.02 * (i % 2),
        }
        for i in range(12)
    ]
    return OrderStudy(pd.DataFrame(rows))


@pytest.mark.parametrize(
    ("beyond", "cancellation", "said"),
    [
        (0.7, 0.8, "m: most of it needs three or more (71 %); most of it undoes itself (79 %)."),
        (0.1, 0.2, "m: pairs hold most of it (11 %); little of it undoes itself (19 %)."),
        (0.49, 0.51, "m: undecided (50 %); undecided (50 %)."),
    ],
)
def test_the_rule_that_was_written_before(beyond: float, cancellation: float, said: str) -> None:
    assert study(beyond, cancellation).verdict() == said


def test_a_family_is_tabled_over_the_architectures_of_a_twin() -> None:
    rows = pd.DataFrame({
        "model": ["tiny-a-biased", "tiny-b-biased", "tiny-a-shortcut"], "family": "colour", "image_id": 0,
        "beyond_pairs": [0.2, 0.4, 0.9], "cancellation": 0.5,
    })  # fmt: skip
    table = OrderStudy(rows).by_family()
    assert table[["twin", "family", "n_samples"]].to_numpy().tolist() == [
        ["biased", "colour", 2],
        ["shortcut", "colour", 1],
    ]
    assert table["beyond_pairs"].tolist() == pytest.approx([0.3, 0.9])


def test_a_stopped_study_goes_on_and_another_one_is_refused(tmp_path: Path) -> None:
    vlm, samples = toolkit.load_vlm("tiny-llava-grounded", device="cpu"), localised_samples(2)
    whole = order_study([vlm], samples, tmp_path / "a", n_cells=3, n_words=2).rows
    order_study([vlm], samples[:1], tmp_path / "b", n_cells=3, n_words=2)
    path = tmp_path / "b" / "orders.jsonl"
    path.write_text(path.read_text() + '{"model": "tiny-lla')  # killed while writing
    done = order_study([vlm], samples, tmp_path / "b", n_cells=3, n_words=2).rows
    cost = ["seconds", "cpu_seconds"]
    assert (whole[cost] > 0).all(axis=None)
    pd.testing.assert_frame_equal(done.drop(columns=cost), whole.drop(columns=cost))
    assert (whole["n_evaluations"] == 2**5).all()
    with pytest.raises(ValueError, match="holds another study"):
        order_study([vlm], samples, tmp_path / "b", n_cells=4, n_words=2)


def test_a_study_that_is_stopped_has_as_many_samples_of_each_model(tmp_path: Path) -> None:
    grounded, shortcut = (toolkit.load_vlm(f"tiny-llava-{twin}", device="cpu") for twin in ("grounded", "shortcut"))
    rows = order_study([grounded, shortcut], localised_samples(2), tmp_path, n_cells=2, n_words=1).rows
    assert rows["model"].tolist() == [grounded.name, shortcut.name] * 2


def test_the_commands_write_their_pages(tmp_path: Path) -> None:
    run = CliRunner().invoke(
        app, ["study", "orders", "--model", "tiny-llava-grounded", "--samples", "2", "--cells", "3", "--words", "2",
              "--out", str(tmp_path)],
    )  # fmt: skip
    assert run.exit_code == 0, run.output
    assert "tiny-llava-grounded: undecided" in (tmp_path / "orders.html").read_text()  # two samples decide nothing
    run = CliRunner().invoke(
        app, ["study", "pairs", "--samples", "3", "--explainers", "occlusion", "--out", str(tmp_path)]
    )
    assert run.exit_code == 0, run.output
    assert "Which pairs decide the answer?" in (tmp_path / "pairs.html").read_text()
    assert set(pd.read_csv(tmp_path / "pairs.csv")["explainer"]) == {"occlusion", "pair oracle", "shuffled pairs"}
