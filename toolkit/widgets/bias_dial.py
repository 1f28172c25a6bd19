"""Bias dial: turn up how strongly the questions follow folklore and watch the corners of two models part ways."""

from __future__ import annotations

import asyncio
import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ipywidgets as w
import numpy as np

from toolkit.datasets.sample import Corners, Sample
from toolkit.redundancy.corners import corners_of
from toolkit.reporting.plots.style import FAINT, INK, PALETTE, new_figure, styled
from toolkit.scenes import load
from toolkit.vlm.protocol import VLM
from toolkit.widgets.base_widget import (
    TIGHT,
    BaseWidget,
    ImageView,
    button,
    column,
    dropdown,
    figure_html,
    on_change,
    on_click,
    row,
    slider,
    status_html,
    table_html,
)
from toolkit.widgets.stage import Stage
from toolkit.widgets.views import png

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
WORLD = "the world (Bayes)"
PAUSE = 0.05
"""Seconds between two strengths in which the front end is heard, for example its Stop."""

NAMES = ("both", "picture only", "words only", "neither")


def mean_corners(corners: Sequence[Corners]) -> Corners:
    """Mean of each corner.

    Raises:
        ValueError: No corners.
    """
    if not corners:
        raise ValueError("the mean of no corners does not exist")
    table = np.array([(c.both, c.image, c.text, c.empty) for c in corners])
    return Corners(*(float(value) for value in table.mean(axis=0)))


def measured(vlm: VLM, sample: Sample) -> Corners:
    """P(right answer) of a model at the four corners.

    Raises:
        ValueError: The right answer is not known.
    """
    if sample.answer is None:
        raise ValueError(f"sample {sample.id!r} has no known answer; its corners cannot be compared with the world's")
    return corners_of(vlm.game(sample, target=sample.answer))


@dataclass(frozen=True)
class DialPoint:
    """What happens at one strength of the prior.

    Attributes:
        strength: s in [0, 1].
        corners: Mean corner values of P(right answer), by model; the generating world itself is among them.
        example: One sample.
        n: Samples averaged.
    """

    strength: float
    corners: dict[str, Corners]
    example: Sample
    n: int


def dial_point(models: Mapping[str, VLM], dataset: str, strength: float, *, n: int) -> DialPoint:
    """Measure models on n samples of a world whose prior has this strength."""
    samples = load(dataset, split="test", n=n, prior_strength=strength)
    truths = [sample.truth.bayes for sample in samples if sample.truth is not None]
    found = {WORLD: mean_corners(truths)}
    found |= {name: mean_corners([measured(vlm, sample) for sample in samples]) for name, vlm in models.items()}
    return DialPoint(strength, found, samples[0], n)


class DialFigure:
    """Words-only corner and dividend over the strength, one line per model; only the line at the dial moves.

    Args:
        points: What is measured.
    """

    def __init__(self, points: Sequence[DialPoint]) -> None:
        self.points = tuple(points)
        names = list(points[0].corners)
        with styled():
            figure = new_figure(7.2, 2.8)
            self.axes = figure.subplots(1, 2)
            left, right = self.axes
            for axes, title in ((left, "P(right answer) from words only"), (right, "dividend of {picture, words}")):
                for number, name in enumerate(names):
                    values = [
                        p.corners[name].text if axes is left else p.corners[name].total_interaction for p in points
                    ]
                    colour = FAINT if name == WORLD else PALETTE[number]
                    axes.plot([p.strength for p in points], values, "-" + "so^D"[number % 4], color=colour, label=name)
                axes.set(title=title, xlabel="prior strength s", xlim=(-0.04, 1.04))
                axes.title.set(ha="left", x=0)
            left.set_ylim(0, 1.05)
            right.axhline(0, color=FAINT, linewidth=0.9)
            figure.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=len(names))
            self.marks = [axes.axvline(0, color=INK, linewidth=1) for axes in self.axes]
            self.stage = Stage(figure, self.marks)

    def draw(self, strength: float) -> bytes:
        """The figure with its line at a strength, as PNG."""
        for mark in self.marks:
            mark.set_xdata([strength, strength])
        return png(self.stage.image())

    @property
    def alt(self) -> str:
        """The figure in words and numbers."""
        said = "; ".join(
            f"{name}: words only " + ", ".join(f"{p.corners[name].text:.2f}" for p in self.points)
            + ", dividend " + ", ".join(f"{p.corners[name].total_interaction:+.2f}" for p in self.points)
            for name in self.points[0].corners
        )  # fmt: skip
        return f"Over prior strengths {', '.join(f'{p.strength:g}' for p in self.points)}: {said}."


