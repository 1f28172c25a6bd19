"""Gate explorer: set the four corners of a two-player game by hand; signed and clipped metrics follow."""

from __future__ import annotations

from dataclasses import astuple

import ipywidgets as w
import numpy as np

from toolkit.datasets.sample import Corners
from toolkit.games.analytic import NoisyGame, SumOfUnanimityGames
from toolkit.games.attribution import Attribution
from toolkit.games.game import Game, Players
from toolkit.redundancy.gates import EXACT, gate_of, parts
from toolkit.redundancy.gates import GATES as GATE_NAMES
from toolkit.reporting.plots.style import FAINT, MEANINGS, PALETTE, new_figure, styled
from toolkit.synergy.f_syn import SynergyScore, synergistic_faithfulness
from toolkit.widgets.base_widget import (
    BaseWidget,
    ImageView,
    choice,
    column,
    figure_html,
    on_change,
    row,
    slider,
    status_html,
    table_html,
)
from toolkit.widgets.stage import Stage
from toolkit.widgets.views import png

CELLS, WORDS, STEPS = 10, 5, 10
GATES: dict[str, tuple[float, float, float, float]] = {
    "AND": (1.0, 0.0, 0.0, 0.0),
    "OR": (1.0, 1.0, 1.0, 0.0),
    "XOR": (0.0, 1.0, 1.0, 0.0),
    "additive": (1.0, 0.5, 0.5, 0.0),
    "text only": (1.0, 0.0, 1.0, 0.0),
}
LABELS = ("both", "picture only", "words only", "neither")


def game_of(corners: Corners, *, noise: float = 0.0, seed: int = 0) -> Game:
    """A game of 10 cells and 5 words in which cell 0 and word 0 carry everything, with the given corners."""
    players = Players.make(tuple(f"cell {i}" for i in range(CELLS)), tuple(f"word {i}" for i in range(WORDS)))
    image, text = corners.image - corners.empty, corners.text - corners.empty
    terms = {(): corners.empty, (0,): image, (CELLS,): text, (0, CELLS): corners.total_interaction}
    game = SumOfUnanimityGames(players, terms)
    return NoisyGame(game, noise, seed) if noise > 0 else game


def order_of(game: Game, cell_rank: int, word_rank: int) -> Attribution:
    """An explainer that puts the evidence at these ranks, 1 for first, in each modality."""
    scores = np.empty(CELLS + WORDS)
    for start, n, rank in ((0, CELLS, cell_rank), (CELLS, WORDS, word_rank)):
        others = [r for r in range(1, n + 1) if r != rank]
        scores[start : start + n] = -np.array([rank, *others], dtype=np.float64)
    return Attribution(scores, game.players, "by hand", "answer")


def gate_name(corners: Corners) -> str:
    """The gate of these exact corners; the names of several parts where none is larger than the others."""
    if gate_of(corners) == "neither":
        return "neither"
    sizes = np.abs(astuple(parts(corners)))
    return " and ".join(GATE_NAMES[i] for i in np.flatnonzero(sizes > sizes.max() - EXACT))


CORNER_COLOURS = [*(MEANINGS[name] for name in ("both", "image", "words")), FAINT]


class GateFigure:
    """The corners as bars, and the synergy curve, signed and as published; the axes never change.

    Args:
        synergy: Whether the curve is there.
    """

    def __init__(self, *, synergy: bool = True) -> None:
        with styled():
            figure = new_figure(7.2 if synergy else 3.6, 2.9)
            left, *others = figure.subplots(1, 2 if synergy else 1, squeeze=False)[0]
            self.bars = left.barh(LABELS, np.zeros(4), color=CORNER_COLOURS)
            self.numbers = [left.text(0, y, "", va="center") for y in range(4)]
            left.set(xlim=(0, 1.16), ylim=(3.6, -0.6), title="the four corners", xlabel="value v")
            fractions = np.linspace(0, 1, STEPS + 1)
            self.curves = [
                axes.plot(fractions, 0 * fractions, style, color=PALETTE[place], markersize=4, label=label)[0]
                for axes in others
                for style, place, label in (("-o", 6, "signed"), ("--s", 5, "published: clipped"))
            ]
            for axes in others:
                axes.axhline(0, color=FAINT, linewidth=0.9)
                axes.set(ylim=(-2.15, 1.25), title="synergy curve", xlabel="top fraction k")
                figure.legend(handles=self.curves, loc="outside lower right", ncols=2)
            for axes in (left, *others):
                axes.title.set(ha="left", x=0)
            self.stage = Stage(figure, [*self.bars, *self.numbers, *self.curves])

    def draw(self, corners: Corners, score: SynergyScore | None) -> bytes:
        """The figure for these corners, as PNG; the score is needed where there is a curve."""
        values = (corners.both, corners.image, corners.text, corners.empty)
        for bar, number, value in zip(self.bars, self.numbers, values, strict=True):
            bar.set_width(value)
            number.set_x(value + 0.02)
            number.set_text(f"{value:.2f}")
        if score is not None:
            for line, found in zip(self.curves, (score.curve, score.paper.curve), strict=True):
                line.set_ydata(found)
        return png(self.stage.image())


