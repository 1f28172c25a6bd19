"""The registry of metrics: what each is called, which coalitions it needs, and how it is scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from toolkit.games.attribution import Attribution
from toolkit.games.game import Game
from toolkit.registry import PluginError, Registry, import_plugin
from toolkit.synergy.f_syn import (
    F_SYN,
    F_SYN_INTERIOR,
    F_SYN_NORMALISED,
    F_SYN_PAPER,
    TOTAL_INTERACTION,
    SynergyScore,
    corner_cells,
    synergistic_faithfulness,
    synergy_cells,
    total_interaction,
)
from toolkit.synergy.gain import F_SYN_GAIN, F_SYN_RECOVERED, F_SYN_SHARE, GainScore, gain_cells, synergy_gain
from toolkit.synergy.recovered import SURFACE_RECOVERED, recovered_cells, recovered_synergy, surface_steps
from toolkit.synergy.score import MetricSpec, Score
from toolkit.synergy.srg import SRG, insertion_deletion, insertion_deletion_cells
from toolkit.synergy.surface import F_SYN_VOLUME, surface_cells, synergy_surface
from toolkit.typing import Coalitions, Modality


@dataclass(frozen=True)
class Metric:
    """A metric of an attribution on a game.

    Attributes:
        spec: What it is called and how to read it.
        cells: The coalitions that it asks for, from an attribution and a number of steps; values play no part.
        score: The score, from a game, an attribution and a number of steps.
    """

    spec: MetricSpec
    cells: Callable[[Attribution, int], Coalitions]
    score: Callable[[Game, Attribution, int], Score]


def _from_path(path: str) -> Metric:
    """The metric ``"module:attribute"``.

    Raises:
        PluginError: There is none of this name.
    """
    found = import_plugin(path)
    if not isinstance(found, Metric):
        raise PluginError(f"{path!r} is {type(found).__name__}, not a Metric; decorate its score function with @metric")
    return found


METRICS: Registry[Metric] = Registry("metric", from_path=_from_path)


def metric(
    spec: MetricSpec, *, coalitions: Callable[[Attribution, int], Coalitions]
) -> Callable[[Callable[[Game, Attribution, int], Score]], Metric]:
    """Register a metric: written above its score function, which it turns into the metric.

    Args:
        spec: What it is called and how to read it.
        coalitions: Shape (n_coalitions, n_players): what it asks for, from an attribution and a number of steps.

    Raises:
        ValueError: The name is taken.

    Example:
        >>> import numpy as np
        >>> from toolkit.synergy import METRICS, MetricSpec, Score, metric
        >>> spec = MetricSpec("whole", 1, (0.0, 1.0), "probability", "none")
        >>> def everybody(attribution, steps):
        ...     return np.ones((1, attribution.players.n), dtype=bool)
        >>> @metric(spec, coalitions=everybody)
        ... def whole(game, attribution, steps):
        ...     value = game(everybody(attribution, steps))
        ...     return Score(spec, float(value[0]), np.ones(1), value, 1)
        >>> METRICS["whole"] is whole
        True
        >>> METRICS.remove("whole")
    """

    def decorate(score: Callable[[Game, Attribution, int], Score]) -> Metric:
        return METRICS.add(spec.name, Metric(spec, coalitions, score))

    return decorate


DEFAULT_METRICS = ("srg-image", "srg-text", "f-syn", "f-syn-paper", "f-syn-interior", "total-interaction")
"""The paper's metrics and their signed counterparts: at K = 10 exactly 76 coalitions over 20 images together."""


def _srg(modality: Modality) -> Metric:
    def cells(attribution: Attribution, steps: int) -> Coalitions:
        return insertion_deletion_cells(attribution, modality, steps)

    def score(game: Game, attribution: Attribution, steps: int) -> Score:
        return insertion_deletion(game, attribution, modality=modality, steps=steps).srg

    return Metric(SRG[modality], cells, score)


def _synergy(spec: MetricSpec, view: Callable[[SynergyScore], Score]) -> Metric:
    def score(game: Game, attribution: Attribution, steps: int) -> Score:
        return view(synergistic_faithfulness(game, attribution, steps))

    return Metric(spec, synergy_cells, score)


def _gain(spec: MetricSpec, view: Callable[[GainScore], Score]) -> Metric:
    def score(game: Game, attribution: Attribution, steps: int) -> Score:
        return view(synergy_gain(game, attribution, steps))

    return Metric(spec, gain_cells, score)


def _volume(game: Game, attribution: Attribution, steps: int) -> Score:
    return synergy_surface(game, attribution, steps).volume


def _recovered_cells(attribution: Attribution, steps: int) -> Coalitions:
    return recovered_cells(attribution, surface_steps(steps))


def _recovered(game: Game, attribution: Attribution, steps: int) -> Score:
    return recovered_synergy(game, attribution, surface_steps(steps))


def _total_cells(attribution: Attribution, steps: int) -> Coalitions:
    return corner_cells(attribution.players)


def _total(game: Game, attribution: Attribution, steps: int) -> Score:
    return total_interaction(game)


for _metric in (
    _srg("image"),
    _srg("text"),
    _synergy(F_SYN, lambda score: score),
    _synergy(F_SYN_PAPER, lambda score: score.paper),
    _synergy(F_SYN_NORMALISED, lambda score: score.normalised),
    _synergy(F_SYN_INTERIOR, lambda score: score.interior),
    _gain(F_SYN_GAIN, lambda score: score),
    _gain(F_SYN_RECOVERED, lambda score: score.recovered),
    _gain(F_SYN_SHARE, lambda score: score.share),
    Metric(F_SYN_VOLUME, surface_cells, _volume),
    Metric(SURFACE_RECOVERED, _recovered_cells, _recovered),
    Metric(TOTAL_INTERACTION, _total_cells, _total),
):
    METRICS.add(_metric.spec.name, _metric)
