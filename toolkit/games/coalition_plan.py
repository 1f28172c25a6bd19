"""Which coalitions have to be evaluated: each distinct one once, grouped by the image that it shows.

Pure bookkeeping on masks; no game is asked. ``toolkit.synergy.evaluate`` lists the coalitions that metrics need.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from toolkit.games.game import Players, check_coalitions
from toolkit.typing import Coalitions, Values


@dataclass(frozen=True)
class CoalitionPlan:
    """Distinct coalitions, sorted so that those which show the same image stand together.

    Attributes:
        players: The players of the game.
        coalitions: Shape (n_coalitions, n_players): the distinct coalitions.
        inverse: Shape (n_requested,): which of them each requested coalition is.
        images: Shape (n_images, n_image): the distinct image masks.
        starts: Shape (n_images + 1,): image i belongs to the coalitions starts[i] up to starts[i + 1].
    """

    players: Players = field(repr=False)
    coalitions: Coalitions = field(repr=False)
    inverse: NDArray[np.int64] = field(repr=False)
    images: Coalitions = field(repr=False)
    starts: NDArray[np.int64] = field(repr=False)

    @property
    def n_requested(self) -> int:
        """Coalitions asked for, repetitions included."""
        return len(self.inverse)

    @property
    def n_coalitions(self) -> int:
        """Distinct coalitions."""
        return len(self.coalitions)

    @property
    def n_images(self) -> int:
        """Distinct image masks."""
        return len(self.images)

    def texts(self, image: int) -> Coalitions:
        """Text masks (n_variants, n_text) to evaluate beside one distinct image, in the order of its coalitions."""
        return self.coalitions[self.starts[image] : self.starts[image + 1], self.players.n_image :]

    def spread(self, values: Values) -> Values:
        """Values (n_requested,) in the order asked, from the values (n_coalitions,) of the distinct coalitions."""
        values = np.asarray(values)
        if values.shape != (self.n_coalitions,):
            raise ValueError(
                f"expected one value for each of the {self.n_coalitions} coalitions, got shape {values.shape}"
            )
        return values[self.inverse]


def plan_coalitions(coalitions: Coalitions, players: Players) -> CoalitionPlan:
    """Plan any set of coalitions, shape (n_requested, n_players).

    Raises:
        TypeError: Not an array of bools.
        ValueError: Not of the players' width.
    """
    check_coalitions(coalitions, players)
    n_image = players.n_image
    image_keys = np.packbits(coalitions[:, :n_image], axis=1)
    keys = np.concatenate([image_keys, np.packbits(coalitions[:, n_image:], axis=1)], axis=1)
    _, first, inverse = np.unique(keys, axis=0, return_index=True, return_inverse=True)
    _, starts = np.unique(image_keys[first], axis=0, return_index=True)
    distinct, ends = coalitions[first], np.append(starts, len(first))
    return CoalitionPlan(players, distinct, inverse.reshape(-1), distinct[starts, :n_image], ends)