def describe(corners: Corners, score: SynergyScore | None) -> str:
    """The figure in words and numbers."""
    values = (corners.both, corners.image, corners.text, corners.empty)
    listed = ", ".join(f"{name} {value:.2f}" for name, value in zip(LABELS, values, strict=True))
    scored = f" Signed F_syn {score.value:+.3f}, published view {score.paper.value:.3f}." if score else ""
    return f"Corners: {listed}. Dividend {corners.total_interaction:+.2f}.{scored}"


class GateExplorer(BaseWidget):
    """Corners by slider; the dividend and the gate follow.

    Args:
        synergy: Whether there are an explainer's ranks and noise too, with the synergy curve, signed F_syn and its
            published view, which lesson 03 introduces.
    """

    def __init__(self, *, synergy: bool = True) -> None:
        self.synergy = synergy
        self.gate = choice("Gate", list(GATES), "AND")
        wide = {"width": "450px", "label_width": "190px"}
        self.corners = [slider(f"{name} (percent)", 0, 100, 5, 0, **wide) for name in LABELS]
        self.cell_rank = slider("Rank of the evidence cell", 1, CELLS, 1, 1, **wide)
        self.word_rank = slider("Rank of the evidence word", 1, WORDS, 1, 1, **wide)
        self.noise = slider("Noise of v (sd, percent)", 0, 30, 5, 0, **wide)
        self.seed = slider("Seed of the noise", 0, 20, 1, 0, **wide)
        self.figure = ImageView(720 if synergy else 360, 290)
        self.table, self.note = w.HTML(), w.HTML()
        self._drawn = GateFigure(synergy=synergy)
        self._quiet = False
        on_change(self.gate, self._preset)
        for control in (*self.corners, self.cell_rank, self.word_rank, self.noise, self.seed):
            on_change(control, self.show)
        found = column(self.table, self.note)
        if synergy:
            others = column(self.cell_rank, self.word_rank, self.noise, self.seed)
            self.box = column(self.gate, row(column(*self.corners), others), self.figure, found)
        else:
            self.box = column(self.gate, row(column(*self.corners, found), self.figure))
        self._preset()

    def _preset(self) -> None:
        self._quiet = True
        for control, value in zip(self.corners, GATES[self.gate.value], strict=True):
            control.value = round(100 * value)
        self._quiet = False
        self.show()

    @property
    def values(self) -> Corners:
        """The corners that the sliders say."""
        return Corners(*(control.value / 100 for control in self.corners))

    @property
    def score(self) -> SynergyScore:
        """F_syn of the explainer by hand on the game by hand."""
        game = game_of(self.values, noise=self.noise.value / 100, seed=self.seed.value)
        return synergistic_faithfulness(game, order_of(game, self.cell_rank.value, self.word_rank.value), STEPS)

    def show(self) -> None:
        """Bring the figure and the numbers up to date."""
        if self._quiet:
            return
        corners, score = self.values, self.score if self.synergy else None
        self.figure.show(self._drawn.draw(corners, score), describe(corners, score))
        rows = [("dividend of {picture, words}", f"{corners.total_interaction:+.2f}")]
        if score is not None:
            rows.append(("signed F_syn", f"{score.value:+.3f}"))
            rows.append(("published view, clipped to [0, 1]", f"{score.paper.value:.3f}"))
        self.table.value = table_html(("number", "value"), rows)
        self.note.value = status_html(f"The largest part names the gate: {gate_name(corners)}.")

    def static(self) -> str:
        """The figure and the numbers."""
        alt = describe(self.values, self.score if self.synergy else None)
        figure = figure_html(self.figure.value, alt, width=720 if self.synergy else 360)
        return f"<div>{figure}{self.table.value}{self.note.value}</div>"
