"""Faith-Shapley interactions between image cells and words: the pairs of the best surrogate of second order.

    min over g(S) = sum_{T in S, |T| <= 2} e_T  of  sum_S w(S) (v(S) - g(S))^2,  with g(nobody) and g(all) exact

with the Shapley kernel w; pairs_ij = e_{ij}. Where the game has no interactions of three or more players, this is the
Shapley interaction index; elsewhere the surrogate spreads them over pairs so that all of it adds up to v(all).

Reference: Tsai, Yeh and Ravikumar, 2023, Faith-Shap, arXiv 2203.00870; through shapiq.
Cost: as ``shapley-interaction``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from toolkit.explainers.shapley_interaction import ShapleyInteraction
from toolkit.extras import need


@dataclass(frozen=True)
class FaithShapleyInteraction(ShapleyInteraction):
    """Cross-modal pairs of the Faith-Shapley surrogate by shapiq's regression."""

    name: ClassVar[str] = "faith-shapley-interaction"
    reference: ClassVar[str] = "Tsai et al. 2023, arXiv 2203.00870"

    def approximator(self, n: int, seed: int) -> Any:
        """What estimates the index.

        Raises:
            ModuleNotFoundError: shapiq is not installed (extra ``shapley``).
        """
        need("shapley", self.name, otherwise="take banzhaf-interaction, which needs no more than the toolkit")
        from shapiq.approximator import RegressionFSII  # heavy: imported where it is used

        return RegressionFSII(n, max_order=2, pairing_trick=True, random_state=seed)
