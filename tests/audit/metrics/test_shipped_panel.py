"""The page tells what the panel found, on the weights that ship."""

import subprocess
import sys

import pandas as pd
import pytest

from toolkit.audit.metrics import shipped_panel as passes

PANEL = pd.DataFrame(
    [
        ("a", "noise alone", "noise", 0.1, "fail", "mean", ""),
        ("b", "noise alone", "noise", 0.0, "pass", "mean", ""),
        ("a", "controls", "tiny-llava-grounded", 0.5, "pass", "gap", ""),
        ("b", "controls", "tiny-llava-grounded", 0.2, "fail", "gap", ""),
        ("b", "controls", "tiny-internvl-grounded", 0.1, "undecided", "gap", ""),
        ("a", "twins", "tiny-llava-grounded / tiny-llava-biased", -0.0001, None, "AUROC", "the rule needs 30 samples"),
        ("c", "twins", "tiny-llava-grounded / tiny-llava-biased", 0.7, "pass", "AUROC", ""),
    ],
    columns=["metric", "check", "subject", "value", "verdict", "statistic", "reason"],
).assign(guard=lambda panel: panel["check"] == "controls")
GROUNDED = [name for name in passes.weights() if name.endswith("grounded")]


def written(folder, rows):
    pd.DataFrame(rows, columns=PANEL.columns[:7]).to_csv(folder / "panel.csv", index=False)
    passes.write_measured(folder, passes.measured(list(passes.weights())))


def test_the_tables_count_what_passed_and_name_what_did_not():
    lines = passes.markdown(PANEL, ["a", "b"]).splitlines()
    assert (lines[0], lines[-1]) == (passes.START, passes.END)
    assert [line for line in lines if line.startswith("|")][:10] == [
        "| passed of judged | a | b |",
        "|---|---|---|",
        "| noise alone | 0/1 | 1/1 |",
        "| controls (guard) | 1/1 | 0/2 1? (not llava) |",
        "| twins | – | – |",
        "| statistic | model | a | b |",
        "|---|---|---|---|",
        "| controls: gap | llava | 0.500 | 0.200 |",
        "| controls: gap | internvl | – | 0.100 |",
        "| twins: AUROC | llava | 0.000 | – |",
    ]


def test_old_and_new_verdicts_stand_side_by_side():
    first = PANEL.assign(verdict="pass", check=["noise alone", "gone", *["controls"] * 3, "twins", "twins"])
    assert passes.changes(first, PANEL).splitlines() == [
        "| old → new | a | b | c |",
        "|---|---|---|---|",
        "| noise alone | 1/1 → 0/1 | – → 1/1 | – → – |",
        "| controls | 1/1 → 1/1 | 2/2 → 0/2 1? | – → – |",
        "| twins | 1/1 → – | – → – | 1/1 → 1/1 |",
        "| gone | – → – | 1/1 → – | – → – |",
    ]
    assert set(passes.load_first()["metric"]) <= set(passes.load()[0]["metric"])


def test_adopting_a_panel_keeps_the_checksums_of_the_weights(tmp_path):
    rows = [("a", "controls", name, 0.5, "pass", "gap", "") for name in GROUNDED]
    written(tmp_path, rows)
    panel, measured = passes.load(passes.adopt(tmp_path, tmp_path / "kept" / "here"))
    assert panel["subject"].tolist() == GROUNDED
    assert measured["weights"] == passes.weights()
    assert set(passes.measured(GROUNDED[:1])["weights"]) == {GROUNDED[0]}  # of what was measured, not of all there is
    written(tmp_path, rows[1:])
    with pytest.raises(ValueError, match=f"does not judge {GROUNDED[0]}; run validate without --models"):
        passes.adopt(tmp_path, tmp_path / "kept")


def test_a_panel_about_other_weights_is_not_adopted(tmp_path):
    rows = [("a", "controls", name, 0.5, "pass", "gap", "") for name in GROUNDED]
    pd.DataFrame(rows, columns=PANEL.columns[:7]).to_csv(tmp_path / "panel.csv", index=False)
    with pytest.raises(FileNotFoundError, match=r"measured\.json"):
        passes.adopt(tmp_path, tmp_path / "kept")
    what = passes.measured(GROUNDED)
    what["weights"][GROUNDED[1]] = "0" * 64
    passes.write_measured(tmp_path, what)
    with pytest.raises(ValueError, match=f"{GROUNDED[1]} changed; run validate again"):
        passes.adopt(tmp_path, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()


def test_a_panel_with_too_few_samples_is_not_adopted_and_an_undecided_one_is(tmp_path):
    few = "the rule needs 20 samples, there are 4"
    rows = [("f-syn", "seeds", name, 0.5, "undecided", "tau", "") for name in GROUNDED]
    rows[1] = ("f-syn", "seeds", GROUNDED[1], 0.5, None, "tau", few)
    written(tmp_path, rows)
    with pytest.raises(ValueError, match=r"entries with too few samples \(seeds\); run validate in full"):
        passes.adopt(tmp_path, tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    written(tmp_path, [*rows, ("f-syn-paper", "seeds", GROUNDED[1], 0.5, "undecided", "tau", "")])
    panel, _ = passes.load(
        passes.adopt(tmp_path, tmp_path / "kept")
    )  # the run had enough; one metric did not score them
    assert "1 entries (seeds) are not judged: the metric left" in passes.markdown(panel, ["f-syn"])


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
    assert measured["weights"].items() <= passes.weights().items(), again
    assert {name for name in measured["weights"] if name.endswith("grounded")} == set(GROUNDED)


def test_the_page_holds_the_measured_tables():
    page = passes.PAGE.read_text(encoding="utf-8")
    block = page[page.index(passes.START) : page.index(passes.END) + len(passes.END)]
    panel, _ = passes.load()
    assert block == passes.markdown(panel, passes.METRICS)
    assert set(passes.METRICS) <= set(panel["metric"])


def test_the_shipped_panel_judges_the_corrected_scores_by_every_rule_of_models():
    """A rule of games leaves out the corner effect: there they score nothing, on purpose."""
    panel, _ = passes.load()
    corrected = panel[panel["metric"].isin(["f-syn-recovered", "synergy-surface-recovered"])]
    unjudged = corrected[corrected["verdict"].isna()]
    assert set(unjudged["subject"]) == {"corner effect"}
    assert set(corrected["check"]) == set(panel["check"])
