"""All metrics of all attributions of one sample, with every distinct coalition evaluated once."""

from __future__ import annotations

from collections.abc import Sequence

from toolkit.games.attribution import Attribution
from toolkit.games.game import CachedGame, Game
from toolkit.synergy.metric_plan import plan_metrics
from toolkit.synergy.metrics import DEFAULT_METRICS, METRICS
from toolkit.synergy.ordering import check_attribution
from toolkit.synergy.score import Score


def evaluate_all(
    game: Game, attributions: Sequence[Attribution], steps: int = 10, *, metrics: Sequence[str] = DEFAULT_METRICS
) -> list[dict[str, Score]]:
    """Score several attributions of one sample by several metrics, asking the game once.

    The union of all coalitions is planned, evaluated in a single call, and every metric is computed from the cache.
    What the call costs is known beforehand: ``plan_metrics(attributions, metrics, steps).n_cells``.

    Args:
        game: The game.
        attributions: The orderings to judge.
        steps: K.
        metrics: Registry names.

    Returns:
        For each attribution, in the order given, its score by metric name.

    Raises:
        UnknownNameError: A metric that is not registered.
        TypeError: Something that is not an Attribution.
        ValueError: An attribution that explains something else, or nothing to evaluate.
    """
    for attribution in attributions:
        check_attribution(game, attribution)
    cache = CachedGame(game)
    cache(plan_metrics(attributions, metrics, steps).cells)
    return [{name: METRICS[name].score(cache, att, steps) for name in metrics} for att in attributions]
