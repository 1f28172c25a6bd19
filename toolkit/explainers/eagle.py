"""EAGLE: a greedy search for the few players that suffice for the answer and without which it is lost.

    F(S) = v(S) + 1 - v(all without S),      S_k = S_(k-1) and the player that raises F most

v(S) is what S alone says for the answer (sufficiency), 1 - v(all without S) what its absence takes from it (necessity).
With g_k the gain of the k-th pick, the picks score g_m, g_m + |g_(m-1)|, ... from the last to the first, so that they
rank as they were picked; a player that was not picked scores what it would have added in the last round.

Reference: Chen et al., 2025, arXiv 2509.22496 (where MLLMs attend and what they rely on).
Adapted: the players are image cells *and* question words, where EAGLE searches image regions alone; only ``picks``
rounds are searched, since all of them take n_players (n_players + 1) passes. Details: how much of the answer the words
say without the image (``language_prior``) and what the image adds (``perception``).
Cost: 2 forward rows for every player in every round, 2 * picks * n_players - picks * (picks - 1) + 3; no gradients.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, resolve_target
from toolkit.games.attribution import Attribution
from toolkit.games.game import CachedGame
from toolkit.typing import Coalitions, Scores
from toolkit.vlm.protocol import VLM


def objective(game: CachedGame, coalitions: Coalitions) -> NDArray[np.float64]:
    """F (n_coalitions,): what coalitions (n_coalitions, n_players) say alone, and what is lost without them."""
    values = game(np.concatenate([coalitions, ~coalitions]))
    found: NDArray[np.float64] = values[: len(coalitions)] + 1 - values[len(coalitions) :]
    return found


@dataclass(frozen=True)
class Eagle:
    """Greedy search by sufficiency and necessity.

    Attributes:
        picks: Rounds, each of which picks one player.
    """

    picks: int = 5

    name: ClassVar[str] = "eagle"
    reference: ClassVar[str] = "Chen et al. 2025, arXiv 2509.22496"
    cost: ClassVar[str] = "10 forward rows per player and 3 more"
    needs: ClassVar[frozenset[Need]] = frozenset({"game"})
    deterministic: ClassVar[bool] = True

    def __post_init__(self) -> None:
        if self.picks < 1:
            raise ValueError(f"eagle: picks is {self.picks}; expected at least 1")

    def passes(self, n: int) -> Passes:
        """Two rows for every player in every round, the two ends and the words alone."""
        picks = min(self.picks, n)
        return Passes(2 * picks * n - picks * (picks - 1) + 3)

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Explain v(all) - v(nobody); deterministic, ``rng`` is not used."""
        target = resolve_target(vlm, sample, target)
        game = CachedGame(vlm.game(sample, target=target, baseline=baseline))
        scores, picked = self.search(game)
        ends = np.stack([picked, ~picked, game.players.of("text"), np.ones_like(picked)])
        alone, without, words, everything = game(ends).tolist()
        details: dict[str, float | int | str | list[float]] = {
            "sufficiency": alone, "necessity": 1 - without, "language_prior": words, "perception": everything - words,
        }  # fmt: skip
        return Attribution(scores, game.players, self.name, target, n_evaluations=game.n_evaluations, details=details)

    def search(self, game: CachedGame) -> tuple[Scores, NDArray[np.bool_]]:
        """Scores (n_players,), and the players that were picked (n_players,)."""
        n = game.players.n
        picked = np.zeros(n, dtype=np.bool_)
        reached = float(objective(game, picked[None])[0])
        order: list[int] = []
        steps: list[float] = []
        scores = np.zeros(n)
        for _ in range(min(self.picks, n)):
            rest = np.flatnonzero(~picked)
            gains = objective(game, picked | np.eye(n, dtype=np.bool_)[rest]) - reached
            scores[rest] = gains
            best = int(gains.argmax())
            order.append(int(rest[best]))
            steps.append(float(gains[best]))
            picked[order[-1]] = True
            reached += steps[-1]
        for later, player, step in zip(order[:0:-1], order[-2::-1], steps[-2::-1], strict=True):
            scores[player] = scores[later] + abs(step)
        return scores, picked
