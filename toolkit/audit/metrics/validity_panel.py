"""The validity panel: one entry per metric, rule and subject."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import asdict, dataclass

import pandas as pd

from toolkit.audit.metrics.rules import RULES, Rule, rule_of


@dataclass(frozen=True)
class JudgedEntry:
    """One rule applied to one metric on one subject.

    Attributes:
        metric: Name of the metric.
        check: Name of the rule.
        subject: The game, model or pair of models.
        value: The statistic; NaN exactly when ``reason`` is set.
        low: Lower end of its 95 % interval; NaN where there is none.
        high: Upper end.
        n: Samples or draws behind it.
        passed: By the rule; None where it was not judged.
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
    passed: bool | None
    note: str = ""
    reason: str | None = None

    @property
    def rule(self) -> Rule:
        """The rule that judged it."""
        return rule_of(self.check)


def judge(
    metric: str, check: str, subject: str, value: float, low: float, high: float, n: int, note: str = ""
) -> JudgedEntry:
    """An entry with the verdict of its rule; without one where there is no number or there are too few samples."""
    rule = rule_of(check)
    value, low, high = float(value), float(low), float(high)
    if not math.isfinite(value):
        return JudgedEntry(metric, check, subject, math.nan, math.nan, math.nan, n, None, note, note or "no number")
    if n < rule.n_min:
        reason = f"the rule needs {rule.n_min} samples, there are {n}"
        return JudgedEntry(metric, check, subject, value, low, high, n, None, note, reason)
    return JudgedEntry(metric, check, subject, value, low, high, n, rule.judge(value, low, high), note)


@dataclass(frozen=True)
class ValidityPanel:
    """All entries; one or several metrics.

    Attributes:
        entries: In the order of the rules.
    """

    entries: tuple[JudgedEntry, ...]

    @classmethod
    def of(cls, entries: Iterable[JudgedEntry]) -> ValidityPanel:
        """A panel with its entries in the order of the rules."""
        order = [rule.check for rule in RULES]
        return cls(tuple(sorted(entries, key=lambda entry: (entry.metric, order.index(entry.check), entry.subject))))

    @property
    def metrics(self) -> tuple[str, ...]:
        """Names of the judged metrics."""
        return tuple(dict.fromkeys(entry.metric for entry in self.entries))

    def table(self) -> pd.DataFrame:
        """One line per entry, with the rule that judged it."""
        rows = [
            asdict(entry)
            | {
                "statistic": entry.rule.statistic,
                "rule": entry.rule.comparison.replace("bound", f"{entry.rule.bound:g}"),
                "why": entry.rule.why,
            }
            for entry in self.entries
        ]
        return pd.DataFrame(rows)

    def summary(self) -> pd.DataFrame:
        """Passed of judged entries, one row per check and one column per metric; empty where nothing was judged."""
        rows: dict[str, dict[str, str]] = {rule.check: {} for rule in RULES}
        for check, row in rows.items():
            for metric in self.metrics:
                found = [
                    c.passed for c in self.entries if c.check == check and c.metric == metric and c.passed is not None
                ]
                row[metric] = f"{sum(found)}/{len(found)}" if found else ""
        return pd.DataFrame.from_dict(rows, orient="index", columns=list(self.metrics))

    def failed(self, metric: str) -> tuple[JudgedEntry, ...]:
        """Cells that the metric does not pass."""
        return tuple(entry for entry in self.entries if entry.metric == metric and entry.passed is False)

    def verdict(self, metric: str) -> str:
        """One sentence: what the metric passes, and what it fails by name."""
        judged = [entry for entry in self.entries if entry.metric == metric and entry.passed is not None]
        failed = list(dict.fromkeys(entry.check for entry in judged if not entry.passed))
        told = f"{metric} passes {sum(bool(c.passed) for c in judged)} of {len(judged)} entries"
        return f"{told}; it fails: {', '.join(failed)}." if failed else f"{told}."
