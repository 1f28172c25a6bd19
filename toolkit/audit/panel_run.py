"""The results of a validation run: panel, studies and time."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

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

    def save(self, folder: Path, asked: Mapping[str, Any]) -> None:
        """Write the tables and, last, what was asked."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / _ASKED).unlink(missing_ok=True)
        for one in fields(self):
            getattr(self, one.name).to_parquet(folder / f"{one.name}.parquet")
        (folder / _ASKED).write_text(json.dumps(asked), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path, asked: Mapping[str, Any]) -> Study | None:
        """The tables that were kept, or None where there are none or something else was asked."""
        kept = folder / _ASKED
        if not kept.exists() or json.loads(kept.read_text(encoding="utf-8")) != json.loads(json.dumps(asked)):
            return None
        return cls(*(pd.read_parquet(folder / f"{one.name}.parquet") for one in fields(cls)))


_ASKED = "asked.json"


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
