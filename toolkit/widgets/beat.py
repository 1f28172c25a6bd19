"""Beat the explainer: choose your own cells and words; the scoreboard compares you with every explainer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import ipywidgets as w
import numpy as np
from numpy.typing import NDArray

from toolkit.datasets.sample import Sample
from toolkit.explainers import explain
from toolkit.games.attribution import Attribution
from toolkit.games.game import CachedGame, Game
from toolkit.vlm.protocol import VLM
from toolkit.widgets.base_widget import (
    TIGHT,
    BaseWidget,
    button,
    column,
    dropdown,
    figure_html,
    heading,
    on_change,
    on_click,
    row,
    status_html,
    table_html,
)
from toolkit.widgets.coalition import pair_of, top_choice
from toolkit.widgets.curve_explorer import sample_options
from toolkit.widgets.picker import SIDE, Picker
from toolkit.widgets.views import plural

YOU = "you"
EXPLAINERS = ("oracle", "occlusion", "integrated-gradients", "input-x-gradient", "random")
HEADER = ("who", "insertion", "deletion", "synergy", "chose")


@dataclass(frozen=True)
class Entry:
    """One line of the scoreboard.

    Attributes:
        name: Explainer, or you.
        insertion: v with only the chosen cells and words; more is better.
        deletion: v without them; less is better.
        synergy: Shapley interaction index of the chosen cells and the chosen words; more is better.
        chosen: The labels of the chosen cells and words.
    """

    name: str
    insertion: float
    deletion: float
    synergy: float
    chosen: str


def entry(name: str, game: Game, chosen: NDArray[np.bool_]) -> Entry:
    """Score a choice of players."""
    pair = pair_of(game, chosen)
    return Entry(name, pair.alone.both, pair.among.neither, pair.index, choice_in_words(game, chosen))


def choice_in_words(game: Game, chosen: NDArray[np.bool_]) -> str:
    """The labels of the chosen players, in their order; a line breaks between two of them only."""
    labels = (label.strip().replace(" ", "\u00a0") for label, on in zip(game.players.labels, chosen, strict=True) if on)
    return "; ".join(labels)


def scoreboard(game: Game, yours: NDArray[np.bool_], attributions: Sequence[Attribution]) -> list[Entry]:
    """You and every explainer, each with as many cells and words as you chose; best synergy first.

    Args:
        game: The game.
        yours: Your choice, (n_players,).
        attributions: The explainers' scores.
    """
    n_image = game.players.n_image
    n_cells, n_words = int(yours[:n_image].sum()), int(yours[n_image:].sum())
    found = [entry(YOU, game, yours)]
    found += [entry(a.explainer, game, top_choice(a, n_cells, n_words)) for a in attributions]
    return sorted(found, key=lambda e: -e.synergy)


def rows(entries: Sequence[Entry]) -> list[tuple[str, ...]]:
    """The scoreboard as texts; your line is marked."""
    return [
        (
            f"{'> ' if e.name == YOU else ''}{e.name}",
            f"{e.insertion:.3f}",
            f"{e.deletion:.3f}",
            f"{e.synergy:+.3f}",
            e.chosen,
        )
        for e in entries
    ]


class BeatTheExplainer(BaseWidget):
    """Choose a few cells and words, then compare.

    Args:
        vlm: The model.
        samples: Samples to choose from.
        explainers: Whom to play against.
        n_cells: How many cells you may choose.
        n_words: How many words you may choose.

    Raises:
        ValueError: No sample, no explainer, or nothing to choose.
    """

    def __init__(
        self,
        vlm: VLM,
        samples: Sequence[Sample],
        explainers: Sequence[str] = EXPLAINERS,
        *,
        n_cells: int = 3,
        n_words: int = 2,
    ) -> None:
        if not samples or not explainers or n_cells < 1 or n_words < 1:
            raise ValueError(f"expected samples, explainers, cells and words; got {n_cells} cells, {n_words} words")
        self.vlm, self.samples, self.explainers = vlm, list(samples), tuple(explainers)
        self.n_cells, self.n_words = n_cells, n_words
        self._known: dict[int, tuple[CachedGame, list[Attribution]]] = {}
        self.entries: list[Entry] = []
        self.sample = dropdown("Question", sample_options(samples), 0, width="640px")
        self.compare, self.clear = button("Compare"), button("Clear")
        self.picker = Picker(self._count, look="frame")
        self.note, self.board = w.HTML(), w.HTML()
        on_change(self.sample, self._ask)
        on_click(self.compare, self.play, self.note)
        on_click(self.clear, self._ask, self.note)
        left = column(
            heading("click cells and words"),
            self.picker.cells,
            self.picker.words,
            row(self.compare, self.clear, gap=TIGHT),
        )
        self.box = column(self.sample, row(left, column(heading("scoreboard"), self.board, self.note, width="480px")))
        self._ask()

    @property
    def _sample(self) -> Sample:
        return self.samples[int(self.sample.value)]

    def _ask(self) -> None:
        self.picker.show(self.vlm, self._sample)
        self.entries = []
        self.board.value = ""
        self._count()

    def _chosen(self) -> tuple[int, int]:
        on = [bool(control.value) for control in self.picker.buttons]
        return sum(on[: self.picker.n_groups]), sum(on[self.picker.n_groups :])

    def _count(self) -> None:
        cells, words = self._chosen()
        self.note.value = status_html(
            f"You have chosen {plural(cells, 'cell')} of {self.n_cells} and {plural(words, 'word')} of {self.n_words}."
            f"{' Press Compare.' if (cells, words) == (self.n_cells, self.n_words) else ''}"
        )

    def opponents(self) -> tuple[CachedGame, list[Attribution]]:
        """The chosen sample's game and the explainers' attributions, computed once."""
        if self.sample.value not in self._known:
            found = [explain(name, self.vlm, self._sample) for name in self.explainers]
            self._known[self.sample.value] = CachedGame(self.vlm.game(self._sample)), found
        return self._known[self.sample.value]

    def play(self) -> None:
        """Fill the scoreboard, if exactly the allowed number of cells and words is chosen."""
        cells, words = self._chosen()
        if (cells, words) != (self.n_cells, self.n_words):
            self.note.value = status_html(
                f"Choose exactly {plural(self.n_cells, 'cell')} and {plural(self.n_words, 'word')}; you have "
                f"{cells} and {words}."
            )
            return
        self.note.value = status_html("Asking the explainers ...")
        game, attributions = self.opponents()
        self.entries = scoreboard(game, self.picker.chosen, attributions)
        self.board.value = table_html(HEADER, rows(self.entries), caption="most synergy first")
        place = [e.name for e in self.entries].index(YOU) + 1
        self.note.value = status_html(f"You are number {place} of {len(self.entries)} by synergy.")

    def static(self) -> str:
        """The picture and the scoreboard."""
        alt = f"The picture of the question: {self._sample.question}"
        shown = figure_html(self.picker.image.value, alt, width=SIDE, caption=self._sample.question)
        return f"<div>{shown}{self.board.value}{self.note.value}</div>"
