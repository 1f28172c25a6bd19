"""Games derived from a game for the validity panel: renamed players, merged cells."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from toolkit.games.attribution import Attribution
from toolkit.games.game import Game, Players, check_coalitions
from toolkit.typing import Coalitions, Regions, Values


class RenamedGame:
    """The same game with its players in another order within each modality.

    Args:
        game: The game underneath.
        order: Shape (n_players,): player i here is player ``order[i]`` there; image players come first in both.
    """

    def __init__(self, game: Game, order: NDArray[np.int64]) -> None:
        players = game.players
        n_image = players.n_image
        if sorted(order[:n_image].tolist()) != list(range(n_image)) or len(set(order.tolist())) != players.n:
            raise ValueError("order must permute the image players among themselves and the text players likewise")
        self.game, self.order = game, order
        self.players = Players(tuple(players.labels[i] for i in order), players.modality)

    def __call__(self, coalitions: Coalitions) -> Values:
        """Values (n_coalitions,) of the coalitions, in this game's order of players."""
        there = np.empty_like(check_coalitions(coalitions, self.players))
        there[:, self.order] = coalitions
        return self.game(there)

    def rename(self, attribution: Attribution) -> Attribution:
        """An attribution of the game underneath, in this game's order."""
        return Attribution(attribution.scores[self.order], self.players, attribution.explainer, attribution.target)


def random_order(players: Players, rng: np.random.Generator) -> NDArray[np.int64]:
    """A random renaming within each modality, shape (n_players,)."""
    image, text = (np.flatnonzero(players.of(m)) for m in ("image", "text"))
    return np.concatenate([rng.permutation(image), rng.permutation(text)])


class CoarseGame:
    """The same game with neighbouring image cells merged; words stay as they are.

    Args:
        game: The game underneath.
        group_of: Shape (n_image,): the group of each image cell, numbered from 0.
    """

    def __init__(self, game: Game, group_of: NDArray[np.int64]) -> None:
        players = game.players
        if group_of.shape != (players.n_image,):
            raise ValueError(f"expected one group per image player ({players.n_image}), got shape {group_of.shape}")
        self.game, self.group_of = game, group_of
        n_groups = int(group_of.max()) + 1
        labels = players.labels[players.n_image :]
        self.players = Players.make(tuple(f"group {b}" for b in range(n_groups)), labels)

    @property
    def target(self) -> str | None:
        """The target of the game underneath, if it has one."""
        return getattr(self.game, "target", None)

    def __call__(self, coalitions: Coalitions) -> Values:
        """Values (n_coalitions,) of coalitions of groups and words."""
        check_coalitions(coalitions, self.players)
        n_groups = self.players.n_image
        return self.game(np.concatenate([coalitions[:, self.group_of], coalitions[:, n_groups:]], axis=1))

    def merge(self, attribution: Attribution) -> Attribution:
        """An attribution of the game underneath, its cell scores summed over each group."""
        image = np.bincount(self.group_of, attribution.of("image"), self.players.n_image)
        scores = np.concatenate([image, attribution.of("text")])
        return Attribution(scores, self.players, attribution.explainer, attribution.target)


def merged_cells(regions: Regions, size: int = 2) -> NDArray[np.int64]:
    """Groups of ``size`` x ``size`` neighbouring cells of a regular grid, shape (n_image,), from the cells' regions."""
    columns = np.unique(regions[:, 0].round(6), return_inverse=True)[1]
    rows = np.unique(regions[:, 1].round(6), return_inverse=True)[1]
    key = (rows // size) * (int(columns.max()) // size + 1) + columns // size
    return np.asarray(np.unique(key, return_inverse=True)[1], dtype=np.int64)
