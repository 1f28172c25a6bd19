"""Pairs of a sparse proxy: boosted trees learn the game, and their Fourier coefficients are made into interactions.

    v(S) ~ sum over few sets T of c_T (-1)^{|S and T|},  T read off the trees,  c_T fitted again by ridge regression
    pairs_ij = SII(i, j) of that sum

The trees find which players matter together at any order. Sets that they do not use, or that hold the last 5 % of the
sum of squares, are left out, so most pairs are exactly 0, weak ones too. A pair's value is the proxy's, not the game's.

Reference: Butler et al., 2025, ProxySPEX, arXiv 2505.17495; through shapiq, with LightGBM (extra ``trees``).
Adapted for autoregressive VLMs: only cross-modal pairs are kept. The trees have one fixed size (depth 5, 500 rounds at
rate .1, one of the eight that shapiq compares by cross-validation); ``search=True`` compares them, which takes six
times as long (50 players: 15 seconds).
Cost: ``budget`` forward rows, at most 2^n; no gradients; seconds of a core for the trees.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, resolve_target
from toolkit.extras import need
from toolkit.games.attribution import Details, InteractionAttribution
from toolkit.games.game import Game
from toolkit.typing import Values
from toolkit.vlm.protocol import VLM

FEWEST = 3
"""Players: cross-validation in five parts needs eight coalitions."""


@dataclass(frozen=True)
class ProxySpexInteraction:
    """Cross-modal Shapley interactions of a sparse proxy by shapiq's ProxySPEX.

    Attributes:
        budget: Coalitions to evaluate at most.
        search: Whether the size of the trees is chosen by cross-validation.
    """

    budget: int = 1024
    search: bool = False

    name: ClassVar[str] = "proxyspex-interaction"
    reference: ClassVar[str] = "Butler et al. 2025, arXiv 2505.17495"
    cost: ClassVar[str] = "1,024 forward rows and seconds for the trees; extra trees"
    needs: ClassVar[frozenset[Need]] = frozenset({"game"})

    def passes(self, n: int) -> Passes:
        """The budget and no gradients."""
        return Passes(min(self.budget, 2**n) if n < 31 else self.budget)

    def _approximator(self, n: int, rows: int, seed: int) -> Any:
        """What estimates the index; leaves hold 20 coalitions, as LightGBM has it, fewer where there are few."""
        from shapiq import ProxySPEX  # heavy: imported where it is used

        found = ProxySPEX(n=n, index="SII", max_order=2, random_state=seed)
        if not self.search:
            found.decoder_args = {"max_depth": [5], "max_iter": [500], "learning_rate": [0.1]}
        found.decoder_args = {**found.decoder_args, "min_child_samples": [max(1, min(20, rows // 20))]}
        return found

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> InteractionAttribution:
        """Explain what cells and words do together, as the proxy has it.

        Raises:
            ModuleNotFoundError: LightGBM or shapiq is not installed (extra ``trees``).
            ValueError: Fewer than three players.
        """
        need("trees", self.name, otherwise="take banzhaf-interaction, which needs no more than the toolkit")
        target = resolve_target(vlm, sample, target)
        game = vlm.game(sample, target=target, baseline=baseline)
        n, n_image = game.players.n, game.players.n_image
        if n < FEWEST:
            raise ValueError(
                f"{self.name} needs {FEWEST} players, got {n}; take shapley-interaction, which is exact there"
            )
        rows, seed = self.passes(n).forward, int(rng.integers(2**31))
        pairs = np.zeros((n, n))
        with suppress(_NothingVariesError):
            values = self._approximator(n, rows, seed).approximate(rows, partial(_ask, game))
            pairs = np.array(values.get_n_order_values(2), dtype=np.float64)
        pairs = pairs[:n_image, n_image:]
        details: Details = {"budget": rows, "pairs that are not 0": int((pairs != 0).sum())}
        return InteractionAttribution.from_pairs(
            pairs, game.players, self.name, target, n_evaluations=rows, details=details
        )


class _NothingVariesError(Exception):
    """All values are the same: there is nothing that trees could split, and every interaction is 0."""


def _ask(game: Game, asked: NDArray[Any]) -> Values:
    values = game(np.asarray(asked, dtype=np.bool_))
    if np.ptp(values) == 0:
        raise _NothingVariesError
    return values
