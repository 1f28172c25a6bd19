"""The results of a validation run: panel, studies and time."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from toolkit.audit.metrics.study import StudySize
from toolkit.audit.metrics.validity_panel import ValidityPanel


@dataclass(frozen=True)
class Study:
    """Everything measured on one model, as tables.

    Attributes:
        scores: One row per metric of an attribution of a sample under a setting.
        diagnosis: Redundancy quantities per dataset.
        surrogate: F_syn and the exact index at every k; empty where not asked for.
        flaws: Ablation of flaws; empty where not asked for, as on a biased twin.
    """

    scores: pd.DataFrame
    diagnosis: pd.DataFrame
    surrogate: pd.DataFrame
    flaws: pd.DataFrame


@dataclass(frozen=True)
class PanelRun:
    """What a validation computed.

    Attributes:
        panel: The judged entries.
        studies: Tables by model.
        plan: How many samples were asked.
        seconds: Wall-clock time.
    """

    panel: ValidityPanel
    studies: dict[str, Study] = field(repr=False)
    plan: StudySize
    seconds: float
