"""Tables and report: right numbers, missing cells shown, one file that needs nothing else."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from support.toy_bench import ToyBench, spec

import toolkit
from toolkit.benchmark.report import model_tables as truths
from toolkit.benchmark.report import run_tables as tables
from toolkit.benchmark.report import sections
from toolkit.benchmark.report.compare import compare_runs, write_comparison
from toolkit.benchmark.report.examples import choose, examples
from toolkit.benchmark.report.published_numbers import beside, load_reference
from toolkit.benchmark.report.report_data import ReportData
from toolkit.benchmark.report.run_tables import load_run
from toolkit.benchmark.report.section_validity import validity
from toolkit.benchmark.report.write_report import competing, report_html, write_report
from toolkit.benchmark.run.runner import run_benchmark
from toolkit.benchmark.run.whole_files import FolderError
from toolkit.reporting import page
from toolkit.stats.verdict import judge_run
from toolkit.synergy.metrics import METRICS


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    wanted = spec(
        tmp_path_factory.mktemp("report") / "run",
        explainers=["random", "oracle", "anti-oracle", "good", "nan"], models=["gate-and", "gate-or"], samples=10,
    )  # fmt: skip
    run_benchmark(wanted, workspace=ToyBench)
    return load_run(wanted.out)


@pytest.fixture(scope="module")
def html(run):
    return report_html(ReportData(run))


def test_the_leaderboard_averages_seeds_before_samples(run):
    table = tables.leaderboards(run).set_index(["model", "explainer", "metric"])
    mine = run.frame.query("model == 'gate-and' and explainer == 'random'")
    expected = mine.groupby("sample")["f-syn"].mean().mean()
    row = table.loc["gate-and", "random", "f-syn"]
    assert row["mean"] == pytest.approx(expected, abs=1e-12)
    assert (row["n_samples"], row["n_images"], row["ok"]) == (10, 5, 20)
    assert row["low"] < row["mean"] < row["high"]


def test_failed_records_are_counted_in_every_row(run):
    table = tables.leaderboards(run).query("explainer == 'nan'")
    assert set(table["failed"]) == {2}
    assert set(table["n_samples"]) == {9}
    counted = tables.failures(run)
    assert counted["n"].sum() == 4
    assert set(counted["status"]) == {"failed"}


def test_what_did_not_converge_is_counted_beside_the_score(run):
    records = [{**r, "details": {"converged": 0}} if r["explainer"] == "good" else r for r in run.records]
    told = replace(run, records=records, frame=tables._frame(records, run.spec))
    table = tables.leaderboards(told).query("metric == 'f-syn'").set_index(["model", "explainer"])
    assert table.loc[("gate-and", "good"), "not converged"] == table.loc[("gate-and", "good"), "ok"] > 0
    assert table.loc[("gate-and", "random"), "not converged"] == 0
    assert "20 not converged" in sections._missing(table.loc[("gate-and", "good")])


def test_controls_are_not_ranked(run):
    table = tables.leaderboards(run).query("model == 'gate-and' and metric == 'f-syn'").set_index("explainer")
    assert table["rank"].dropna().sort_values().tolist() == [1, 2, 3]
    assert table["rank"][["oracle", "anti-oracle"]].isna().all()


def test_controls_are_judged_by_their_rule(run):
    table = truths.controls(run).set_index(["model", "metric"])
    good = table.loc["gate-and", "f-syn"]
    assert good["oracle"] > good["random"] > good["anti-oracle"]
    assert good["n_images"] == 5
    assert set(table["verdict"]) == {"not tested"}  # five pictures cannot reach p < 0.05


def test_controls_with_enough_pictures_pass(tmp_path):
    wanted = spec(tmp_path / "run", models=["gate-and"], samples=24, seeds=[0])
    run_benchmark(wanted, workspace=ToyBench)
    table = truths.controls(load_run(wanted.out)).set_index("metric")
    assert table.loc["f-syn", "verdict"] == "passes"
    assert table.loc["srg-text", "verdict"] == "fails"


def test_controls_that_were_not_run_are_not_judged(tmp_path):
    wanted = spec(tmp_path / "run", explainers=["random", "good"])
    run_benchmark(wanted, workspace=ToyBench)
    assert set(truths.controls(load_run(wanted.out))["verdict"]) == {"not tested"}


def test_corners_are_those_of_the_gates(run):
    table = truths.corners(run).set_index("model")
    assert table.loc["gate-and", ["both", "image", "text", "empty"]].tolist() == [1, 0, 0, 0]
    assert table.loc["gate-or", ["both", "image", "text", "empty"]].tolist() == [1, 1, 1, 0]
    assert table["total_interaction"].to_dict() == {"gate-and": 1.0, "gate-or": -1.0}
    assert (table.loc["gate-and", "synergistic"], table.loc["gate-or", "redundant"]) == (1.0, 1.0)
    assert table.loc["gate-and", "accuracy"] == pytest.approx(0.6)


def test_tau_of_opposite_metrics_is_minus_one(run):
    table = tables.taus(run).query("first == 'f-syn' and second == 'srg-text'")
    assert table["tau"].tolist() == [-1.0, -1.0]
    assert table["n_explainers"].tolist() == [3, 3]
    assert set(table["method"]) == {"exact"}


def test_incomplete_pictures_are_said(run):
    part, test = tables.rank_test(run, "gate-and", "toys", "f-syn")
    assert part.names == ["random", "good", "nan"]
    assert test.n_blocks == len(part.values) == 5 - part.dropped
    table = tables.image_means(run, "gate-and", "toys", "f-syn", ["random", "absent"])
    assert tables.complete(table).absent == ["absent"]


def test_an_unfinished_run_shows_what_is_missing(tmp_path):
    wanted = spec(tmp_path / "run", explainers=["random", "interrupted"], models=["gate-and", "gate-or"])
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(wanted, workspace=ToyBench)
    unfinished = load_run(wanted.out)
    assert tables.failures(unfinished)["n"].sum() == 40
    shown = report_html(ReportData(unfinished))
    assert "This run is not finished:</b> 40 of 48" in shown
    assert "<b>1 of 2</b>models<" in shown, "what was planned counts as measured"
    assert "<b>1</b>dataset<" in shown


class Outline(HTMLParser):
    """Collects what the checks below look at."""

    def __init__(self):
        super().__init__()
        self.images, self.links, self.ids, self.outside, self.open = [], [], [], [], []

    def handle_starttag(self, tag, attrs):
        found = dict(attrs)
        if tag == "img":
            self.images.append(found)
        if tag == "a":
            self.links.append(found["href"])
        if "id" in found:
            self.ids.append(found["id"])
        self.outside += [found[k] for k in ("src", "href") if k in found and tag != "a"]
        if tag not in ("meta", "img", "line", "circle", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_is_one_well_formed_file_that_asks_nobody(html):
    outline = Outline()
    outline.feed(html)
    assert outline.open == []
    assert all(source.startswith("data:") for source in outline.outside)
    assert "<script" not in html
    assert "url(" not in re.sub(r'src="data:[^"]*"', "", html)
    anchors = [link[1:] for link in outline.links if link.startswith("#")]
    assert set(anchors) <= set(outline.ids)
    assert len(set(outline.ids)) == len(outline.ids)
    assert {link for link in outline.links if not link.startswith("#")} == {"https://arxiv.org/abs/2605.22168"}


def test_every_figure_has_an_alternative_text_with_numbers(html):
    outline = Outline()
    outline.feed(html)
    assert len(outline.images) > 10
    for image in outline.images:
        assert len(image["alt"]) > 15
    drawn = [image["alt"] for image in outline.images if "svg" in image["src"][:30]]
    assert all(re.search(r"\d", alt) for alt in drawn)


def test_the_report_shows_failures_and_validity_before_leaderboards(html):
    assert html.index("Can the metrics be trusted here?</h2>") < html.index("Leaderboards</h2>")
    assert "has 1 non-finite scores" in html
    assert "1 failed" in html or "2 failed" in html


def test_what_a_mean_does_not_cover_stands_under_the_name(html):
    assert 'nan<br><span class="bad">2 failed</span></td>' in html
    assert html.count('<td class="n">9</td>') == 2  # samples of "nan" on both leaderboards


def test_methods_with_one_mean_share_the_better_place(run):
    book = ReportData(run)
    mine = book.leaderboards["explainer"].isin(["random", "good"])
    book.leaderboards.loc[mine, ["mean", "rank"]] = 5.0, 1.5
    shown = sections.leaderboards(book).body
    assert shown.count('<td class="n">1</td>') == 4
    assert '<td class="n">2</td>' not in shown


def test_the_provenance_names_the_weights_and_the_content(html):
    assert "<td>model</td><td>weights 1</td>" in html
    assert "<b>1</b>dataset</span>" in html
    assert "<b>2</b>models</span>" in html
    assert "<h1>Synergy benchmark</h1>" in html


def test_long_reasons_are_broken_into_lines():
    shown = page.frame_table(pd.DataFrame({"reason": ["<" + 60 * "x", "short"], "n": [1, 2]}))
    assert f'<span class="long">&lt;{60 * "x"}</span>' in shown
    assert "<td>short</td>" in shown


def test_a_validity_panel_beside_the_run_is_shown(run):
    without = validity(ReportData(run)).body
    assert "toolkit validate" in without
    folder = run.folder / "validity"
    folder.mkdir()
    cells = [
        ("f-syn", "gate AND", True), ("f-syn", "gate AND", False), ("f-syn", "noise", True),
        ("srg-text", "noise", None),
    ]  # fmt: skip
    pd.DataFrame(cells, columns=["metric", "check", "passed"]).to_csv(folder / "panel.csv", index=False)
    shown = validity(ReportData(run)).body
    assert '<span class="bad">1/2</span>' in shown
    assert '<span class="good">1/1</span>' in shown
    assert "toolkit validate" not in shown


def test_sanity_checks_beside_the_run_are_shown(run):
    assert "toolkit sanity" in validity(ReportData(run)).body
    folder = run.folder / "sanity"
    folder.mkdir()
    lines = [("rollout", 0.93, -0.01, 4, "random weights", "tiny"), ("occlusion", math.nan, 0.1, 44, "none", "tiny")]
    columns = ["explainer", "random weights", "shift to words", "passes", "survives", "model"]
    pd.DataFrame(lines, columns=columns).to_csv(folder / "sanity.csv", index=False)
    shown = validity(ReportData(run)).body
    assert '<span class="bad">random weights</span>' in shown
    assert '<span class="good">none</span>' in shown
    assert "+0.93" in shown
    assert "toolkit sanity" not in shown


def test_words_of_the_data_are_escaped(tmp_path):
    class Evil(ToyBench):
        def samples(self, dataset):
            found = super().samples(dataset)
            return {k: replace(v, question="is <b>there</b> a red circle ?") for k, v in found.items()}

    wanted = spec(tmp_path / "run", models=["gate-and"], samples=2)
    run_benchmark(wanted, workspace=Evil)
    assert "<b>there</b>" not in report_html(ReportData(load_run(wanted.out)))


def test_an_example_says_how_the_model_was_told_to_answer(run):
    (_, sample), _ = choose(run, "gate-and")
    assert "Told:" not in examples(run).body
    sample["instruction"] = "Say <yes> or no."
    try:
        assert "Told: “Say &lt;yes&gt; or no.”" in examples(run).body
    finally:
        sample["instruction"] = ""


def test_best_and_worst_samples_are_chosen_among_those_with_pictures(run):
    (high, first), (low, second) = choose(run, "gate-and")
    assert (high, low) == ("highest", "lowest")
    assert {first["sample"], second["sample"]} == {"toys-0", "toys-1"}
    names = tables.competitors(run)
    frame = run.frame.query("model == 'gate-and'")
    means = frame[frame["explainer"].isin(names)].groupby("sample")["f-syn"].mean()
    assert means[first["sample"]] >= means[second["sample"]]


def test_tables_are_written_beside_the_report(run):
    path = write_report(run.folder)
    assert path.name == "report.html"
    found = pd.read_csv(run.folder / "tables" / "leaderboards.csv")
    assert len(found) == 2 * 5 * 3
    drawn = {path.name for path in (run.folder / "figures").iterdir()}
    assert {"standings.svg", "curves-gate_or.svg", "critical-difference-gate_and-toys.svg"} <= drawn
    with pytest.raises(FolderError, match="is not the folder of a benchmark run"):
        write_report(run.folder / "tables")


def test_published_numbers_stand_beside_ours_where_both_exist():
    known = load_reference()
    assert {"value", "source", "status"} <= set(known.columns)
    assert known["source"].notna().all()
    mine = known.query("metric == 'f-syn-paper' and explainer == 'attn-lrp' and dataset == 'mean'")
    assert sorted(mine["value"]) == [0.049, 0.069, 0.186]
    ours = pd.DataFrame(
        [
            {"model": mine["model"].iloc[0], "dataset": d, "explainer": "attn-lrp", "metric": "f-syn-paper", "mean": v}
            for d, v in (("repope", 0.1), ("cv-bench", 0.2), ("mmstar", 0.3))
        ]
    )
    joined = beside(ours, known)
    assert joined[["published", "ours"]].to_numpy().tolist() == [[0.186, pytest.approx(0.2)]]
    assert beside(ours[:2], known).empty  # the mean of two datasets is not the mean of three


def test_reference_files_are_checked(tmp_path):
    (tmp_path / "bad.csv").write_text("model,value\na,1\n")
    with pytest.raises(ValueError, match="lacks the columns dataset"):
        load_reference(tmp_path)


def test_comparing_a_run_with_itself_finds_nothing(run):
    table = compare_runs(run, run, "f-syn")
    assert table["change"].abs().max() == 0
    assert table["p"].isna().all()
    assert table[["only_first", "only_second"]].to_numpy().sum() == 0


def holm_by_hand(p):
    """Of two p-values the smaller counts twice, the larger once and no less than the other."""
    small, large = sorted(p)
    return [2 * small if one == small else max(large, 2 * small) for one in p]


def test_comparing_two_runs_finds_the_shift(run, tmp_path):
    class Shifted(ToyBench):
        def explain(self, explainer, vlm, sample, *, target, seed):
            explainer = "oracle" if explainer == "good" else explainer
            return super().explain(explainer, vlm, sample, target=target, seed=seed)

    wanted = run.spec.model_copy(update={"out": tmp_path / "second"})
    run_benchmark(wanted, workspace=Shifted)
    table = compare_runs(run, load_run(wanted.out), "f-syn").set_index(["model", "explainer"])
    assert table.loc["gate-and", "good"]["low"] > 0.3
    assert table.loc["gate-and", "oracle"]["change"] == 0
    assert table.loc["gate-and", "good"]["effect"] > 0.5
    tested = table["p"].dropna()
    assert len(tested) == 2  # "good" on both models; the others did not move
    assert table.loc[tested.index, "p_holm"].to_numpy() == pytest.approx(np.minimum(holm_by_hand(tested), 1))
    assert (table.loc[tested.index, "p_holm"] > tested).any()
    path = write_comparison(run.folder, wanted.out, tmp_path / "compare.html")
    said = path.read_text()
    assert "<h1>run against second</h1>" in said
    assert "Nothing: settings and weights agree." in said
    assert "2 of 10 means of <code>f-syn</code> moved by more than their interval" in said
    assert str(tmp_path) not in said
    outline = Outline()
    outline.feed(said)
    assert outline.open == []
    assert (tmp_path / "compare.csv").exists()
    elsewhere = run.spec.model_copy(update={"out": tmp_path / "third", "datasets": ("other",)})
    run_benchmark(elsewhere, workspace=ToyBench)
    with pytest.raises(ValueError, match="nothing to compare"):
        compare_runs(run, load_run(elsewhere.out), "f-syn")
    with pytest.raises(ValueError, match="does not have 'srg-mage'"):
        compare_runs(run, run, "srg-mage")


def test_a_comparison_says_what_differs_and_what_one_run_lacks(run, tmp_path, monkeypatch):
    class Retrained(ToyBench):
        def identities(self):
            return {"model": "weights 2"}

    names = ("another", *run.spec.explainers)
    fewer = run.spec.model_copy(update={"out": tmp_path / "fewer", "samples": 8, "seeds": (0,), "explainers": names})
    monkeypatch.setattr("toolkit.benchmark.run.run_folder.toolkit_version", lambda: "0.0.1")
    run_benchmark(fewer, workspace=Retrained)
    said = write_comparison(run.folder, fewer.out, tmp_path / "compare.html").read_text()
    assert "<td>model</td><td>&quot;weights 1&quot; -&gt; &quot;weights 2&quot;</td>" in said
    assert f"<td>toolkit</td><td>&quot;{toolkit.__version__}&quot; -&gt; &quot;0.0.1&quot;</td>" in said
    assert "<td>samples</td><td>10 -&gt; 8</td>" in said
    assert 'oracle<br><span class="bad">2 only in the first</span>' in said
    assert 'another<br><span class="bad">8 only in the second</span>' in said
    placed = [said.index(f"<td>{name}<br>") for name in (*run.spec.explainers, "another")]
    assert placed == sorted(placed)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"), (math.nan, "–"), (0.12345, "0.123"), (-0.5, "−0.500"), (3, "3"), (np.float64(2), "2.000"),
        (-0.0001, "0.000"), (-0.0006, "−0.001"),
    ],
)  # fmt: skip
def test_numbers_are_shown_with_a_real_minus_and_a_dash_for_nothing(value, shown):
    assert page.number(value) == shown


@pytest.mark.parametrize(("p", "shown"), [(0.00001, "< 0.0001"), (0.004, "0.0040"), (0.5, "0.50"), (math.nan, "–")])
def test_p_values_are_never_zero(p, shown):
    assert page.p_value(p) == shown


def folded(html):
    """What is seen before anything is unfolded."""
    return re.sub(r"<details.*?</details>", "", html, flags=re.DOTALL)


def test_the_first_screen_says_the_verdict_and_folds_the_rest(run, html):
    book = ReportData(run)
    first = html.split("</header>")[0]
    for sentence in judge_run(book.judgements, competing(book), "f-syn"):
        assert page.text(sentence) in first
    assert html.index('<div class="verdict">') < html.index("All models and datasets together</h2>")
    assert "Leaderboards</h2>" not in folded(html)
    ranks = sections.pooled_ranks(book)
    assert len(re.findall("<img", folded(html))) == 2 + (len(ranks) > 1)
    assert len(ranks) > 1
    assert "A curve that ends elsewhere is a mean over fewer samples" in html
    assert all(f"<b>{name}</b>: {METRICS[name].spec.description}" in folded(html) for name in ranks)
    assert html.index("</header>") < html.index("<nav")  # what sticks to the window must not end with the header


def test_pooled_differences_are_means_of_the_boards_differences(run):
    book = ReportData(run)
    gaps = []
    for model in run.spec.models:
        means = tables.image_means(run, model, "toys", "f-syn", ["good", "random"])
        gaps.append((means["good"] - means["random"]).mean())
    assert book.pooled["good"].mean == pytest.approx(np.mean(gaps))
    assert (book.pooled["good"].n_clusters, "random" in book.pooled) == (5, False)


def test_a_board_whose_control_failed_is_grey_and_unranked(tmp_path):
    wanted = spec(tmp_path / "run", explainers=["random", "oracle", "anti-oracle", "good"], models=["gate-and"],
                  samples=24, seeds=[0], headline="srg-text")  # fmt: skip
    run_benchmark(wanted, workspace=ToyBench)
    book = ReportData(load_run(wanted.out))
    board = sections.leaderboards(book).body
    assert 'class="card refused"' in board
    assert "Nothing can be ranked here, since the oracle is not above random" in board
    assert '<td class="n">1</td>' not in board
    assert book.pooled == {}
    said = report_html(book)
    assert "On gate-and nothing can be ranked, since the oracle is not above random there." in said
    assert "no board has scores of random and passes its control" in said


def test_boards_that_are_not_measured_share_one_line(tmp_path):
    wanted = spec(tmp_path / "run", explainers=["random", "interrupted"], models=["gate-and", "gate-or"])
    with pytest.raises(KeyboardInterrupt):
        run_benchmark(wanted, workspace=ToyBench)
    board = sections.leaderboards(ReportData(load_run(wanted.out))).body
    assert board.count('<div class="card') == 1
    assert "Not measured yet: gate-or." in board


def test_every_bar_of_every_board_has_the_same_scale(run):
    zeros = re.findall(r'<line x1="([0-9.]+)" x2="\1" y1="0"', sections.leaderboards(ReportData(run)).body)
    assert len(zeros) > 4
    assert len(set(zeros)) == 1


def test_the_verdict_names_the_best_explainer_first():
    means = {"good": 0.1, "oracle": 0.5, "better": 0.3}
    data = SimpleNamespace(pooled={name: SimpleNamespace(mean=mean) for name, mean in means.items()})
    assert list(competing(data)) == ["better", "good"]


@pytest.mark.parametrize(
    "changes",
    [
        {"explainers": ["oracle"], "metrics": ["f-syn"], "samples": 1},
        {"explainers": ["random"], "metrics": ["total-interaction"], "headline": "total-interaction", "images": 0},
    ],
)
def test_the_smallest_runs_have_a_report_and_tables_that_can_be_read(changes, tmp_path):
    found = spec(tmp_path / "run", models=["gate-and"], seeds=[0], **changes)
    run_benchmark(found, workspace=ToyBench)
    assert found.headline in write_report(found.out).read_text(encoding="utf-8")
    for name in ("taus", "controls"):
        table = pd.read_csv(found.out / "tables" / f"{name}.csv")
        assert {"model", "dataset"} <= set(table.columns)
