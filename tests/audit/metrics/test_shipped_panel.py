"""The page tells what the panel found, on the weights that ship."""

import subprocess
import sys

import pandas as pd
import pytest

from toolkit.audit.metrics import shipped_panel as passes
from toolkit.paths import models_dir

PANEL = pd.DataFrame(
    [
        ("a", "noise alone", "noise", 0.1, False, "mean"),
        ("b", "noise alone", "noise", 0.0, True, "mean"),
        ("a", "controls", "tiny-llava-grounded", 1e-20, True, "larger p-value"),
        ("b", "controls", "tiny-llava-grounded", 0.2, False, "larger p-value"),
        ("b", "controls", "tiny-internvl-grounded", 3e-9, True, "larger p-value"),
        ("a", "twins", "tiny-llava-grounded / tiny-llava-biased", -0.0001, None, "AUROC"),
        ("c", "twins", "tiny-llava-grounded / tiny-llava-biased", 0.7, True, "AUROC"),
    ],
    columns=["metric", "check", "subject", "value", "passed", "statistic"],
)


def test_the_tables_count_what_passed_and_name_what_did_not():
    lines = passes.markdown(PANEL, ["a", "b"]).splitlines()
    assert (lines[0], lines[-1]) == (passes.START, passes.END)
    assert [line for line in lines if line.startswith("|")] == [
        "| passed of judged | a | b |",
        "|---|---|---|",
        "| noise alone | 0/1 | 1/1 |",
        "| controls | 1/1 | 1/2 (not llava) |",
        "| twins | – | – |",
        "| statistic | model | a | b |",
        "|---|---|---|---|",
        "| controls: larger p-value | llava | 1e-20 | 2e-01 |",
        "| controls: larger p-value | internvl | – | 3e-09 |",
        "| twins: AUROC | llava | 0.000 | – |",
    ]


def test_adopting_a_panel_keeps_the_checksums_of_the_weights(tmp_path):
    grounded = [name for name in passes.weights() if name.endswith("grounded")]
    rows = [("a", "controls", name, 0.5, True, "p") for name in grounded]
    pd.DataFrame(rows, columns=PANEL.columns).to_csv(tmp_path / "panel.csv", index=False)
    passes.write_measured(tmp_path, passes.measured())
    folder = passes.adopt(tmp_path, tmp_path / "kept" / "here")
    panel, measured = passes.load(folder)
    assert panel["subject"].tolist() == grounded
    assert measured["weights"] == passes.weights()
    assert set(measured["weights"]) == {path.name for path in models_dir().iterdir()}
    pd.DataFrame(rows[1:], columns=PANEL.columns).to_csv(tmp_path / "panel.csv", index=False)
    with pytest.raises(ValueError, match=f"does not judge {grounded[0]}; run validate without --models"):
        passes.adopt(tmp_path, tmp_path / "kept")


def test_a_panel_about_other_weights_is_not_adopted(tmp_path):
    grounded = [name for name in passes.weights() if name.endswith("grounded")]
    rows = [("a", "controls", name, 0.5, True, "p") for name in grounded]
    pd.DataFrame(rows, columns=PANEL.columns).to_csv(tmp_path / "panel.csv", index=False)
    with pytest.raises(FileNotFoundError, match=r"measured\.json"):
        passes.adopt(tmp_path, tmp_path / "kept")
    what = passes.measured()
    what["weights"][grounded[1]] = "0" * 64
    passes.write_measured(tmp_path, what)
    with pytest.raises(ValueError, match=f"{grounded[1]} changed; run validate again"):
        passes.adopt(tmp_path, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_panel_with_cells_that_were_not_judged_is_not_adopted(tmp_path):
    grounded = [name for name in passes.weights() if name.endswith("grounded")]
    rows = [("f-syn", "seeds", name, 0.5, None if name == grounded[1] else True, "tau") for name in grounded]
    pd.DataFrame(rows, columns=PANEL.columns).to_csv(tmp_path / "panel.csv", index=False)
    passes.write_measured(tmp_path, passes.measured())
    with pytest.raises(ValueError, match=r"entries without a verdict \(seeds\); run validate in full"):
        passes.adopt(tmp_path, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


@pytest.mark.parametrize(("words", "message"), [((), "usage: "), (("gone",), "error: ")])
def test_wrong_words_are_answered_in_one_line(words, message):
    command = [sys.executable, "-m", "toolkit.audit.metrics.shipped_panel", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert done.stderr.count("\n") == 1


def test_the_panel_was_measured_on_the_weights_that_ship():
    _, measured = passes.load()
    again = "run make validate, then python -m toolkit.audit.metrics.shipped_panel results/validity"
    assert measured["weights"] == passes.weights(), again


def test_the_page_holds_the_measured_tables():
    page = passes.PAGE.read_text(encoding="utf-8")
    block = page[page.index(passes.START) : page.index(passes.END) + len(passes.END)]
    panel, _ = passes.load()
    assert block == passes.markdown(panel, passes.METRICS)
    assert set(passes.METRICS) <= set(panel["metric"])
