"""Metrics of explanations over games: curves, symmetric relevance gain, synergistic faithfulness and its relatives."""

from toolkit.plan import Plan, plan_coalitions
from toolkit.synergy.curves import InsertionDeletion, insertion_deletion
from toolkit.synergy.evaluation import evaluate_all
from toolkit.synergy.faithfulness import SynergyScore, synergistic_faithfulness, total_interaction
from toolkit.synergy.gain import GainScore, synergy_gain
from toolkit.synergy.metrics import DEFAULT_METRICS, METRICS, Metric
from toolkit.synergy.ordering import top_coalitions
from toolkit.synergy.plan import plan_metrics
from toolkit.synergy.recovered import RecoveredScore, recovered_synergy
from toolkit.synergy.score import MetricSpec, Score
from toolkit.synergy.surface import SynergySurface, synergy_surface
from toolkit.synergy.surrogate import macro_game_sii

__all__ = [
    "DEFAULT_METRICS",
    "METRICS",
    "GainScore",
    "InsertionDeletion",
    "Metric",
    "MetricSpec",
    "Plan",
    "RecoveredScore",
    "Score",
    "SynergyScore",
    "SynergySurface",
    "evaluate_all",
    "insertion_deletion",
    "macro_game_sii",
    "plan_coalitions",
    "plan_metrics",
    "recovered_synergy",
    "synergistic_faithfulness",
    "synergy_gain",
    "synergy_surface",
    "top_coalitions",
    "total_interaction",
]
