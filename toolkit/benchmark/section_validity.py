"""The report's first section: whether the metrics can be trusted on these models and samples."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from toolkit.benchmark.book import Book, rows_of
from toolkit.benchmark.page import Section, details, number, p_value, paragraph, table, text

VERDICT = {"passes": "good", "fails": "bad", "not tested": "none"}


def validity(book: Book) -> Section:
    """Do the metrics order the controls?"""
    found = book.controls
    rows = [
        [
            text(row.model), text(row.dataset), f"<code>{text(row.metric)}</code>", number(row.oracle),
            number(row.random), number(row.anti), p_value(row.p_oracle_random), p_value(row.p_random_anti),
            number(row.n_images),
            f'<span class="{VERDICT[row.verdict]}">{row.verdict}</span>',
        ]
        for row in rows_of(found.rename(columns={"anti-oracle": "anti"}))
    ]  # fmt: skip
    counted = found.groupby("metric", sort=False)["verdict"].value_counts().unstack(fill_value=0)
    summary = [
        [f"<code>{text(metric)}</code>", *(number(int(counted.loc[metric].get(name, 0))) for name in VERDICT)]
        for metric in counted.index
    ]
    body = (
        paragraph(
            "Before any ranking: an oracle knows the evidence by construction, an anti-oracle is its opposite, and "
            "random knows nothing. A metric of faithfulness has to put them in this order on a model that answers by "
            "the evidence. A metric passes where both steps are positive with p &lt; 0.05 (Wilcoxon over "
            "pictures; fewer than 6 cannot tell). A "
            "<em>biased</em> model does not answer by the evidence, so a failure there can be the model's."
        )
        + table(["metric", *VERDICT], summary, numeric=(1, 2, 3), caption="Number of leaderboards by verdict")
        + details(
            "Every control, every number",
            table(
                ["model", "dataset", "metric", "oracle", "random", "anti-oracle", "p (oracle &gt; random)",
                 "p (random &gt; anti)", "pictures", "verdict"],
                rows, numeric=(3, 4, 5, 6, 7, 8),
            ),
        )
        + _panel(book.run.folder)
    )  # fmt: skip
    return Section("validity", "Can the metrics be trusted here?", body)


def panel_file(folder: Path) -> Path | None:
    """The validity panel of this run: in its folder ``validity``, or in the one beside the run; None without any."""
    places = (folder / "validity" / "panel.csv", folder.resolve().parent / "validity" / "panel.csv")
    return next((path for path in places if path.is_file()), None)


def _panel(folder: Path) -> str:
    path = panel_file(folder)
    if path is None:
        return paragraph(
            "The full panel (analytic gates, noise, twins, weight randomisation, other baselines, steps and seeds) "
            "is computed by <code>python -m toolkit validate</code>; written to a folder <code>validity</code> in this "
            "run's folder or beside it, it is shown here.",
            "faint",
        )
    cells = pd.read_csv(path)
    judged = cells[cells["passed"].notna()]
    metrics = list(dict.fromkeys(judged["metric"]))
    rows = []
    for check, group in judged.groupby("check", sort=False):
        row = [text(check)]
        for metric in metrics:
            passed = group[group["metric"] == metric]["passed"].astype(str).eq("True")
            kind = "none" if passed.empty else "good" if passed.all() else "bad"
            row.append(f'<span class="{kind}">{passed.sum()}/{len(passed)}</span>' if len(passed) else "–")
        rows.append(row)
    return paragraph(f"The validity panel of <code>{text(path.parent.name)}/</code>: passed of judged cells.") + table(
        ["check", *map(text, metrics)], rows, numeric=range(1, len(metrics) + 1)
    )
