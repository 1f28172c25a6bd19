"""The report of a run: one HTML file that needs nothing else, the tables as CSV, the figures as SVG."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from toolkit.benchmark.report import sections
from toolkit.benchmark.report.examples import examples
from toolkit.benchmark.report.published_numbers import beside, load_reference
from toolkit.benchmark.report.report_data import ReportData, limits_of
from toolkit.benchmark.report.run_tables import CONTROLS, STATUSES, FinishedRun, load_run
from toolkit.benchmark.report.section_pairs import pairs
from toolkit.benchmark.report.section_tests import tests
from toolkit.benchmark.report.section_validity import validity
from toolkit.benchmark.run.spec import BenchmarkSpec
from toolkit.benchmark.run.whole_files import clean, make_folder, write_atomically
from toolkit.reporting.page import Section, details, frame_table, interval_bar, number, page, paragraph, table, text
from toolkit.reporting.plots import looks, rank_shift
from toolkit.reporting.plots.run_overview import MARKS, joint_part_chart, standings_map
from toolkit.stats.estimates import Estimate
from toolkit.stats.verdict import ABOVE, judge_run, standing_of
from toolkit.synergy.metrics import METRICS

REPORT = "report.html"


def write_report(folder: Path | str) -> Path:
    """Write ``report.html``, ``tables/*.csv`` and ``figures/*.svg`` of a run, finished or not.

    Returns:
        The report.

    Raises:
        FolderError: It is not the folder of a run, or it cannot be written.
        SpecError: Its specification is damaged or of another schema.
        DamagedRecordsError: A record is damaged.
    """
    data = ReportData(load_run(folder))
    clean(data.run.folder)
    write_tables(data)
    path = data.run.folder / REPORT
    write_atomically(path, report_html(data).encode())
    figures = data.run.folder / "figures"
    make_folder(figures)
    for name, svg in data.figures.items():
        write_atomically(figures / f"{name}.svg", svg.encode())
    return path


def write_tables(data: ReportData) -> dict[str, Path]:
    """Write every table as CSV; all but ``costs.csv`` depend on the measurements only, to the byte."""
    folder = data.run.folder / "tables"
    make_folder(folder)
    found = {
        "leaderboards": data.leaderboards, "controls": data.controls, "corners": data.corners, "taus": data.taus,
        "rank_tests": data.rank_tests, "pairwise_tests": data.pairwise_tests, "failures": data.failures,
        "mixed_models": data.mixed_models,
        "published": beside(data.leaderboards, load_reference()), "costs": data.costs,
    }  # fmt: skip
    paths = {}
    for name, frame in found.items():
        paths[name] = folder / f"{name}.csv"
        write_atomically(paths[name], frame.to_csv(index=False, lineterminator="\n", float_format="%.10g").encode())
    return paths


def report_html(data: ReportData) -> str:
    """The whole report as one document."""
    run = data.run
    parts = [
        overview(data), validity(data), sections.corners(data), sections.leaderboards(data), sections.collapse(data),
        tests(data), *pairs(data), sections.curves(data), examples(run), sections.speed(data), _published(data),
        _failures(data), _provenance(run),
    ]  # fmt: skip
    name = run.spec.name
    title = "Synergy benchmark" + ("" if name == BenchmarkSpec.model_fields["name"].default else f": {name}")
    footer = (
        f"Synergy Toolkit {text(run.toolkit)}. Metrics after Ky, Ghamizi and Cordy, <em>Measuring Cross-Modal "
        'Synergy</em>, arXiv <a href="https://arxiv.org/abs/2605.22168">2605.22168</a>; signed where the paper clips.'
    )
    return page(title, _lead(data), parts, footer)


def _lead(data: ReportData) -> str:
    run = data.run
    counts = Counter(record["status"] for record in run.records)
    chips = "".join(
        f'<span class="chip"><b>{number}</b>{name}</span>'
        for number, name in (
            _measured(run, "model", run.spec.models),
            _measured(run, "dataset", run.spec.datasets),
            _measured(run, "explainer", run.spec.explainers, ", controls included"),
            *((n, f"{_plural(n, 'record')} {status}") for status in STATUSES for n in [counts[status]] if n),
        )
    )  # fmt: skip
    judged = {key: data.judgements[key] for key in data.measured}
    verdict = judge_run(judged, competing(data), run.spec.headline)
    said = "".join(paragraph(text(sentence)) for sentence in verdict)
    about = (
        "How much of a vision-language model's answer comes from image and text <em>together</em>, whether an "
        "explainer found that part, and whether the metric that says so can be trusted."
    )
    missing = f"{counts['missing']} of {len(run.records)} planned records are missing"
    state = paragraph(f"<b>This run is not finished:</b> {missing}.", "bad") if counts["missing"] else ""
    return f'{paragraph(about, "faint")}{state}<div class="verdict">{said}</div><div class="chips">{chips}</div>'


def _measured(run: FinishedRun, noun: str, planned: Sequence[str], more: str = "") -> tuple[str, str]:
    """How many of the planned ones have a score, and their noun: a plan is no measurement."""
    n = int(run.frame.loc[run.frame["status"] == "ok", noun].nunique())
    count = str(n) if n == len(planned) else f"{n} of {len(planned)}"
    return count, _plural(len(planned), noun) + more


def competing(data: ReportData) -> dict[str, Estimate]:
    """Estimates of all but the controls, best first: the order of the verdict, the table and the figure."""
    found = {name: estimate for name, estimate in data.pooled.items() if name not in CONTROLS}
    return dict(sorted(found.items(), key=lambda one: -one[1].mean))


def overview(data: ReportData) -> Section:
    """The pooled leaderboard and the three figures that carry the message."""
    run, ranked = data.run, data.ranked
    drawn = data.corners[data.corners["n_samples"] > 0]
    body = _pooled_board(data)
    if order := list(competing(data)):
        gaps = {key: data.board(*key, run.spec.headline)["mean"] for key in data.measured}
        shown = pd.DataFrame({key: gap - gap.get("random", math.nan) for key, gap in gaps.items()}).reindex(order)
        figure = standings_map(shown, data.judgements, metric=run.spec.headline)
        body += "<h3>Who is better than random, and where?</h3>" + data.draw("standings", (), figure)
    if len(drawn):
        body += "<h3>Is there a joint part to find?</h3>" + data.draw("joint-part", (), joint_part_chart(drawn))
    ranks = sections.pooled_ranks(data) if ranked else {}
    if len(ranks) > 1:
        body += "<h3>Do the metrics agree about the explainers?</h3>"
        body += data.draw("ranks", (), rank_shift(ranks, width=8.2))
        meant = [f"<b>{text(name)}</b>: {text(METRICS[name].spec.description)}" for name in ranks if name in METRICS]
        body += paragraph(f"The best is on top. {' '.join(meant)}", "faint")
    return Section("summary", "All models and datasets together", f'<div class="overview">{body}</div>')


def _pooled_board(data: ReportData) -> str:
    """Difference to random of every explainer over the boards that may be ranked, best first."""
    run, found, n = data.run, data.pooled, len(data.ranked)
    if not found:
        return paragraph("Nothing can be pooled: no board has scores of random and passes its control.", "none")
    limits = limits_of(*(pd.Series([getattr(e, end) for e in found.values()]) for end in ("low", "high", "mean")))
    style, rows = looks(list(found)), []
    order = sorted(found, key=lambda name: -found[name].mean)
    ranks = iter(range(1, len(order) + 1))
    for name in order:
        e, alone = found[name], sum(data.judgements[key].standings.get(name) == ABOVE for key in data.ranked)
        control = name in CONTROLS
        rows.append(
            [
                "" if control else number(next(ranks)), text(name),
                interval_bar(e.mean, e.low, e.high, limits, style[name].colour, f"{name}: {e.mean:+.3f}"),
                f"{MARKS.get(standing_of(e), '')} {number(e.mean, sign=True)}",
                f"[{number(e.low, 3)}, {number(e.high, 3)}]", "" if control else f"{alone} of {n}",
                number(e.n_clusters),
            ]
        )  # fmt: skip
    head = ["#", "explainer", "", "vs random", f"{run.spec.level:.0%} interval", "boards above random", "pictures"]
    classes = {i: "control" for i, name in enumerate(order) if name in CONTROLS}
    note = (
        f"{text(run.spec.headline)} minus random's on the same pictures, mean over the {n} of {len(data.measured)} "
        "measured boards whose control did not fail; ▲ above random, ▼ below. Intervals are Student's, for other "
        "boards and other pictures like these; models that saw the same pictures share them."
    )
    shown = table(head, rows, numeric=(0, 3, 4, 5, 6), wide=(4, 6), classes=classes)
    return shown + paragraph(note, "faint")


def _plural(n: int, noun: str) -> str:
    return noun if n == 1 else f"{noun}s"


def _published(data: ReportData) -> Section:
    known = load_reference()
    joined = beside(data.leaderboards, known)
    absent = (
        "None of the published numbers is about a model of this run. They are listed with their source and status; a "
        "run of the released models shows its own numbers beside them."
    )
    both = "Published numbers beside ours, where both exist. They differ in more than seeds: see status."
    body = paragraph(absent) if joined.empty else paragraph(both) + frame_table(joined)
    body += details("All published numbers", frame_table(known))
    return Section("published", "Published numbers", body, folded=True)


def _failures(data: ReportData) -> Section:
    body = paragraph("Nothing: every planned record is there and ok.", "good")
    if not data.failures.empty:
        said = "Nothing is dropped silently: each of these is counted in every table above."
        body = paragraph(said) + frame_table(data.failures)
    return Section("failures", "What failed", body, folded=True)


def _provenance(run: FinishedRun) -> Section:
    environments = pd.DataFrame([sample["environment"] for sample in run.samples if sample.get("environment")])
    distinct = environments.drop(columns=["model_name"], errors="ignore").drop_duplicates()
    rows = [(name, ", ".join(sorted(set(map(str, distinct[name]))))) for name in distinct.columns]
    identities = pd.DataFrame(sorted(run.identities.items()), columns=["of", "commit, weights or content"])
    settings = json.dumps(run.spec.model_dump(mode="json", exclude={"out"}), indent=1)
    body = (
        frame_table(pd.DataFrame(rows, columns=["setting", "value"]))
        + frame_table(identities)
        + details("Specification", f"<pre><code>{text(settings)}</code></pre>")
        + paragraph(
            "Beside this file: <code>records.parquet</code> (one row per model, dataset, sample, explainer and seed), "
            "<code>samples.parquet</code>, <code>costs.parquet</code> and <code>tables/*.csv</code>.",
            "faint",
        )
    )
    return Section("provenance", "Where these numbers come from", body, folded=True)
