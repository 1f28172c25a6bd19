"""Lesson 08, audit your own model or explainer: its quiz, its checkers, and the report card."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from toolkit.audit.fieldnotes.field_table import shipped_fieldnotes
from toolkit.course.checks import Case, Verdict, check
from toolkit.course.experiments import by_sample
from toolkit.course.my_answers import exercise
from toolkit.course.quiz import Option, Question, Quiz
from toolkit.datasets.sample import Sample
from toolkit.explainers.base import ExplainerLike, get_explainer
from toolkit.explainers.internals.anatomy import anatomy
from toolkit.explainers.oracle import has_evidence
from toolkit.measuring import measure
from toolkit.redundancy import diagnose
from toolkit.stats.estimates import clustered_mean
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.protocol import VLM
from toolkit.widgets.base_widget import table_html

QUESTIONS = (
    Question(
        "Your explainer beats random by 0.02 with an interval from -0.01 to 0.05. What do you report?",
        (
            Option("It beats random.", "The interval contains 0: chance could do this."),
            Option(
                "The difference with its interval, and that it is not separated from random.",
                "A number without its interval invites the reader to believe too much.",
                right=True,
            ),
            Option("Nothing, the result failed.", "A null result on a stated number of samples is a result."),
        ),
    ),
    Question(
        "On your dataset the metric does not put the oracle above random. What may you claim about explainers?",
        (
            Option("Nothing by this metric on this dataset.", "The control comes before the leaderboard.", right=True),
            Option("Their ranking, if p is small.", "A metric that fails its control ranks something else."),
            Option("That all explainers are bad.", "The oracle is right by construction: the metric failed."),
        ),
    ),
)


def quiz() -> Quiz:
    """The quiz of this lesson."""
    return Quiz(QUESTIONS)


@exercise
def check_verdict(function: Callable[..., Any]) -> Verdict:
    """Check ``verdict(low, high)`` of an interval of a difference: "better", "worse" or "not separated"."""
    cases = [
        Case((0.01, 0.05), "better", "The whole interval is above 0.", "above"),
        Case((-0.05, -0.01), "worse", "The whole interval is below 0.", "below"),
        Case((-0.01, 0.05), "not separated", "The interval contains 0.", "across"),
        Case((0.0, 0.05), "not separated", "An end point on 0 does not exclude 0.", "touching from above"),
        Case((-0.05, 0.0), "not separated", "An end point on 0 does not exclude 0.", "touching from below"),
    ]
    return check(function, cases, solved="Three words; the card uses the same.")


@dataclass(frozen=True)
class Line:
    """One line of a report card.

    Attributes:
        question: What was checked.
        value: What was found, with its interval.
        verdict: ``"pass"``, ``"fail"``, ``"not separated"`` or ``"note"``.
        mean: The number alone; NaN where there is none.
    """

    question: str
    value: str
    verdict: str
    mean: float = math.nan


@dataclass(frozen=True)
class ReportCard:
    """The audit of one model and one explainer on some samples.

    Attributes:
        title: What was audited.
        lines: From the model over the metric to the explainer.
    """

    title: str
    lines: tuple[Line, ...]

    def __getitem__(self, question: str) -> Line:
        """A line by its question.

        Raises:
            KeyError: There is none.
        """
        for line in self.lines:
            if line.question == question:
                return line
        raise KeyError(f"no line {question!r}; there are: {', '.join(line.question for line in self.lines)}")

    def _repr_html_(self) -> str:
        rows = [(line.question, line.value, line.verdict) for line in self.lines]
        return table_html(("question", "found", "verdict"), rows, caption=self.title)


def difference_line(question: str, first: Any, second: Any, *, seed: int = 0) -> Line:
    """Whether one column of scores is above another, sample by sample, with a bootstrap interval."""
    gaps = np.asarray(first, dtype=np.float64) - np.asarray(second, dtype=np.float64)
    found = clustered_mean(gaps, np.arange(len(gaps)), rng=np.random.default_rng(seed))
    verdict = "pass" if found.low > 0 else "fail" if found.high < 0 else "not separated"
    return Line(question, f"{found.mean:+.3f} [{found.low:+.3f}, {found.high:+.3f}]", verdict, found.mean)


def report_card(
    vlm: VLM, samples: Sequence[Sample], explainer: ExplainerLike, *, metric: str = "f-syn", steps: int = 10
) -> ReportCard:
    """Audit a model and an explainer: is the model redundant, does the metric pass its control, does the explainer win?

    Args:
        vlm: The model.
        samples: What to ask; with ground truth the metric's control is run, else it is noted as missing.
        explainer: A registry name, an explainer, or a function ``(vlm, sample) -> scores``.
        metric: Registry name of the metric that judges.
        steps: K.

    Raises:
        ValueError: No samples.
    """
    name = get_explainer(explainer).name
    report = diagnose(vlm, samples)
    dividend = np.array([record.corners.total_interaction for record in report.records])
    interaction = clustered_mean(dividend, np.arange(len(dividend)), rng=np.random.default_rng(0))
    lines = [
        Line("how many samples", f"{len(samples)}", "note"),
        Line(
            "total interaction of picture and words",
            f"{interaction.mean:+.3f} [{interaction.low:+.3f}, {interaction.high:+.3f}]",
            "note",
            interaction.mean,
        ),
    ]
    known = all(map(has_evidence, samples))
    controls = ["oracle", "random", "anti-oracle"] if known else ["random"]
    table = measure(vlm, samples, [explainer, *(c for c in controls if c != name)], [metric], steps=steps)
    columns = by_sample(table, metric)
    if known:
        lines.append(difference_line("metric: oracle above random", columns["oracle"], columns["random"]))
        lines.append(difference_line("metric: random above anti-oracle", columns["random"], columns["anti-oracle"]))
    else:
        lines.append(Line("metric: oracle above random", "no ground truth on these samples", "note"))
    lines.append(difference_line(f"explainer: {name} above random", columns[name], columns["random"]))
    return ReportCard(f"{vlm.name}, {name}, by {metric}", tuple(lines))


def n_same_question(version: str = "5.23.0") -> int:
    """Families in which a masked word asks ``forward`` and ``generate`` the same, by the field notes."""
    notes = shipped_fieldnotes()
    wide = notes[notes.transformers == version].pivot(index="family", columns="behaviour", values="value")
    forward, generated = wide["masked_word_in_forward"], wide["masked_word_in_generate"]
    return int(((forward == generated) & (forward != "neither")).sum())


@dataclass(frozen=True)
class Patched:
    """An answer's probability around somebody else's patch of a class.

    Attributes:
        before, during, after: Probability of the answer.
        warned: What the toolkit said.
    """

    before: float
    during: float
    after: float
    warned: str


def patch_a_class(vlm: LoadedVLM, sample: Sample) -> Patched:
    """Halve what every MLP of the decoder's class returns, as a library that patches classes would, and undo it."""
    kind: Any = type(anatomy(vlm.model).decoder_layers[0].mlp)
    own, answer = kind.forward, vlm.answer(sample).text

    def halved(self: Any, *args: Any) -> Any:
        return own(self, *args) / 2

    before = vlm.answer(sample).by_choice[answer]
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        kind.forward = halved
        try:
            during = vlm.answer(sample).by_choice[answer]
        finally:
            kind.forward = own
    return Patched(before, during, vlm.answer(sample).by_choice[answer], "; ".join(str(each.message) for each in told))