class BiasDial(BaseWidget):
    """A dial for the prior strength of the world, and what two models make of it.

    Nothing is measured until Run is pressed (or :meth:`measure` is called); the dial then only looks things up.

    Args:
        models: Models by the name that the reader sees.
        datasets: Scenes datasets with a prior.
        n: Samples per strength.
    """

    def __init__(
        self,
        models: Mapping[str, VLM],
        datasets: Sequence[str] = ("scenes-existence", "scenes-everyday"),
        *,
        n: int = 12,
    ) -> None:
        if not models or not datasets:
            raise ValueError(f"expected models and datasets, got {len(models)} and {len(datasets)}")
        self.models, self.n = dict(models), n
        self._known: dict[str, list[DialPoint]] = {}
        self._figures: dict[str, DialFigure] = {}
        self._stopped = False
        self._task: asyncio.Task[None] | None = None
        self.dataset = dropdown("World", list(datasets))
        self.dial = slider("Prior strength (percent)", 0, 100, 25, 0)
        self.run, self.stop = button("Run"), button("Stop")
        self.progress = w.IntProgress(value=0, min=0, max=len(STRENGTHS), description="Progress")
        self.example, self.figure = ImageView(160, 160), ImageView(720, 280)
        self.caption, self.table, self.note = w.HTML(), w.HTML(), w.HTML()
        on_click(self.run, self.begin, self.note)
        on_click(self.stop, self.cancel, self.note)
        on_change(self.dataset, self.show)
        on_change(self.dial, self.show)
        self.box = column(
            row(self.dataset, self.run, self.stop, self.progress, gap=TIGHT),
            self.dial,
            row(column(self.example, self.caption), self.table),
            self.figure,
            self.note,
        )
        self.show()

    def cancel(self) -> None:
        """Stop measuring after the current strength; what is measured stays."""
        self._stopped = True

    def begin(self) -> None:
        """What Run does: measure strength by strength, and listen to the front end in between."""
        self._stopped = False
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.measure()
        else:
            self._task = loop.create_task(self._measure_politely(self.dataset.value))

    async def _measure_politely(self, world: str) -> None:
        try:
            while not self._stopped and self._measure_next(world):
                await asyncio.sleep(PAUSE)
        except Exception as error:  # a task that nobody awaits would drop it silently
            self.note.value = status_html(html.escape(f"{type(error).__name__}: {error}"))
        else:
            self.show()

    def measure(self, poll: Callable[[], bool] = lambda: False) -> None:
        """Measure all strengths of the chosen world that are not known yet.

        Args:
            poll: Asked before every strength; True stops, as the Stop button does.
        """
        self._stopped = False
        while not self._stopped and not poll() and self._measure_next(self.dataset.value):
            pass
        self.show()

    def _measure_next(self, world: str) -> bool:
        points = self._known.setdefault(world, [])
        if len(points) == len(STRENGTHS):
            return False
        points.append(dial_point(self.models, world, STRENGTHS[len(points)], n=self.n))
        self.progress.value = len(points)
        self.note.value = status_html(f"Measured {len(points)} of {len(STRENGTHS)} strengths ...")
        return True

    @property
    def points(self) -> list[DialPoint]:
        """What is measured in the chosen world."""
        return self._known.get(self.dataset.value, [])

    def show(self) -> None:
        """Bring everything up to date with the dial."""
        points, strength = self.points, self.dial.value / 100
        self.progress.value = len(points)
        here = next((point for point in points if point.strength == strength), None)
        if here is None:
            self.note.value = status_html("Press Run to measure this world.")
            self.table.value = self.caption.value = ""
            for image in (self.example, self.figure):
                image.show(b"", "Nothing is measured yet")
            return
        figure = self._figure()
        self.figure.show(figure.draw(strength), figure.alt)
        self.example.show(png(here.example.image.resize((160, 160))), here.example.question)
        self.caption.value = (
            f'<div style="line-height:1.4">{here.example.question}<br>right answer: <b>{here.example.answer}</b></div>'
        )
        rows = [
            (name, *(f"{value:.2f}" for value in (c.both, c.image, c.text, c.empty)), f"{c.total_interaction:+.2f}")
            for name, c in here.corners.items()
        ]
        self.table.value = table_html(("P(right answer)", *NAMES, "dividend"), rows)
        self.note.value = status_html(f"Mean over {here.n} questions of a world with prior strength {strength:g}.")

    def _figure(self) -> DialFigure:
        known = self._figures.get(self.dataset.value)
        if known is None or len(known.points) != len(self.points):
            known = self._figures[self.dataset.value] = DialFigure(self.points)
        return known

    def static(self) -> str:
        """Figure and table, as far as measured."""
        if not self.figure.value:
            return f"<div>{self.note.value}</div>"
        figure = figure_html(self.figure.value, self._figure().alt, width=720)
        return f"<div>{figure}{self.table.value}{self.note.value}</div>"
