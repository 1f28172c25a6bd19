"""The report's section on significance tests."""

from __future__ import annotations

from toolkit.benchmark.report import run_tables as tables
from toolkit.benchmark.report.report_data import ReportData, rows_of
from toolkit.reporting.page import Section, card, details, grid, number, p_value, paragraph, table, text
from toolkit.reporting.plots import critical_difference


def tests(data: ReportData) -> Section:
    """Critical-difference diagrams and pairwise tests."""
    run, cards = data.run, []
    for model, dataset in data.ranked:
        part, test = tables.rank_test(run, model, dataset, run.spec.headline)
        title = f"{text(model)} · {text(dataset)}"
        note = f"{test.n_blocks} pictures with all scores" + (f", {part.dropped} incomplete" if part.dropped else "")
        if test.reason:
            cards.append(card(title, paragraph(f"No test: {text(test.reason)} ({note}).", "none")))
            continue
        drawing = critical_difference(part.names, test.mean_ranks.tolist(), test.critical_difference)
        equals = p_value(test.p) if p_value(test.p).startswith("<") else f"= {p_value(test.p)}"
        said = paragraph(f"Friedman χ² = {test.statistic:.1f}, p {equals}; {note}.", "faint")
        cards.append(card(title, data.draw("critical-difference", (model, dataset), drawing) + said))
    rows = [
        [
            text(r.model), text(r.dataset), text(r.first), text(r.second), number(r.difference, sign=True),
            p_value(r.p), p_value(r.p_holm), number(r.rank_biserial, 2, sign=True), number(r.cohens_dz, 2, sign=True),
            number(r.n_blocks),
        ]
        for r in rows_of(data.pairwise_tests)
        if r.p_holm < 0.05
    ]  # fmt: skip
    pairs = table(
        ["model", "dataset", "first", "second", "difference", "p", "p (Holm)", "rank-biserial", "Cohen's d<sub>z</sub>",
         "pictures"],
        rows, numeric=range(4, 10),
    )  # fmt: skip
    body = (
        paragraph(
            f"Fixed before any result was seen: ranks of <code>{text(run.spec.headline)}</code> per picture, "
            "Friedman's test over all explainers, Nemenyi's critical difference between mean ranks (α = 0.05), and "
            "Wilcoxon's signed-rank test for every pair with Holm's correction within a leaderboard. Bars join "
            "explainers that the Nemenyi test does not separate. Boards whose control failed are left out; every pair "
            "is in <code>tables/pairwise_tests.csv</code>."
        )
        + grid(cards)
        + details(f"The {len(rows)} of {len(data.pairwise_tests)} pairs that differ (p &lt; 0.05 after Holm)", pairs)
        + details("Mixed models: explainer as effect, picture as group", _mixed(data))
    )
    return Section("tests", "Which differences are more than chance?", body, folded=True)


def _mixed(data: ReportData) -> str:
    found = data.mixed_models
    fitted = found[found["note"].isna()]
    broken = [
        f"{text(row.model)} · {text(row.dataset)}: no model ({text(row.note)})."
        for row in rows_of(found[found["note"].notna()])
    ]
    rows = [
        [text(r.model), text(r.dataset), text(r.explainer), number(r.effect, sign=True), number(r.se), p_value(r.p)]
        for r in rows_of(fitted)
    ]
    said = "".join(paragraph(line, "none") for line in broken)
    if not rows:
        return said
    reference = text(fitted["reference"].iloc[0])
    head = ["model", "dataset", "explainer", f"difference to {reference}", "standard error", "p"]
    return table(head, rows, numeric=(3, 4, 5)) + said
