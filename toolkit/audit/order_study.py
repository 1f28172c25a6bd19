"""Study of orders: how many players does a joint effect take, and how much of it undoes itself?

The question and the rule were written down before the study was run: ``notebooks/site/studies.md``.
"""

from __future__ import annotations

import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit.audit.study_rows import Watch, mean_table, side, study_rows
from toolkit.datasets.sample import Sample
from toolkit.games.order_profile import group_cells, group_words, order_profile
from toolkit.vlm.protocol import VLM

PAIRS_SUFFICE, CANCELS = 0.5, 0.5
"""The rule: pairs suffice where the interval of the share beyond pairs lies below the first, a joint effect undoes
itself where that of the cancellation index lies above the second; between them nothing is said."""


@dataclass(frozen=True)
class OrderStudy:
    """Order profiles of samples of several models.

    Attributes:
        rows: ``model, sample, image_id, family, gate, total, cancellation, beyond_pairs, n_evaluations, seconds,
            cpu_seconds`` (of this process) and one column ``gross 2``, ``gross 3``, ... per order.
    """

    rows: pd.DataFrame

    def table(self, *by: str) -> pd.DataFrame:
        """Mean of both shares with intervals clustered by image, per model or other columns."""
        return mean_table(self.rows, by or ["model"], ["beyond_pairs", "cancellation"])

    def by_family(self) -> pd.DataFrame:
        """The table per twin (the end of a model's name) and family of question."""
        twins = self.rows.assign(twin=self.rows["model"].str.rpartition("-")[2])
        return OrderStudy(twins).table("twin", "family")

    def verdict(self) -> str:
        """The rule, applied to every model."""
        said = []
        for row in self.table().to_dict("records"):
            beyond = _say(row, "beyond_pairs", PAIRS_SUFFICE, "most of it needs three or more", "pairs hold most of it")
            undone = _say(row, "cancellation", CANCELS, "most of it undoes itself", "little of it undoes itself")
            said.append(f"{row['model']}: {beyond}; {undone}.")
        return " ".join(said)


def _say(row: Mapping[Hashable, Any], column: str, bound: float, above: str, below: str) -> str:
    share = f"{100 * row[column]:.0f} %"
    return f"{('undecided', above, below)[side(row, column, bound)]} ({share})"


def order_study(
    vlms: Sequence[VLM],
    samples: Sequence[Sample],
    folder: Path,
    *,
    n_cells: int = 10,
    n_words: int = 4,
    watch: Watch | None = None,
) -> OrderStudy:
    """Order profile of every sample of every model, kept in a folder so that a stopped study goes on.

    All models are asked about a sample before the next one, so a study that is stopped has as many samples of each.

    Args:
        vlms: The models.
        samples: The samples.
        folder: Where ``orders.jsonl`` is kept.
        n_cells: Image groups at most: single cells and the background.
        n_words: Text groups at most.
        watch: Called as watch(done, total) after every profile.

    Raises:
        ValueError: The folder holds another study, or the groups are too many.
    """
    head = {"study": "orders", "models": [vlm.name for vlm in vlms], "n_cells": n_cells, "n_words": n_words}
    units = {
        f"{vlm.name}/{sample.id}": partial(_measure, vlm, sample, n_cells, n_words)
        for sample in samples
        for vlm in vlms
    }
    return OrderStudy(study_rows(folder / "orders.jsonl", head, units, watch))


def _measure(vlm: VLM, sample: Sample, n_cells: int, n_words: int) -> list[dict[str, Any]]:
    start, cpu = time.perf_counter(), time.process_time()
    game = vlm.game(sample)
    profile = order_profile(
        game,
        image_groups=group_cells(np.asarray(sample.sheet), vlm.regions(sample), n_cells),
        text_groups=group_words(game.players, n_words),
    )
    row = {
        "model": vlm.name, "sample": sample.id, "image_id": sample.image_id or sample.id,
        "family": sample.truth.family if sample.truth else "", "gate": sample.truth.gate if sample.truth else "",
        "total": profile.total, "cancellation": profile.cancellation, "beyond_pairs": profile.beyond_pairs,
        "n_evaluations": profile.n_evaluations, "seconds": time.perf_counter() - start,
        "cpu_seconds": time.process_time() - cpu,
    }  # fmt: skip
    return [row | {f"gross {k}": float(g) for k, g in zip(profile.orders, profile.gross, strict=True)}]
