"""One page about one explainer, beside others on the same samples: validity, faithfulness, plausibility, cost.

Every section is a table of means with standard errors; nothing is summed up into a single mark.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit.audit.explainers import sanity_checks
from toolkit.audit.explainers.plausibility import plausibility
from toolkit.audit.explainers.sensitivity import sensitivity
from toolkit.datasets.sample import Sample
from toolkit.explainers.base import ExplainerLike, explain, get_explainer
from toolkit.explainers.plugin import Check, check_explainer, format_error
from toolkit.measuring import measure
from toolkit.reporting.page import frame_table, page, table, text
from toolkit.stats.rank_agreement import mean_and_error
from toolkit.stats.verdict import CONTROLS, judge
from toolkit.synergy.recovered import SURFACE_RECOVERED
from toolkit.vlm.protocol import VLM

BESIDE = ("oracle", "integrated-gradients", "occlusion", "attention-last", "random", "anti-oracle")
"""What a new explainer is compared with unless told otherwise."""

NEEDED = ("shape", "target", "nothing left behind", "every sample")
"""Checks without which there is nothing to measure, or no longer the model to measure it on."""

HEADLINE = SURFACE_RECOVERED.name
METRICS = (HEADLINE, "f-syn", "f-syn-paper", "srg-image", "srg-text")

_NOTES = {
    "checks": "What every explainer must keep, tried on one sample; the last one on all.",
    "weight randomisation": "Rank correlation with the intact model's map after its weights were redrawn from the "
    "answer down to the stage. Near 0 at the end: the map describes the model.",
    "seeds": "Rank correlation between maps of different seeds: 1 for a deterministic explainer.",
    "question": "Rank correlation of image maps when another question is asked about the same picture.",
    "twins": "Share of the attribution on the words, for a twin that looks and one that answers from the words. A "
    "positive shift says that the map moved to the words.",
    "sensitivity-n": "Correlation of summed scores with what removing random sets of players costs.",
    "faithfulness": "Corrected score (0: as random orders; scored: share of samples whose interaction has one sign), "
    "signed and published synergistic faithfulness, insertion minus deletion area (srg).",
    "plausibility": "Whether the highest score lies on the evidence, and IoU with it; chance is a random map's.",
    "cost": "Per sample, on this machine.",
}


@dataclass(frozen=True)
class ReportCard:
    """The page as data.

    Attributes:
        name: The explainer that it is about.
        about: Its reference, cost and needs.
        checks: The rules that it kept or broke.
        tables: Section title -> table, in reading order.
        verdict: What may be said of its faithfulness, against random on the same images; empty without tables.
    """

    name: str
    about: str
    checks: tuple[Check, ...]
    tables: dict[str, pd.DataFrame]
    verdict: str = ""

    @property
    def passed(self) -> bool:
        """Whether every rule was kept."""
        return all(check.passed for check in self.checks)

    @property
    def without(self) -> str:
        """Why there are no tables; empty where there are."""
        if self.tables:
            return ""
        broken = [check.name for check in self.checks if not check.passed and check.name in NEEDED]
        return f"No tables: they need what is broken above ({', '.join(broken)}). Mend it and run again."

    def to_text(self) -> str:
        """The page for a terminal."""
        parts = [f"{self.name}: {self.about}", *filter(None, [self.verdict]), "", "checks"]
        parts += [f"  {'ok  ' if check.passed else 'FAIL'} {check.name}: {check.message}" for check in self.checks]
        parts += ["", self.without] if self.without else []
        for title, found in self.tables.items():
            parts += ["", title, found.to_string(index=False, float_format=lambda value: f"{value:.3f}")]
        return "\n".join(parts)

    def to_html(self) -> str:
        """The page for a browser, in one file."""
        states = [("kept" if c.passed else "<b>broken</b>", text(c.name), text(c.message)) for c in self.checks]
        checked = table(("", "check", ""), states)
        parts = [f"<h2>checks</h2><p>{_NOTES['checks']}</p>{checked}<p>{text(self.without)}</p>"]
        for title, found in self.tables.items():
            own = {i: "own" for i, row in enumerate(found.itertuples(index=False)) if self.name in row}
            note = f"<p>{text(_NOTES.get(title, ''))}</p>"
            parts.append(f"<h2>{text(title)}</h2>{note}{frame_table(found, classes=own)}")
        verdict = f'<div class="verdict"><p>{text(self.verdict)}</p></div>' if self.verdict else ""
        lead = f"{verdict}<p>{text(self.about)}</p>"
        return page(f"Report card: {self.name}", lead, heading=self.name, body="".join(parts))

    def write(self, path: Path) -> Path:
        """Write the page; returns its path.

        Raises:
            FileNotFoundError: The folder does not exist.
        """
        path.write_text(self.to_html(), encoding="utf-8")
        return path


def faithfulness(found: pd.DataFrame) -> pd.DataFrame:
    """Mean metric by explainer: ``<metric>`` and ``<metric>_se`` columns, ``n_samples``, and ``scored``, a share.

    Sorted by the corrected score, which leaves samples out whose interaction has no sign.

    Args:
        found: What ``toolkit.measure`` returned.
    """
    rows = []
    for name, own in found.groupby("explainer", sort=False):
        row: dict[str, float | int | str] = {"explainer": str(name)}
        for metric in METRICS:
            values = own.loc[own["metric"] == metric, "value"].tolist()
            row[metric], row[f"{metric}_se"], n = mean_and_error(values)
            row |= {"scored": n / len(values)} if metric == HEADLINE else {"n_samples": n}
        rows.append(row)
    return pd.DataFrame(rows).sort_values(HEADLINE, ascending=False, ignore_index=True)


def judgement(name: str, found: pd.DataFrame) -> str:
    """The verdict on one explainer by the corrected score, from what ``toolkit.measure`` returned."""
    own = found[found["metric"] == HEADLINE]
    table = own.pivot_table(index="image_id", columns="explainer", values="value", aggfunc="mean")
    judged = judge({str(each): table[each].to_numpy(float) for each in table.columns if each in (name, *CONTROLS)})
    return f"By the corrected score ({HEADLINE}): {judged.sentence()}"


def every_sample(explainer: ExplainerLike, vlm: VLM, samples: Sequence[Sample], *, seed: int = 0) -> Check:
    """Whether an explainer explains them all: questions have different lengths, and pictures different answers."""
    failed = []
    for sample in samples:
        try:
            explain(explainer, vlm, sample, seed=seed)
        except Exception as error:  # whatever somebody else's code raises
            failed.append(f"{sample.id}: {format_error(error)}")
    if not failed:
        return Check("every sample", True, f"{len(samples)} samples explained")
    return Check("every sample", False, f"fails on {len(failed)} of {len(samples)} samples; first {failed[0]}")


def report_card(
    explainer: ExplainerLike,
    models: Mapping[str, VLM],
    samples: Sequence[Sample],
    *,
    beside: Sequence[ExplainerLike] = BESIDE,
    seed: int = 0,
    n_sanity: int = 4,
) -> ReportCard:
    """Judge an explainer beside others.

    Args:
        explainer: A registry name, an explainer object or a function.
        models: ``"grounded"``, and ``"biased"`` where the shift between twins is wanted.
        samples: Samples with ground truth.
        beside: Explainers to compare with; the judged one is added.
        seed: Seed of everything.
        n_sanity: Samples for the checks that repeat the explainer many times; the first ones.

    Raises:
        ValueError: No grounded model, or no samples.
    """
    if "grounded" not in models or not samples:
        raise ValueError(f"expected a 'grounded' model and samples, got models {sorted(models)} and {len(samples)}")
    grounded, few = models["grounded"], samples[:n_sanity]
    judged = get_explainer(explainer)
    checks = tuple(check_explainer(judged, grounded, samples[0]))
    if all(check.passed for check in checks if check.name in NEEDED):
        checks = (*checks, every_sample(judged, grounded, samples, seed=seed))
    needs = ", ".join(sorted(judged.needs)) or "nothing declared"
    about = f"{judged.reference}; cost {judged.cost}; needs {needs}"
    if not all(check.passed for check in checks if check.name in NEEDED):
        return ReportCard(judged.name, about, checks, {})
    explainers: list[ExplainerLike] = [judged, *(m for m in beside if get_explainer(m).name != judged.name)]
    asked = [m for m in explainers if "truth" not in get_explainer(m).needs and get_explainer(m).name != "random"]
    measured = measure(grounded, samples, explainers, METRICS, seeds=[seed])
    tables = {
        "faithfulness": faithfulness(measured),
        "plausibility": plausibility(explainers, grounded, samples, seed=seed),
        "weight randomisation": _last(sanity_checks.weight_randomisation(asked, grounded, few, seed=seed)),
        **({"question": sanity_checks.question_randomisation(asked, grounded, few, seed=seed)} if len(few) > 1 else {}),
        "seeds": sanity_checks.seed_stability([judged], grounded, few),
        "sensitivity-n": sensitivity(explainers, grounded, few, seed=seed),
        "cost": sanity_checks.cost(explainers, grounded, few, seed=seed),
    }
    if "biased" in models:
        tables["twins"] = sanity_checks.twins(asked, grounded, models["biased"], samples, seed=seed)
    verdict = judgement(judged.name, measured)
    return ReportCard(judged.name, about, checks, {k: v for k, v in tables.items() if len(v)}, verdict)


def _last(found: pd.DataFrame) -> pd.DataFrame:
    """The first, middle and last stage of a cascade."""
    positions = np.unique(found["position"])
    shown = {positions[0], positions[len(positions) // 2], positions[-1]}
    return found[found["position"].isin(shown)].drop(columns="position").reset_index(drop=True)
