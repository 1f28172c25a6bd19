"""Bias dial: turn up how strongly the questions follow folklore and watch the corners of two models part ways."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import ipywidgets as w
import numpy as np

from toolkit.datasets.sample import Corners, Sample
from toolkit.plots.drawing import Drawing
from toolkit.plots.style import FAINT, PALETTE, new_figure, styled
from toolkit.scenes import load
from toolkit.synergy.faithfulness import corner_cells
from toolkit.vlm.protocol import VLM
from toolkit.widgets.panel import (
    Panel,
    button,
    dropdown,
    figure_html,
    on_change,
    on_click,
    picture,
    slider,
    status_html,
    table_html,
)
from toolkit.widgets.views import png

STRENGTHS = (0.0, 0.25, 0.5, 0.75, 1.0)
WORLD = "the world (Bayes)"
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
    game = vlm.game(sample, target=sample.answer)
    both, image, text, empty = (float(value) for value in game(corner_cells(game.players)))
    return Corners(both, image, text, empty)


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


def draw(points: Sequence[DialPoint], strength: float) -> Drawing:
    """Words-only corner and dividend over the strength, one line per model, with a line at the dial."""
    names = list(points[0].corners)
    with styled():
        figure = new_figure(7.2, 2.7)
        left, right = figure.subplots(1, 2)
        for axes, title in ((left, "P(right answer) from words only"), (right, "dividend of {picture, words}")):
            for number, name in enumerate(names):
                values = [p.corners[name].text if axes is left else p.corners[name].dividend for p in points]
                colour = FAINT if name == WORLD else PALETTE[number]
                axes.plot([p.strength for p in points], values, "-" + "so^D"[number % 4], color=colour, label=name)
            axes.axvline(strength, color="#1f2430", linewidth=1)
            axes.set_title(title, loc="left")
            axes.set_xlabel("prior strength s")
        left.set_ylim(0, 1.05)
        right.axhline(0, color=FAINT, linewidth=0.9)
        right.legend(loc="best", fontsize=7.5)
    said = "; ".join(
        f"{name}: words only " + ", ".join(f"{p.corners[name].text:.2f}" for p in points)
        + ", dividend " + ", ".join(f"{p.corners[name].dividend:+.2f}" for p in points)
        for name in names
    )  # fmt: skip
    strengths = ", ".join(f"{p.strength:g}" for p in points)
    return Drawing(figure, f"Over prior strengths {strengths}: {said}.")


class BiasDial(Panel):
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
        self._stopped = False
        self.dataset = dropdown("World", list(datasets))
        self.dial = slider("Prior strength (percent)", 0, 100, 25, 0)
        self.run, self.stop = button("Run"), button("Stop")
        self.progress = w.IntProgress(value=0, min=0, max=len(STRENGTHS), description="Progress")
        self.example, self.figure = picture(b"", 160, 160), picture(b"", 720, 270)
        self.caption, self.table, self.note = w.HTML(), w.HTML(), w.HTML()
        self._alt = "Nothing is measured yet"
        on_click(self.run, self.measure, self._say)
        on_click(self.stop, self.cancel, self._say)
        on_change(self.dataset, self.show)
        on_change(self.dial, self.show)
        self.box = w.VBox(
            [
                w.HBox([self.dataset, self.run, self.stop, self.progress], layout={"flex_flow": "row wrap"}),
                self.dial,
                w.HBox([w.VBox([self.example, self.caption]), self.table]),
                self.figure,
                self.note,
            ]
        )
        self.show()

    def _say(self, message: str) -> None:
        if message:
            self.note.value = status_html(message)

    def cancel(self) -> None:
        """Stop measuring after the current strength; what is measured stays."""
        self._stopped = True

    def measure(self, poll: Callable[[], bool] = lambda: False) -> None:
        """Measure all strengths of the chosen world that are not known yet.

        Args:
            poll: Asked before every strength; True stops, as the Stop button does.
        """
        self._stopped = False
        points = self._known.setdefault(self.dataset.value, [])
        for strength in STRENGTHS[len(points) :]:
            if self._stopped or poll():
                break
            points.append(dial_point(self.models, self.dataset.value, strength, n=self.n))
            self.progress.value = len(points)
        self.show()

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
            return
        drawing = draw(points, strength)
        self.figure.value, self._alt = drawing.png(dpi=100), drawing.alt
        self.example.value = png(here.example.image.resize((160, 160)))
        self.caption.value = f"{here.example.question}<br>right answer: <b>{here.example.answer}</b>"
        rows = [
            (name, *(f"{value:.2f}" for value in (c.both, c.image, c.text, c.empty)), f"{c.dividend:+.2f}")
            for name, c in here.corners.items()
        ]
        self.table.value = table_html(("P(right answer)", *NAMES, "dividend"), rows)
        self.note.value = status_html(f"Mean over {here.n} questions of a world with prior strength {strength:g}.")

    def static(self) -> str:
        """Figure and table, as far as measured."""
        if not self.figure.value:
            return f"<div>{self.note.value}</div>"
        figure = figure_html(self.figure.value, self._alt, width=720)
        return f"<div>{figure}{self.table.value}{self.note.value}</div>"
