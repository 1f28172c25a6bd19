"""Curve explorer: one slider removes the top fraction of cells and words; picture, words, answer and curves follow."""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any, cast

import ipywidgets as w

from toolkit.datasets.sample import Sample
from toolkit.vlm.protocol import VLM
from toolkit.widgets.base_widget import (
    BaseWidget,
    ImageView,
    choice,
    column,
    dropdown,
    figure_html,
    on_change,
    row,
    slider,
    status_html,
)
from toolkit.widgets.frames import SIZE, Chart, Charts
from toolkit.widgets.stage import DPI
from toolkit.widgets.trace import Removal, Trace, trace
from toolkit.widgets.views import bar_html, masked_image, plural, png, words_html

SIDE = 260
CHART = (round(SIZE[0] * DPI), round(SIZE[1] * DPI))
REMOVALS: dict[str, Removal] = {"picture and words": "both", "picture only": "image", "words only": "text"}
EXPLAINERS = ("oracle", "occlusion", "input-x-gradient", "integrated-gradients", "random", "anti-oracle")


def sample_options(samples: Sequence[Sample]) -> list[tuple[str, int]]:
    """(text, index) per sample: its number and its question."""
    return [(f"{number + 1}. {sample.question}", number) for number, sample in enumerate(samples)]


class Pane:
    """One model and one explainer: picture, words, probability and curves.

    Args:
        models: The models by the name that the reader chooses.
        explainers: Names to choose from.
        model: Chosen at the start.
        explainer: Chosen at the start.
        follow: Computes the trace of (model name, sample, explainer).
    """

    def __init__(
        self,
        models: Mapping[str, VLM],
        explainers: Sequence[str],
        *,
        model: str,
        explainer: str,
        follow: Callable[[str, str], tuple[Trace, Chart]],
    ) -> None:
        self.models = models
        self._follow = follow
        self.model = dropdown("Model", list(models), model)
        self.explainer = dropdown("Explainer", list(explainers), explainer)
        self.image = ImageView(SIDE, SIDE)
        self.words, self.probability, self.note = w.HTML(), w.HTML(), w.HTML()
        self.curves = ImageView(*CHART)
        beside = column(self.model, self.explainer, self.words, self.probability, self.note, width="440px")
        self.box = column(row(self.image, beside), self.curves)

    @property
    def trace(self) -> Trace:
        """The trace that is shown."""
        return self._follow(self.model.value, self.explainer.value)[0]

    def show(self, removal: Removal, step: int) -> None:
        """Show a step: everything but the trace itself is looked up."""
        found, chart = self._follow(self.model.value, self.explainer.value)
        kept = found.kept(removal, step)
        n_image = found.attribution.players.n_image
        regions = self.models[self.model.value].regions(found.sample)
        line = self.caption(removal, step)
        self.image.show(png(masked_image(found.sample.sheet, regions, kept[:n_image], side=SIDE)), line)
        self.words.value = words_html(found.attribution.players.labels[n_image:], kept[n_image:])
        self.probability.value = bar_html(f"P({found.attribution.target}) now", found.value(removal, step), width=SIDE)
        self.note.value = status_html(html.escape(line))
        self.curves.show(chart.frame(step), chart.alt)

    def caption(self, removal: Removal, step: int) -> str:
        """What is shown, in words."""
        found = self.trace
        kept, players = found.kept(removal, step), found.attribution.players
        cells = plural(int((~kept[: players.n_image]).sum()), "cell")
        words = plural(int((~kept[players.n_image :]).sum()), "word")
        seen = (
            "With everything there"
            if kept.all()
            else f"Without the top {cells} and {words} by {found.attribution.explainer}"
        )
        return (
            f"{seen}, the model gives '{found.attribution.target}' a probability of {found.value(removal, step):.2f}."
        )

    def static(self, removal: Removal, step: int) -> str:
        """Picture, words and curves as HTML."""
        _, chart = self._follow(self.model.value, self.explainer.value)
        line = self.caption(removal, step)
        title = f"{self.model.value}, {self.explainer.value}"
        shown = figure_html(self.image.value, line, width=SIDE, caption=title)
        curves = figure_html(self.curves.value, chart.alt, width=CHART[0])
        return f"<div>{shown}{self.words.value}<p>{html.escape(line)}</p>{curves}</div>"


class CurveExplorer(BaseWidget):
    """Remove the best-ranked cells and words and watch the answer.

    Args:
        models: Models by the name that the reader sees, for example the grounded and the biased twin.
        samples: Samples to choose from.
        explainers: Registry names to choose from.
        panes: How many model-explainer pairs stand below each other, 1 or 2; the second starts with the next model.
        steps: K, the number of steps of the curves.
        synergy: Whether the synergy curve and F_syn are shown, which lesson 03 introduces.

    Raises:
        ValueError: No model, sample or explainer, or another number of panes.
    """

    def __init__(
        self,
        models: Mapping[str, VLM],
        samples: Sequence[Sample],
        explainers: Sequence[str] = EXPLAINERS,
        *,
        panes: int = 1,
        steps: int = 10,
        synergy: bool = True,
    ) -> None:
        if not models or not samples or not explainers or panes not in (1, 2):
            raise ValueError(
                f"expected models, samples, explainers and 1 or 2 panes, got {len(models)} models, {len(samples)} "
                f"samples, {len(explainers)} explainers and panes={panes!r}"
            )
        self.models, self.samples, self.steps = dict(models), list(samples), steps
        self._known: dict[tuple[str, int, str], tuple[Trace, Chart]] = {}
        self._charts = Charts(synergy=synergy)
        self.sample = dropdown("Question", sample_options(samples), 0, width="640px")
        self.k = slider("Remove the top k percent", 0, 100, 100 // steps, 0)
        self.removal = choice("Remove from", list(REMOVALS), "picture and words")
        names = list(self.models)
        self.panes = [
            Pane(self.models, explainers, model=names[i % len(names)], explainer=explainers[0], follow=self._follow)
            for i in range(panes)
        ]
        self.box = column(self.sample, self.k, self.removal, *(pane.box for pane in self.panes))
        for control in (self.sample, self.k, self.removal):
            on_change(control, self.show)
        for pane in self.panes:
            on_change(pane.model, self.show)
            on_change(pane.explainer, self.show)
        self.show()

    def _follow(self, model: str, explainer: str) -> tuple[Trace, Chart]:
        key = (model, cast("int", self.sample.value), explainer)
        if key not in self._known:
            found = trace(self.models[model], self.samples[key[1]], explainer, steps=self.steps)
            self._known[key] = found, self._charts.draw(found)
        return self._known[key]

    @property
    def step(self) -> int:
        """The slider's place on the curves, 0 to K."""
        return round(int(self.k.value) * self.steps / 100)

    def show(self) -> None:
        """Bring every pane up to date with the controls."""
        for pane in self.panes:
            if (pane.model.value, self.sample.value, pane.explainer.value) not in self._known:
                pane.note.value = status_html("Computing the curves ...")
            pane.show(REMOVALS[self.removal.value], self.step)

    def static(self) -> str:
        """The panes as figures with alternative text, and the curves' areas as a table."""
        return "".join(pane.static(REMOVALS[self.removal.value], self.step) for pane in self.panes)

    @property
    def trace(self) -> Any:
        """The trace of the first pane."""
        return self.panes[0].trace
