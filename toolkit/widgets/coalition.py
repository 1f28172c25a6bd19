"""The two-player game of some cells and some words: eight values, two sides, one index."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.games.attribution import Attribution
from toolkit.games.game import Game, Players
from toolkit.reporting.numbers import format_number
from toolkit.synergy.ordering import score_order
from toolkit.typing import Regions

GROUPS_PER_SIDE = 6


@dataclass(frozen=True)
class Side:
    """Four values of the game of A (cells) and B (words): both, cells only, words only, neither."""

    both: float
    cells: float
    words: float
    neither: float

    @property
    def difference(self) -> float:
        """Second difference both - cells - words + neither, in [-2, 2] for probabilities."""
        return (self.both - self.cells) - (self.words - self.neither)


@dataclass(frozen=True)
class Pair:
    """Everything about a chosen set of cells A and words B.

    Attributes:
        alone: With nobody else present; its difference is the Harsanyi dividend of {A, B}, the insertion side.
        among: With everybody else present; its difference is the deletion side.
    """

    alone: Side
    among: Side

    @property
    def index(self) -> float:
        """Shapley interaction index of A and B in the game {A, B, rest}: the mean of both differences."""
        return (self.alone.difference + self.among.difference) / 2


def pair_of(game: Game, chosen: NDArray[np.bool_]) -> Pair:
    """Evaluate the eight coalitions of a choice of players (n_players,) in one call."""
    image, text = game.players.of("image"), game.players.of("text")
    a, b = chosen & image, chosen & text
    rest = ~chosen
    rows = [chosen, a, b, np.zeros_like(chosen), rest | chosen, rest | a, rest | b, rest]
    values = [float(value) for value in game(np.stack(rows))]
    return Pair(Side(*values[:4]), Side(*values[4:]))


def top_choice(attribution: Attribution, n_cells: int, n_words: int, *, seed: int = 0) -> NDArray[np.bool_]:
    """The best-ranked cells and words of an attribution, as a mask (n_players,); ties in random order."""
    rng = np.random.default_rng(seed)
    chosen = np.zeros(attribution.players.n, dtype=np.bool_)
    for modality, n in (("image", n_cells), ("text", n_words)):
        members = np.flatnonzero(attribution.players.of("image" if modality == "image" else "text"))
        chosen[members[score_order(attribution.scores[members], rng)[:n]]] = True
    return chosen


@dataclass(frozen=True)
class CellGroup:
    """Image players behind one button, by where they lie in a small grid."""

    row: int
    column: int
    players: NDArray[np.int64]

    @property
    def label(self) -> str:
        """Row and column, counted from 1."""
        return f"{self.row + 1},{self.column + 1}"


def cell_groups(regions: Regions, per_side: int = GROUPS_PER_SIDE) -> list[CellGroup]:
    """Group image players into at most ``per_side`` x ``per_side`` groups by where their centres lie, row by row.

    Rows and columns in which no centre lies are left out, so that a coarser grid is a group per cell.
    """
    centre = (np.asarray(regions)[:, :2] + np.asarray(regions)[:, 2:]) / 2
    place = np.clip((centre * per_side).astype(np.int64), 0, per_side - 1)
    place = np.stack([np.unique(axis, return_inverse=True)[1].reshape(-1) for axis in place.T], axis=1)
    flat = place[:, 1] * per_side + place[:, 0]
    return [CellGroup(*divmod(int(at), per_side), np.flatnonzero(flat == at)) for at in np.unique(flat)]


def describe(players: Players, chosen: NDArray[np.bool_]) -> str:
    """How much is chosen, and which words, for a line of text."""
    n_cells = int(chosen[: players.n_image].sum())
    words = [label for label, here in zip(players.labels, chosen, strict=True) if here][n_cells:]
    listed = f"the words '{' '.join(words)}'" if words else "no words"
    return f"{n_cells} of {players.n_image} cells and {listed}"


def rows_of(pair: Pair) -> list[Sequence[str]]:
    """The eight values and three differences as rows of a table."""
    rows: list[Sequence[str]] = []
    for title, a, b in (
        ("cells A, words B", pair.alone.both, pair.among.both),
        ("cells A only", pair.alone.cells, pair.among.cells),
        ("words B only", pair.alone.words, pair.among.words),
        ("neither", pair.alone.neither, pair.among.neither),
        ("dividend", pair.alone.difference, pair.among.difference),
    ):
        rows.append((title, *(format_number(value, sign=title == "dividend") for value in (a, b))))
    return rows
