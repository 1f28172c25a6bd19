"""Explainers: one per file, and one call for all of them."""

from toolkit.explainers.base import EXPLAINERS, Explainer, draws, explain, get_explainer
from toolkit.explainers.plugin import check_explainer, explainer, load_explainer, register
from toolkit.games.attribution import Attribution

__all__ = [
    "EXPLAINERS",
    "Attribution",
    "Explainer",
    "check_explainer",
    "draws",
    "explain",
    "explainer",
    "get_explainer",
    "load_explainer",
    "register",
]
