"""The validity panel: one entry per metric, rule and subject."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, replace

import pandas as pd

from toolkit.audit.metrics.rules import RULES, Rule, Verdict, rule_of
from toolkit.stats.estimates import holm

TOO_FEW = "the rule needs"
"""How the reason of an entry without a verdict for want of samples begins."""


@dataclass(frozen=True)
class JudgedEntry:
    """One rule applied to one metric on one subject.

    Attributes:
        metric: Name of the metric.
        check: Name of the rule.
        subject: The game, model or pair of models.
        value: The statistic; NaN exactly when ``reason`` is set.
        low: Lower end of its 95 % interval; equal to ``value`` where the number is exact, NaN where there is none.
        high: Upper end.
        n: Samples or draws behind it.
        p: How easily the true value could lie on the other side of the bound; in a panel, after Holm's correction over
            the metric's entries. NaN where it was not judged.
        verdict: ``"pass"``, ``"fail"`` or ``"undecided"``; None where it was not judged.
        note: What a reader should know beside the number.
        reason: Why there is no number or no verdict.
    """

    metric: str
    check: str
    subject: str
    value: float
    low: float
    high: float
    n: int
    p: float = math.nan
    verdict: Verdict | None = None
    note: str = ""
    reason: str | None = None

    @property
    def passed(self) -> bool | None:
        """Whether it passes; None where nothing is decided."""
        return None if self.verdict in (None, "undecided") else self.verdict == "pass"

    @property
    def rule(self) -> Rule:
        """The rule that judged it."""
        return rule_of(self.check)


def judge(
    metric: str, check: str, subject: str, value: float, low: float, high: float, n: int, note: str = ""
) -> JudgedEntry:
    """An entry with the verdict of its rule alone; without one where there is no number, or for want of samples."""
    rule = rule_of(check)
    value, low, high = float(value), float(low), float(high)
    if not math.isfinite(value):
        return JudgedEntry(
            metric, check, subject, math.nan, math.nan, math.nan, n, note=note, reason=note or "no number"
        )
    if n < rule.n_min:
        reason = f"{TOO_FEW} {rule.n_min} samples, there are {n}"
        return JudgedEntry(metric, check, subject, value, low, high, n, note=note, reason=reason)
    p = rule.p_value(value, low, high)
    return JudgedEntry(metric, check, subject, value, low, high, n, p, rule.judge(value, p), note)


def _corrected(entries: list[JudgedEntry]) -> list[JudgedEntry]:
    """Entries of one metric with Holm's correction over those that were judged."""
    adjusted = holm([entry.p for entry in entries]).tolist()
    return [
        entry if math.isnan(p) else replace(entry, p=p, verdict=entry.rule.judge(entry.value, p))
        for entry, p in zip(entries, adjusted, strict=True)
    ]


@dataclass(frozen=True)
class ValidityPanel:
    """All entries; one or several metrics.

    Attributes:
        entries: In the order of the rules.
    """

    entries: tuple[JudgedEntry, ...]

    @classmethod
    def of(cls, entries: Iterable[JudgedEntry]) -> ValidityPanel:
        """A panel from entries judged alone: in the order of the rules, and corrected for their number."""
        order = [rule.check for rule in RULES]
        found = sorted(entries, key=lambda entry: (entry.metric, order.index(entry.check), entry.subject))
        by_metric = [[e for e in found if e.metric == name] for name in dict.fromkeys(e.metric for e in found)]
        return cls(tuple(entry for own in by_metric for entry in _corrected(own)))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the judged metrics."""
        return tuple(dict.fromkeys(entry.metric for entry in self.entries))

    def table(self) -> pd.DataFrame:
        """One line per entry, with the rule that judged it."""
        rows = [
            asdict(entry)
            | {
                "passed": entry.passed,
                "guard": entry.rule.guard,
                "statistic": entry.rule.statistic,
                "rule": entry.rule.comparison.replace("bound", f"{entry.rule.bound:g}"),
                "why": entry.rule.why,
            }
            for entry in self.entries
        ]
        return pd.DataFrame(rows)

    def summary(self) -> pd.DataFrame:
        """Passed of judged entries, one row per check and one column per metric; empty where nothing was judged.

        ``2/3 1?`` says that of three judged entries two pass and one is undecided.
        """
        rows = {
            rule.check: {metric: share([e.verdict for e in self._of(metric, rule.check)]) for metric in self.metrics}
            for rule in RULES
        }
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(self.metrics))

    def _of(self, metric: str, check: str) -> list[JudgedEntry]:
        return [e for e in self.entries if (e.metric, e.check) == (metric, check) and e.verdict is not None]

    def failed(self, metric: str) -> tuple[JudgedEntry, ...]:
        """Entries that the metric does not pass."""
        return tuple(entry for entry in self.entries if entry.metric == metric and entry.verdict == "fail")

    def verdict(self, metric: str) -> str:
        """What the metric passes, and what it fails by name; guards are not counted."""
        judged = [e for e in self.entries if e.metric == metric and e.verdict is not None and not e.rule.guard]
        kinds = [e.verdict for e in judged]
        told = (
            f"{metric} passes {kinds.count('pass')} of {len(judged)} entries, {kinds.count('undecided')} are undecided"
        )
        failed = ", ".join(dict.fromkeys(e.check for e in judged if e.verdict == "fail"))
        broken = ", ".join(dict.fromkeys(e.check for e in self.failed(metric) if e.rule.guard))
        ends = [f"it fails: {failed}"] * bool(failed) + [f"it breaks a guard: {broken}"] * bool(broken)
        return "; ".join([told, *ends]) + "."


def share(verdicts: Sequence[str | None]) -> str:
    """``2/3 1?``: passed of judged, and how many are undecided; empty where nothing was judged."""
    judged = [verdict for verdict in verdicts if verdict is not None]
    open_ones = judged.count("undecided")
    told = f"{judged.count('pass')}/{len(judged)}" if judged else ""
    return f"{told} {open_ones}?" if open_ones else told
