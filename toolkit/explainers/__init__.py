"""Explainers: one per file, and one call for all of them."""

from toolkit.explainers.base import EXPLAINERS, Explainer, draws, explain, get_explainer
from toolkit.explainers.plugin import check_explainer, explainer, load_explainer, register
from toolkit.games.attribution import Attribution

PAPERS_EIGHT = (
    "integrated-gradients", "input-x-gradient", "grad-cam", "attn-lrp", "rollout", "grad-rollout", "tam", "llava-cam",
)  # fmt: skip
"""The eight that arXiv 2605.22168 compares."""

__all__ = [
    "EXPLAINERS",
    "PAPERS_EIGHT",
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
