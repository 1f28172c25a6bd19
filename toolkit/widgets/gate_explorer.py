"""Gate explorer: set the four corners of a two-player game by hand; signed and clipped metrics follow."""

from __future__ import annotations

from typing import Any

import ipywidgets as w
import numpy as np

from toolkit.analytic import NoisyGame, SumOfUnanimityGames
from toolkit.datasets.sample import Corners
from toolkit.explainers.attribution import Attribution
from toolkit.games import Game, Players
from toolkit.plots.drawing import Drawing
from toolkit.plots.style import FAINT, PALETTE, new_figure, styled
from toolkit.synergy.faithfulness import SynergyScore, synergistic_faithfulness
from toolkit.widgets.panel import Panel, choice, figure_html, on_change, picture, slider, status_html, table_html

CELLS, WORDS = 10, 5
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
    terms = {(): corners.empty, (0,): image, (CELLS,): text, (0, CELLS): corners.dividend}
    game = SumOfUnanimityGames(players, terms)
    return NoisyGame(game, noise, seed) if noise > 0 else game


def order_of(game: Game, cell_rank: int, word_rank: int) -> Attribution:
    """An explainer that puts the evidence at these ranks, 1 for first, in each modality."""
    scores = np.empty(CELLS + WORDS)
    for start, n, rank in ((0, CELLS, cell_rank), (CELLS, WORDS, word_rank)):
        others = [r for r in range(1, n + 1) if r != rank]
        scores[start : start + n] = -np.array([rank, *others], dtype=np.float64)
    return Attribution(scores, game.players, "by hand", "answer")


def gate_name(corners: Corners, threshold: float = 0.05) -> str:
    """Synergy, redundancy or additive, by the sign of the dividend."""
    if abs(corners.dividend) < threshold:
        return "no interaction"
    return "synergy" if corners.dividend > 0 else "redundancy"


def draw(corners: Corners, score: SynergyScore) -> Drawing:
    """The corners as bars, and the synergy curve, signed and as published."""
    with styled():
        figure = new_figure(7.2, 2.7)
        left, right = figure.subplots(1, 2)
        values = (corners.both, corners.image, corners.text, corners.empty)
        left.barh(LABELS, values, color=[PALETTE[2], PALETTE[0], PALETTE[1], FAINT])
        left.set(xlim=(0, 1.12), ylim=(3.6, -0.6))
        for y, value in enumerate(values):
            left.text(value + 0.02, y, f"{value:.2f}", va="center")
        left.set_title("the four corners", loc="left")
        right.plot(score.fractions, score.curve, "-o", color=PALETTE[6], markersize=4, label="signed")
        published = score.paper.curve
        right.plot(score.fractions, published, "--s", color=PALETTE[5], markersize=4, label="published: clipped")
        right.axhline(0, color=FAINT, linewidth=0.9)
        right.set_title("synergy curve", loc="left")
        right.set_xlabel("top fraction k")
        right.legend(loc="best")
    alt = (
        f"Corners: {', '.join(f'{name} {value:.2f}' for name, value in zip(LABELS, values, strict=True))}. Dividend "
        f"{corners.dividend:+.2f}. Signed F_syn {score.value:+.3f}, published view {score.paper.value:.3f}."
    )
    return Drawing(figure, alt)


class GateExplorer(Panel):
    """Corners, explainer quality and noise by slider; dividend, signed F_syn and the published view follow."""

    def __init__(self) -> None:
        self.gate = choice("Gate", list(GATES), "AND")
        self.corners = [slider(f"{name} (percent)", 0, 100, 5, 0) for name in LABELS]
        self.cell_rank = slider("Rank of the evidence cell", 1, CELLS, 1, 1)
        self.word_rank = slider("Rank of the evidence word", 1, WORDS, 1, 1)
        self.noise = slider("Noise of v (sd, percent)", 0, 30, 5, 0)
        self.seed = slider("Seed of the noise", 0, 20, 1, 0)
        self.figure = picture(b"", 720, 270)
        self.table, self.note = w.HTML(), w.HTML()
        self._quiet = False
        self._alt = ""
        on_change(self.gate, self._preset)
        for control in (*self.corners, self.cell_rank, self.word_rank, self.noise, self.seed):
            on_change(control, self.show)
        controls: list[Any] = [w.VBox(self.corners), w.VBox([self.cell_rank, self.word_rank, self.noise, self.seed])]
        self.box = w.VBox(
            [self.gate, w.HBox(controls, layout={"flex_flow": "row wrap"}), self.figure, self.table, self.note]
        )
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
        return synergistic_faithfulness(game, order_of(game, self.cell_rank.value, self.word_rank.value))

    def show(self) -> None:
        """Bring the figure and the numbers up to date."""
        if self._quiet:
            return
        corners, score = self.values, self.score
        drawing = draw(corners, score)
        self.figure.value, self._alt = drawing.png(dpi=100), drawing.alt
        rows = [
            ("dividend of {picture, words}", f"{corners.dividend:+.2f}"),
            ("signed F_syn", f"{score.value:+.3f}"),
            ("published view, clipped to [0, 1]", f"{score.paper.value:.3f}"),
        ]
        self.table.value = table_html(("number", "value"), rows)
        self.note.value = status_html(f"This game shows {gate_name(corners)}.")

    def static(self) -> str:
        """The figure and the numbers."""
        figure = figure_html(self.figure.value, self._alt, width=720)
        return f"<div>{figure}{self.table.value}{self.note.value}</div>"
