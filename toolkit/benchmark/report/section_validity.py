"""The report's first section: whether the metrics can be trusted on these models and samples."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from toolkit.benchmark.report.report_data import ReportData, rows_of
from toolkit.reporting.page import Section, details, number, p_value, paragraph, table, text

VERDICT = {"passes": "good", "fails": "bad", "not tested": "none"}


def validity(data: ReportData) -> Section:
    """Do the metrics order the controls?"""
    found = data.controls
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
        + _panel(data.run.folder)
        + _sanity(data.run.folder)
    )  # fmt: skip
    return Section("validity", "Can the metrics be trusted here?", body, folded=True)


def beside(folder: Path, name: str) -> Path | None:
    """A file of another command, ``"folder/file"``: in the run's folder, or beside the run; None without any."""
    return next((path for path in (folder / name, folder.resolve().parent / name) if path.is_file()), None)


def _sanity(folder: Path) -> str:
    """Which explainers' maps notice that the model, its answers or the question were destroyed."""
    path = beside(folder, "sanity/sanity.csv")
    if path is None:
        return paragraph(
            "Whether the explainers' own maps can be trusted (random weights, permuted answers, another question, "
            "seeds, twins, pointing at the evidence) is computed by <code>python -m toolkit sanity</code>; written to "
            "a folder <code>sanity</code> in this run's folder or beside it, it is shown here.",
            "faint",
        )
    found = pd.read_csv(path, keep_default_na=False, na_values=[""])
    shown = [c for c in found.columns if c not in ("explainer", "model", "survives", "passes")]
    rows = [
        [
            f"<code>{text(line['explainer'])}</code>", *(number(float(line[column]), 2, sign=True) for column in shown),
            f'<span class="{"good" if line["survives"] == "none" else "bad"}">{text(line["survives"])}</span>',
        ]
        for line in found.to_dict("records")
    ]  # fmt: skip
    return paragraph(
        f"Sanity checks of the explainers on <code>{text(found['model'].iloc[0])}</code>: mean rank correlation of an "
        "image map with the map after a destruction, or with another seed's; then how far the attribution moves to "
        "the words in the biased twin, and how often the highest score lies on the evidence. A map that "
        "<em>survives</em> a destruction does not depend on what was destroyed."
    ) + table(["explainer", *map(text, shown), "survives"], rows, numeric=range(1, len(shown) + 1))


def _panel(folder: Path) -> str:
    path = beside(folder, "validity/panel.csv")
    if path is None:
        return paragraph(
            "The full panel (analytic gates, noise, twins, weight randomisation, other baselines, steps and seeds) "
            "is computed by <code>python -m toolkit validate</code>; written to a folder <code>validity</code> in this "
            "run's folder or beside it, it is shown here.",
            "faint",
        )
    entries = pd.read_csv(path)
    judged = entries[entries["passed"].notna()]
    metrics = list(dict.fromkeys(judged["metric"]))
    rows = []
    for check, group in judged.groupby("check", sort=False):
        row = [text(check)]
        for metric in metrics:
            passed = group[group["metric"] == metric]["passed"].astype(str).eq("True")
            kind = "none" if passed.empty else "good" if passed.all() else "bad"
            row.append(f'<span class="{kind}">{passed.sum()}/{len(passed)}</span>' if len(passed) else "–")
        rows.append(row)
    return paragraph(
        f"The validity panel of <code>{text(path.parent.name)}/</code>: passed of judged entries."
    ) + table(["check", *map(text, metrics)], rows, numeric=range(1, len(metrics) + 1))
