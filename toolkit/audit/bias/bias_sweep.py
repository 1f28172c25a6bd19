"""The bias sweep: redundancy, rank agreement and F_syn as functions of prior strength, from grounded to biased.

The models in between are mixtures of the twins (``twins_mixed.py``), or the grounded twin trained on for some steps in
a world of that prior strength (``twins_trained.py``). Ranked are the explainers that need forward passes only: a
mixture has no gradients, and both kinds of sweep show the same quantities.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from toolkit.audit.metrics.study import StudySize, eligible, frame, study_explainers
from toolkit.audit.paper.collapse import collapse_table
from toolkit.datasets.sample import Sample
from toolkit.redundancy import diagnose
from toolkit.reporting.page import frame_table, page
from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.style import FAINT, MARKERS, PALETTE, new_figure, styled
from toolkit.vlm.protocol import VLM

if TYPE_CHECKING:
    from matplotlib.figure import Figure

BLACK_BOX = ("occlusion", "kernel-shap", "shapley-interaction", "random", "oracle", "anti-oracle")
QUANTITIES = ("total interaction", "text share", "language-prior rate", "gate, synergy", "gate, redundancy",
              "gate, text-only")  # fmt: skip
_UNITS = {"Redundancy": "share, or probability", "Agreement of rankings": "Kendall's tau", "Mean score": "probability"}
_METRICS = ("srg-image", "srg-text", "f-syn-paper", "f-syn", "f-syn-recovered")


@dataclass(frozen=True)
class BiasSweep:
    """What changes when the prior grows.

    Attributes:
        table: One row per strength and quantity: value, low, high.
        source: Where the in-between models come from.
    """

    table: pd.DataFrame = field(repr=False)
    source: str

    def wide(self) -> pd.DataFrame:
        """One row per quantity, one column per strength."""
        return self.table.pivot_table(index="quantity", columns="strength", values="value", sort=False)

    def drawing(self) -> Drawing:
        """Redundancy quantities, tau, and F_syn of the evidence, each against the prior strength."""
        panels = {
            "Redundancy": [q for q in QUANTITIES if q in set(self.table["quantity"])],
            "Agreement of rankings": [q for q in self.table["quantity"].unique() if q.startswith("tau")],
            "Mean score": [q for q in self.table["quantity"].unique() if q.startswith("score")],
        }
        with styled():
            figure = new_figure(11.0, 4.6)
            for axes, (title, names) in zip(figure.subplots(1, 3), panels.items(), strict=True):
                for i, name in enumerate(names):
                    rows = self.table[self.table["quantity"] == name].sort_values("strength")
                    x, y = rows["strength"].to_numpy(dtype=float), rows["value"].to_numpy(dtype=float)
                    axes.plot(x, y, marker=MARKERS[i], color=PALETTE[i % len(PALETTE)], label=name)
                    low, high = rows["low"].to_numpy(dtype=float), rows["high"].to_numpy(dtype=float)
                    axes.fill_between(x, low, high, color=PALETTE[i % len(PALETTE)], alpha=0.12)
                axes.axhline(0, color=FAINT, linewidth=0.8)
                axes.set_title(title, loc="left")
                axes.set_xlabel("prior strength")
                axes.set_ylabel(_UNITS[title])
                axes.legend(fontsize=7, loc="upper center", bbox_to_anchor=(0.5, -0.18))
        ends = self.table[self.table["strength"].isin([0.0, 1.0])]
        told = "; ".join(f"{r['quantity']} {r['value']:+.2f} at {r['strength']:g}" for r in ends.to_dict("records"))
        return Drawing(figure, f"Bias dial ({self.source}). {told}.")

    def figure(self) -> Figure:
        """The drawing's matplotlib figure."""
        return self.drawing().figure

    def write(self, out: Path, name: str) -> Path:
        """Write ``dial-<name>.html``, ``.csv`` and ``.png`` into a folder, which is made; returns the page's path."""
        out.mkdir(parents=True, exist_ok=True)
        self.table.to_csv(out / f"dial-{name}.csv", index=False)
        drawing = self.drawing()
        drawing.save(out / f"dial-{name}.png")
        path = out / f"dial-{name}.html"
        drawn = drawing.html("Bands: 95 % intervals over samples.")
        lead = f"<p>{html.escape(self.source)}</p>"
        path.write_text(
            page(f"Bias dial: {name}", lead, body=drawn + frame_table(self.wide().reset_index())), encoding="utf-8"
        )
        return path


def bias_sweep(
    models: Mapping[float, VLM],
    samples: Sequence[Sample],
    *,
    source: str,
    everyday: Sequence[Sample] = (),
    explainers: Sequence[str] = BLACK_BOX,
    seed: int = 0,
    progress: Callable[[str], None] | None = None,
) -> BiasSweep:
    """Measure models of growing prior strength on the same samples.

    Args:
        models: Model by prior strength.
        samples: What all of them are asked.
        everyday: Further samples for the redundancy quantities alone: questions with a stereotyped answer, where a
            prior has something to say.
        source: Where the in-between models come from, for the figure.
        explainers: The explainers that are ranked, and whose scores are averaged.
        seed: Seed of the bootstrap.
        progress: Called with a message per model.

    Raises:
        ValueError: No samples with localised evidence.
    """
    plan = replace(StudySize(), ranking=len(samples), settings=0, surrogate=0, explainers=tuple(explainers))
    rows: list[tuple[float, str, float, float, float]] = []
    for strength, vlm in sorted(models.items()):
        if progress is not None:
            progress(vlm.name)
        report = diagnose(vlm, [*samples, *everyday], seed=seed)
        rows += [(strength, name, report[name].value, report[name].low, report[name].high) for name in QUANTITIES]
        localised = eligible(vlm, samples, len(samples))
        if not localised:
            raise ValueError("no sample has localised evidence; the dial needs generated samples with their truth")
        table = frame(study_explainers(vlm, localised, _METRICS, plan, lambda message: None)[0])
        taus = collapse_table({vlm.name: table}, ("srg-image", "srg-text", "f-syn"), seed=seed)
        for tau in taus[taus["dataset"] == "all"].to_dict("records"):
            rows.append((strength, f"tau {tau['first']} / {tau['second']}", tau["tau"], tau["low"], tau["high"]))
        for metric in ("f-syn-paper", "f-syn", "f-syn-recovered"):
            for explainer in ("oracle", "random"):
                found = table[(table["metric"] == metric) & (table["explainer"] == explainer)]["value"].dropna()
                error = 1.96 * float(found.std() / np.sqrt(len(found))) if len(found) > 1 else float("nan")
                mean = float(found.mean())
                rows.append((strength, f"score {metric}, {explainer}", mean, mean - error, mean + error))
    columns = ["strength", "quantity", "value", "low", "high"]
    counted = f"Redundancy over {len(samples) + len(everyday)} samples, rankings and scores over {len(samples)}"
    return BiasSweep(pd.DataFrame(rows, columns=columns), f"{source} {counted}; ranked: {', '.join(explainers)}.")
