"""Redundancy: corners, gates, modality shares and information of a model's answers."""

from toolkit.redundancy.corners import CornerRecord, corners_of
from toolkit.redundancy.diagnose import diagnose
from toolkit.redundancy.pid import Decomposition, decompose_joint
from toolkit.redundancy.redundancy_report import RedundancyReport
from toolkit.redundancy.shares import mm_shap_share, modality_shares

__all__ = [
    "CornerRecord",
    "Decomposition",
    "RedundancyReport",
    "corners_of",
    "decompose_joint",
    "diagnose",
    "mm_shap_share",
    "modality_shares",
]
