"""Study of orders: how many players does a joint effect take, and how much of it undoes itself?

The question and the rule were written down before the study was run: ``notebooks/site/studies.md``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from toolkit.datasets.sample import Sample
from toolkit.games.order_profile import group_cells, group_words, order_profile
from toolkit.stats.estimates import clustered_mean
from toolkit.vlm.protocol import VLM

PAIRS_SUFFICE, CANCELS = 0.5, 0.5
"""The rule: pairs suffice where the interval of the share beyond pairs lies below the first, a joint effect undoes
itself where that of the cancellation index lies above the second; between them nothing is said."""


@dataclass(frozen=True)
class OrderStudy:
    """Order profiles of samples of several models.

    Attributes:
        rows: ``model, sample, image_id, family, gate, total, cancellation, beyond_pairs, seconds, n_evaluations`` and
            one column ``gross 2``, ``gross 3``, ... per order.
    """

    rows: pd.DataFrame

    def table(self, by: str = "model") -> pd.DataFrame:
        """Mean of both shares with intervals clustered by picture, per model or another column."""
        found = []
        for name, group in self.rows.groupby(by, sort=False):
            row: dict[str, object] = {by: name, "n_samples": len(group)}
            for column in ("beyond_pairs", "cancellation"):
                known = group.dropna(subset=[column])
                estimate = clustered_mean(known[column], known["image_id"], rng=np.random.default_rng(0))
                row |= {column: estimate.mean, f"{column} low": estimate.low, f"{column} high": estimate.high}
            found.append(row)
        return pd.DataFrame(found)

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
    if row[f"{column} low"] > bound:
        return f"{above} ({share})"
    return f"{below} ({share})" if row[f"{column} high"] < bound else f"undecided ({share})"


def order_study(
    vlms: Sequence[VLM],
    samples: Sequence[Sample],
    folder: Path,
    *,
    n_cells: int = 10,
    n_words: int = 4,
    watch: Callable[[int, int], None] | None = None,
) -> OrderStudy:
    """Order profile of every sample of every model, kept in a folder so that a stopped study goes on.

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
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "orders.jsonl"
    head = {"study": "orders", "models": [vlm.name for vlm in vlms], "n_cells": n_cells, "n_words": n_words}
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    if lines and json.loads(lines[0]) != head:
        raise ValueError(f"{path} holds another study: {lines[0]}, not {json.dumps(head)}; give another folder")
    whole = [line for line in lines[1:] if line.endswith("}")]
    rows = [json.loads(line) for line in whole]
    known = {(row["model"], row["sample"]) for row in rows}
    path.write_text("\n".join([json.dumps(head), *whole]) + "\n", encoding="utf-8")
    asked = [(vlm, sample) for vlm in vlms for sample in samples]
    with path.open("a", encoding="utf-8") as file:
        for done, (vlm, sample) in enumerate(asked, 1):
            if (vlm.name, sample.id) not in known:
                start = time.perf_counter()
                game = vlm.game(sample)
                profile = order_profile(
                    game,
                    image_groups=group_cells(np.asarray(sample.image), vlm.regions(sample), n_cells),
                    text_groups=group_words(game.players, n_words),
                )
                row = {
                    "model": vlm.name, "sample": sample.id, "image_id": sample.image_id or sample.id,
                    "family": sample.truth.family if sample.truth else "",
                    "gate": sample.truth.gate if sample.truth else "",
                    "total": profile.total, "cancellation": profile.cancellation, "beyond_pairs": profile.beyond_pairs,
                    "n_evaluations": profile.n_evaluations, "seconds": time.perf_counter() - start,
                    **{f"gross {k}": float(g) for k, g in zip(profile.orders, profile.gross, strict=True)},
                }  # fmt: skip
                rows.append(row)
                file.write(json.dumps(row) + "\n")
                file.flush()
            if watch is not None:
                watch(done, len(asked))
    return OrderStudy(pd.DataFrame(rows))
