"""The registry of metrics: what each is called, which coalitions it needs, and how it is scored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from toolkit.games.attribution import Attribution
from toolkit.games.game import Game, corner_coalitions
from toolkit.registry import PluginError, Registry, import_plugin
from toolkit.synergy.f_syn import (
    F_SYN,
    F_SYN_INTERIOR,
    F_SYN_NORMALISED,
    F_SYN_PAPER,
    TOTAL_INTERACTION,
    SynergyScore,
    read_synergy,
    read_total,
    synergy_coalitions,
)
from toolkit.synergy.gain import F_SYN_GAIN, F_SYN_RECOVERED, F_SYN_SHARE, GainScore, gain_coalitions, read_gain
from toolkit.synergy.ordering import check_attribution
from toolkit.synergy.pair_metrics import (
    PAIR_GAIN,
    PAIR_R2,
    held_out_coalitions,
    pair_gain_coalitions,
    read_pair_gain,
    read_pair_r2,
)
from toolkit.synergy.recovered import SURFACE_RECOVERED, read_recovered, recovered_coalitions, surface_steps
from toolkit.synergy.score import MetricSpec, Score, ask_and_read
from toolkit.synergy.srg import SRG, insertion_deletion_coalitions, read_insertion_deletion
from toolkit.synergy.surface import F_SYN_VOLUME, read_surface, surface_coalitions
from toolkit.typing import Coalitions, Modality, Values


@dataclass(frozen=True)
class Metric:
    """A metric of an attribution: which coalitions it asks for, and how it reads their values.

    It never holds a game. Whoever measures asks the game once for the coalitions of all metrics together; metrics with
    the same ``coalitions`` are views of one measurement.

    Attributes:
        spec: What it is called and how to read it.
        coalitions: Shape (n_coalitions, n_players): what it asks for, from an attribution and a number of steps.
        score: The score, from their values (n_coalitions,), the attribution and the number of steps.
    """

    spec: MetricSpec
    coalitions: Callable[[Attribution, int], Coalitions]
    score: Callable[[Values, Attribution, int], Score]

    def __call__(self, game: Game, attribution: Attribution, steps: int = 10) -> Score:
        """The score of one attribution on one game.

        Raises:
            TypeError: Not an Attribution.
            ValueError: The attribution explains something else, or the steps are not valid.
        """
        check_attribution(game, attribution)
        asked = self.coalitions(attribution, steps)
        return ask_and_read(game, asked, lambda values: self.score(values, attribution, steps), attribution.target)


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


Read: TypeAlias = Callable[[Values, Attribution, int], Score]


def metric(spec: MetricSpec, *, coalitions: Callable[[Attribution, int], Coalitions]) -> Callable[[Read], Metric]:
    """Register a metric: written above its score function, which it turns into the metric.

    Args:
        spec: What it is called and how to read it.
        coalitions: Shape (n_coalitions, n_players): what it asks for, from an attribution and a number of steps.

    Raises:
        ValueError: The name is taken.

    Example:
        >>> import numpy as np
        >>> from toolkit.games.analytic import and_gate
        >>> from toolkit.synergy import METRICS, MetricSpec, Score, metric
        >>> spec = MetricSpec("whole", 1, (0.0, 1.0), "probability", "none")
        >>> def everybody(attribution, steps):
        ...     return np.ones((1, attribution.players.n), dtype=bool)
        >>> @metric(spec, coalitions=everybody)
        ... def whole(values, attribution, steps):
        ...     return Score(spec, float(values[0]), np.ones(1), values)
        >>> METRICS["whole"] is whole
        True
        >>> METRICS.remove("whole")
    """

    def decorate(score: Read) -> Metric:
        return METRICS.add(spec.name, Metric(spec, coalitions, score))

    return decorate


DEFAULT_METRICS = ("srg-image", "srg-text", "f-syn", "f-syn-paper", "f-syn-interior", "total-interaction")
"""The paper's metrics and their signed counterparts: at K = 10 exactly 76 coalitions over 20 images together."""


def _srg(modality: Modality) -> Metric:
    def coalitions(attribution: Attribution, steps: int) -> Coalitions:
        return insertion_deletion_coalitions(attribution, modality, steps)

    return Metric(
        SRG[modality], coalitions, lambda values, _, steps: read_insertion_deletion(values, modality, steps).srg
    )


def _synergy(spec: MetricSpec, view: Callable[[SynergyScore], Score]) -> Metric:
    return Metric(spec, synergy_coalitions, lambda values, _, steps: view(read_synergy(values, steps)))


def _gain(spec: MetricSpec, view: Callable[[GainScore], Score]) -> Metric:
    return Metric(spec, gain_coalitions, lambda values, _, steps: view(read_gain(values, steps)))


def _recovered_coalitions(attribution: Attribution, steps: int) -> Coalitions:
    return recovered_coalitions(attribution, surface_steps(steps))


def _corners(attribution: Attribution, steps: int) -> Coalitions:
    return corner_coalitions(attribution.players)


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
    Metric(F_SYN_VOLUME, surface_coalitions, lambda values, _, steps: read_surface(values, steps).volume),
    Metric(
        SURFACE_RECOVERED, _recovered_coalitions, lambda values, _, steps: read_recovered(values, surface_steps(steps))
    ),
    Metric(TOTAL_INTERACTION, _corners, lambda values, _, steps: read_total(values)),
    Metric(PAIR_GAIN, pair_gain_coalitions, read_pair_gain),
    Metric(PAIR_R2, held_out_coalitions, read_pair_r2),
):
    METRICS.add(_metric.spec.name, _metric)
