"""Which coalitions the metrics of some attributions need together.

With K steps the default metrics of one attribution ask for 8 K - 4 distinct cells over 2 K distinct images (76 and 20
at K = 10), and each further attribution that shares nothing with the others adds 8 (K - 1) cells and 2 (K - 1) images,
since the four corners and the two extreme images are common: nine explainers need 652 and 164.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolkit.games.attribution import Attribution
from toolkit.games.coalition_plan import CoalitionPlan, plan_coalitions
from toolkit.synergy.metrics import DEFAULT_METRICS, METRICS


def plan_metrics(
    attributions: Sequence[Attribution], metrics: Sequence[str] = DEFAULT_METRICS, steps: int = 10
) -> CoalitionPlan:
    """Plan the coalitions that some metrics of some attributions of one sample need together.

    Raises:
        UnknownNameError: A metric that is not registered.
        ValueError: Nothing to plan, or attributions of different players.
    """
    if not attributions or not metrics:
        raise ValueError(f"nothing to plan: {len(attributions)} attributions, {len(metrics)} metrics")
    players = attributions[0].players
    for attribution in attributions:
        if attribution.players != players:
            raise ValueError(
                f"{attribution.explainer!r} has other players than {attributions[0].explainer!r}; plan by sample"
            )
    cells = [METRICS[name].cells(attribution, steps) for attribution in attributions for name in metrics]
    return plan_coalitions(np.concatenate(cells), players)
