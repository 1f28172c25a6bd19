"""A word that runs as HTML wherever it is not escaped, and a parser that sees it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import ipywidgets
import pandas as pd
from support.toy_bench import ToyBench, spec

import toolkit
from toolkit.audit.bias.bias_sweep import QUANTITIES, BiasSweep
from toolkit.audit.explainers.map_grid import maps_page
from toolkit.audit.explainers.report_card import ReportCard
from toolkit.benchmark.report.compare import write_comparison
from toolkit.benchmark.report.write_report import write_report
from toolkit.course.checks import Verdict
from toolkit.course.course_tables import show
from toolkit.datasets.sample import Sample
from toolkit.explainers.plugin import Check
from toolkit.games.analytic import and_gate
from toolkit.redundancy import diagnose
from toolkit.reporting.explain_page import Asked, Explained, explain_page
from toolkit.reporting.redundancy_page import redundancy_page
from toolkit.testing import FakeVLM, fake_sample
from toolkit.widgets import CoalitionPlayground, CurveExplorer, LeaderboardExplorer

EVIL = """x"'><img/src="x"/onerror="alert(1)"><evil>&lt;{{7*7}}"""
"""One word, so that it can stand in a question; it would end an attribute, open an element and start a template."""


class _Seen(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.harm: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.harm += [tag] if tag in ("evil", "script", "iframe") else []
        self.harm += [name for name, _ in attrs if name.startswith("on") or name in ("evil", "<evil")]
        self.words += [value or "" for _, value in attrs]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def harm_in(html: str) -> list[str]:
    """What of a page would run: elements that nobody writes here, and handlers."""
    seen = _Seen()
    seen.feed(html)
    seen.close()
    return seen.harm


def shows_evil(html: str) -> bool:
    """Whether a reader sees the word as it was written, in a text or an attribute."""
    seen = _Seen()
    seen.feed(html)
    seen.close()
    return EVIL in "\n".join(seen.words)


def evil_sample(number: int = 0) -> Sample:
    """A sample all of whose words are evil."""
    found = fake_sample(number, grid=(3, 3), question="is there a red circle ?", evidence=((0,), (3, 4)))
    return replace(
        found, id=f"{EVIL}{number}", question=f"is there a red {EVIL} ?", instruction=f"Say {EVIL} .",
        choices=(EVIL, "no"), answer=EVIL, image_id=f"{EVIL}{number // 2}", dataset=EVIL, category=EVIL,
    )  # fmt: skip


def evil_vlm() -> FakeVLM:
    """A model that is called so; its players carry the name too."""
    return FakeVLM(and_gate(9, 6, image=[0], text=[3, 4]), name=EVIL)


class EvilBench(ToyBench):
    """Its samples and models are evil in every word; one explainer fails with an evil message."""

    def samples(self, dataset):
        return {sample.id: sample for sample in map(evil_sample, range(4))}

    def model(self, name):
        return evil_vlm()

    def explain(self, explainer, vlm, sample, *, target, seed):
        if explainer == "broken":
            raise ValueError(EVIL)
        return toolkit.explain("random", vlm, sample, target=target, seed=seed)

    def environment(self, vlm):
        return {"toolkit": EVIL}


def _explained(folder: Path) -> str:
    vlm, sample = evil_vlm(), evil_sample()
    answer, game = vlm.answer(sample), vlm.game(sample)
    found = toolkit.explain("occlusion", vlm, sample)
    sides = [toolkit.insertion_deletion(game, found, modality=kind, steps=2) for kind in ("image", "text")]
    score = toolkit.synergistic_faithfulness(game, found, 2)
    one = Explained(found, score, sides[0], sides[1], verdict=EVIL)
    asked = Asked(vlm, sample, answer, (one,), (one,), (EVIL,))
    return explain_page(folder / "p.html", [asked, asked]).read_text(encoding="utf-8")


def _swept(folder: Path) -> str:
    names = (QUANTITIES[0], f"tau {EVIL}", f"score {EVIL}")
    rows = [{"quantity": n, "strength": s, "value": s, "low": s, "high": s} for n in names for s in (0.0, 1.0)]
    return BiasSweep(pd.DataFrame(rows), EVIL).write(folder, "d").read_text(encoding="utf-8")


PAGES: dict[str, Callable[[Path], str]] = {
    "explain": _explained,
    "diagnose": lambda folder: redundancy_page(diagnose(evil_vlm(), [evil_sample(i) for i in range(4)])),
    "maps": lambda folder: maps_page(
        folder, {EVIL: evil_vlm()}, [evil_sample()], explainers=["random"]
    ).read_text(encoding="utf-8"),
    "report card": lambda folder: ReportCard(
        EVIL, EVIL, (Check(EVIL, False, EVIL),), {EVIL: pd.DataFrame({EVIL: [EVIL]})}
    ).to_html(),
    "dial": _swept,
    "checks of a lesson": lambda folder: Verdict(False, EVIL)._repr_html_(),
    "tables of a lesson": lambda folder: show({EVIL: {EVIL: EVIL}})._repr_html_(),
    "playground": lambda folder: _shown(CoalitionPlayground({EVIL: evil_vlm()}, [evil_sample()])),
    "curve explorer": lambda folder: _shown(CurveExplorer({EVIL: evil_vlm()}, [evil_sample()], ["random"])),
}  # fmt: skip


def _shown(widget: object) -> str:
    """All HTML of a widget: its stand-in, and what its parts hold."""
    parts = [part.value for part in vars(widget).values() if isinstance(part, ipywidgets.HTML)]
    return "\n".join([widget.static(), *parts])


def evil_run(folder: Path) -> Path:
    """A finished run of the evil bench in a new folder."""
    explainers = ["random", "broken", EVIL]
    wanted = spec(folder, name=EVIL, models=[EVIL], datasets=[EVIL], explainers=explainers, samples=4)
    toolkit.run_benchmark(wanted, workspace=EvilBench)
    return folder


def run_pages(run: Path) -> dict[str, str]:
    """Report, comparison and widget of a run."""
    report, comparison = write_report(run), write_comparison(run, run, run.parent / "compared.html")
    return {
        "report": report.read_text(encoding="utf-8"),
        "comparison": comparison.read_text(encoding="utf-8"),
        "leaderboard explorer": _shown(LeaderboardExplorer(run)),
    }
