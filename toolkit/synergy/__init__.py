"""Metrics of explanations over games: curves, symmetric relevance gain, synergistic faithfulness and its relatives."""

from toolkit.games.coalition_plan import CoalitionPlan, plan_coalitions
from toolkit.synergy.evaluate import evaluate_all, plan_metrics
from toolkit.synergy.f_syn import SynergyScore, synergistic_faithfulness, total_interaction
from toolkit.synergy.gain import GainScore, synergy_gain
from toolkit.synergy.macro_sii import macro_game_sii
from toolkit.synergy.metrics import DEFAULT_METRICS, METRICS, Metric, metric
from toolkit.synergy.ordering import top_coalitions
from toolkit.synergy.recovered import RecoveredScore, recovered_synergy
from toolkit.synergy.score import MetricSpec, Score
from toolkit.synergy.srg import InsertionDeletion, insertion_deletion
from toolkit.synergy.surface import SynergySurface, synergy_surface

__all__ = [
    "DEFAULT_METRICS",
    "METRICS",
    "CoalitionPlan",
    "GainScore",
    "InsertionDeletion",
    "Metric",
    "MetricSpec",
    "RecoveredScore",
    "Score",
    "SynergyScore",
    "SynergySurface",
    "evaluate_all",
    "insertion_deletion",
    "macro_game_sii",
    "metric",
    "plan_coalitions",
    "plan_metrics",
    "recovered_synergy",
    "synergistic_faithfulness",
    "synergy_gain",
    "synergy_surface",
    "top_coalitions",
    "total_interaction",
]
