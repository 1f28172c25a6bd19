"""Whatever an explainer, a metric or a model does becomes a record, and a run that met it can be resumed and read."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest
from support.toy_bench import ToyBench, spec

from toolkit.benchmark.report.run_tables import load_run
from toolkit.benchmark.run.runner import run_benchmark
from toolkit.testing import FakeVLM


class UnsayableError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


def _raises(error):
    def act(attribution):
        raise error

    return act


def _endless():
    found = {}
    found["itself"] = found
    return found


ODD = {
    "a path": (lambda a: dataclasses.replace(a, details={"a": Path("x")}), "details.a holds a PosixPath"),
    "bytes": (lambda a: dataclasses.replace(a, details={"a": [b"x"]}), "details.a holds a bytes"),
    "a complex number": (lambda a: dataclasses.replace(a, details={"a": np.array([1j])}), "details.a holds a complex"),
    "a huge number": (lambda a: dataclasses.replace(a, details={"a": 10**5000}), "it cannot be recorded: "),
    "itself": (lambda a: dataclasses.replace(a, details=_endless()), "recursion"),
    "words for seconds": (lambda a: dataclasses.replace(a, seconds="soon"), "cost.seconds is 'soon'"),
    "words for a number": (lambda a: dataclasses.replace(a, convergence_delta="small"), "it cannot be recorded: "),
    "an error without words": (_raises(UnsayableError()), "UnsayableError: its message cannot be read (RuntimeError)"),
    "half a letter": (_raises(ValueError("\ud800")), "ValueError: \\ud800"),
    "an end": (_raises(SystemExit(0)), "SystemExit: 0"),
}  # fmt: skip


class Odd(ToyBench):
    """The second explainer of the fourth sample does what ``act`` does."""

    act = None

    def explain(self, explainer, vlm, sample, **how):
        found = super().explain(explainer, vlm, sample, **how)
        return type(self).act(found) if (explainer, sample.id) == ("oracle", "toys-3") else found


@pytest.mark.parametrize("what", ODD)
def test_what_an_explainer_does_is_recorded_and_the_rest_goes_on(tmp_path, what):
    act, reason = ODD[what]
    bench = type("Odd", (Odd,), {"act": staticmethod(act)})
    wanted = spec(tmp_path / "run", models=["gate-and"], explainers=["random", "oracle"], seeds=[0])
    summary = run_benchmark(wanted, workspace=bench)
    assert (summary.ok, summary.failed) == (11, 1)
    (bad,) = [record for record in load_run(summary.folder).records if record["status"] == "failed"]
    assert (bad["sample"], bad["explainer"]) == ("toys-3", "oracle")
    assert reason in bad["reason"]
    assert run_benchmark(wanted, workspace=bench).new == 0


def test_half_a_letter_among_the_details_is_kept_as_its_escape(tmp_path):
    def act(attribution):
        return dataclasses.replace(attribution, details={"word": "a\ud800"})

    bench = type("Odd", (Odd,), {"act": staticmethod(act)})
    summary = run_benchmark(spec(tmp_path / "run", models=["gate-and"]), workspace=bench)
    assert summary.failed == 0
    found = [r["details"] for r in load_run(summary.folder).records if r.get("details")]
    assert found == [{"word": "a\\ud800"}]


@pytest.mark.parametrize("broken", ["regions", "text_spans"])
def test_a_model_that_cannot_draw_fails_its_units_only(tmp_path, monkeypatch, broken):
    def fail(self, sample):
        raise RuntimeError("no drawing")

    monkeypatch.setattr(FakeVLM, broken, fail)
    wanted = spec(tmp_path / "run", models=["gate-and"], images=2, seeds=[0])
    summary = run_benchmark(wanted, workspace=ToyBench)
    assert (summary.ok, summary.failed, summary.reasons[0][0]) == (12, 6, "RuntimeError: no drawing")


def test_a_metric_whose_value_is_a_text_is_told_when_it_is_recorded(tmp_path):
    class Wordy(ToyBench):
        def score(self, game, attributions):
            found = super().score(game, attributions)
            for scores in found:
                object.__setattr__(scores["f-syn"], "value", "good")
            return found

    summary = run_benchmark(spec(tmp_path / "run", models=["gate-and"]), workspace=Wordy)
    assert summary.failed == summary.planned
    assert "it cannot be recorded: " in summary.reasons[0][0]
    assert load_run(summary.folder).frame["f-syn"].isna().all()
