"""All metrics of all attributions of one sample: planned together, asked once, read from one table of values.

With K steps the default metrics of one attribution ask for 8 K - 4 distinct coalitions over 2 K distinct images (76 and
20 at K = 10), and each further attribution that shares nothing with the others adds 8 (K - 1) coalitions and 2 (K - 1)
images, since the four corners and the two extreme images are common: nine explainers need 652 and 164.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TypeAlias

import numpy as np

from toolkit.games.attribution import Attribution
from toolkit.games.coalition_plan import CoalitionPlan, plan_coalitions
from toolkit.games.game import Game, check_coalitions
from toolkit.games.target import unit_of
from toolkit.synergy.metrics import DEFAULT_METRICS, METRICS, Metric
from toolkit.synergy.ordering import check_attribution, curve_fractions
from toolkit.synergy.score import Score, ask_or_why, in_unit
from toolkit.typing import Coalitions

_Request: TypeAlias = tuple[int, Callable[[Attribution, int], Coalitions]]
"""An attribution by its number, and what asks for its coalitions."""


@dataclass(frozen=True)
class MetricPlan:
    """The coalitions of some metrics of some attributions, and where each finds its own among them.

    Attributes:
        coalitions: Each distinct coalition once.
        slices: Which of the requested coalitions belong to an attribution and to what asked for them.
    """

    coalitions: CoalitionPlan
    slices: dict[_Request, slice]


def _metrics(metrics: Sequence[str | Metric]) -> dict[str, Metric]:
    """Metrics by the name under which they were asked for."""
    for metric in metrics:
        if not isinstance(metric, str | Metric):
            raise TypeError(
                f"expected names of metrics, or metrics, got {metric!r}; decorate a score with @metric(...)"
            )
    found = {m if isinstance(m, str) else m.spec.name: METRICS[m] if isinstance(m, str) else m for m in metrics}
    if len(found) < len(metrics):
        raise ValueError(f"two of {len(metrics)} metrics have the same name; expected different ones: {list(found)}")
    return found


def _plan(attributions: Sequence[Attribution], metrics: Sequence[Metric], steps: int) -> MetricPlan:
    if not attributions or not metrics:
        raise ValueError(f"nothing to plan: {len(attributions)} attributions, {len(metrics)} metrics")
    curve_fractions(steps)  # whether or not a metric uses it
    players = attributions[0].players
    for attribution in attributions:
        if attribution.players != players:
            raise ValueError(
                f"{attribution.explainer!r} has other players than {attributions[0].explainer!r}; plan by sample"
            )
    parts: list[Coalitions] = []
    slices: dict[_Request, slice] = {}
    start = 0
    asked = {metric.coalitions: metric.spec.name for metric in reversed(metrics)}
    for number, attribution in enumerate(attributions):
        for ask, name in asked.items():
            try:
                parts.append(check_coalitions(ask(attribution, steps), players))
            except (TypeError, ValueError) as error:
                raise type(error)(f"the coalitions of the metric {name!r}: {error}") from error
            slices[number, ask] = slice(start, start + len(parts[-1]))
            start += len(parts[-1])
    return MetricPlan(plan_coalitions(np.concatenate(parts), players), slices)


def plan_metrics(
    attributions: Sequence[Attribution], metrics: Sequence[str | Metric] = DEFAULT_METRICS, steps: int = 10
) -> CoalitionPlan:
    """Plan the coalitions that some metrics of some attributions of one sample need together.

    Raises:
        UnknownNameError: A metric that is not registered.
        ValueError: Nothing to plan, or attributions of different players.

    Example:
        >>> import numpy as np, toolkit
        >>> from toolkit.games.analytic import and_gate
        >>> from toolkit.synergy import plan_metrics
        >>> found = toolkit.Attribution(np.arange(40.0), and_gate(20, 20).players, "mine", "yes")
        >>> plan_metrics([found]).n_coalitions, plan_metrics([found]).n_images
        (76, 20)
    """
    return _plan(attributions, list(_metrics(metrics).values()), steps).coalitions


def evaluate_all(
    game: Game, attributions: Sequence[Attribution], steps: int = 10, *,
    metrics: Sequence[str | Metric] = DEFAULT_METRICS,
) -> list[dict[str, Score]]:  # fmt: skip
    """Score several attributions of one sample by several metrics, asking the game once.

    The union of all coalitions is asked in a single call, each distinct one once, and every metric reads its own
    values. What the call costs is known beforehand: ``plan_metrics(attributions, metrics, steps).n_coalitions``.

    Args:
        game: The game.
        attributions: The orderings to judge.
        steps: K.
        metrics: Registry names, or metrics.

    Returns:
        For each attribution, in the order given, its score by metric name; where a metric raises, NaN with the reason.

    Raises:
        UnknownNameError: A metric that is not registered.
        TypeError: Something that is not an Attribution.
        ValueError: An attribution that explains something else, or nothing to evaluate.

    Example:
        >>> import numpy as np, toolkit
        >>> from toolkit.games.analytic import and_gate
        >>> from toolkit.synergy import evaluate_all
        >>> game = and_gate(4, 2, image=[0], text=[1])
        >>> found = toolkit.Attribution(np.array([1.0, 0, 0, 0, 0, 1.0]), game.players, "mine", "yes")
        >>> [scores] = evaluate_all(game, [found], metrics=["f-syn", "total-interaction"])
        >>> {name: round(score.value, 3) for name, score in scores.items()}
        {'f-syn': 0.75, 'total-interaction': 1.0}
    """
    for attribution in attributions:
        check_attribution(game, attribution)
    by_name = _metrics(metrics)
    plan = _plan(attributions, list(by_name.values()), steps)
    asked, why = ask_or_why(game, plan.coalitions.coalitions)
    values = plan.coalitions.spread(asked)
    values.flags.writeable = False  # several metrics read them
    costs = {at: len(np.unique(plan.coalitions.inverse[part])) for at, part in plan.slices.items()}

    def score(number: int, metric: Metric) -> Score:
        at = (number, metric.coalitions)
        try:
            found = metric.score(values[plan.slices[at]], attributions[number], steps)
            if not isinstance(found, Score):
                raise TypeError(f"its score is {found!r}, expected a Score")
            found = found if why is None or found.reason is None else replace(found, reason=why)
        except Exception as error:  # whatever somebody's metric raises; the others are scored
            reason = f"{metric.spec.name} raised {type(error).__name__}: {error}"
            found = Score(metric.spec, float("nan"), np.empty(0), np.empty(0), reason=reason)
        return replace(in_unit(found, unit_of(attributions[number].target)), n_evaluations=costs[at])

    return [{name: score(n, metric) for name, metric in by_name.items()} for n in range(len(attributions))]
