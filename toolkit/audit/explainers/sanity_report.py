"""All sanity checks of all explainers on one embedded model: one table to read, and the tables behind it.

A map that is the same although the model, its answers or the question were destroyed does not explain them. The rule,
fixed beforehand: a map *survives* a destruction if the 95 % interval of its mean rank correlation with the original
map lies above 0.5. Surviving is a failure; not surviving is necessary and proves nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pandas as pd
from scipy.stats import t as student

from toolkit.audit.explainers import sanity_checks
from toolkit.audit.explainers.plausibility import plausibility
from toolkit.audit.explainers.shuffled_labels import Shuffled, shuffled_twin
from toolkit.audit.explainers.stability import CHANGES, stability
from toolkit.datasets.sample import Sample
from toolkit.explainers import PAPERS_EIGHT
from toolkit.reporting.page import frame_table, page, paragraph, text
from toolkit.vlm.protocol import VLM

JUDGED = (*PAPERS_EIGHT, "attention-last", "occlusion", "random")
"""The paper's eight, and three controls: the simplest attention map, a map of the game itself, and noise."""

SURVIVES = 0.5
"""Rank correlation above which a map counts as unchanged."""

DESTRUCTIONS = ("random weights", "permuted answers", "another question")

_ABOUT = {
    "random weights": "Rank correlation with the intact model's map after weights were redrawn from the answer down to "
    "the stage, for the same answer.",
    "permuted answers": "Rank correlation and structural similarity with the map of a copy that was trained on "
    "permuted answers, for the same answer.",
    "another question": "Rank correlation of image maps when another sample's question is asked about the picture.",
    "seeds": "Rank correlation between maps of different seeds.",
    "twins": "Share of the absolute attribution on the words, for the grounded model and its biased twin.",
    "stability": "Rank correlation with the image map after another seed, another baseline, a shift by 2 % of the "
    "width, another wording. The outline of an image is steadiest: read it beside the controls oracle and random.",
    "plausibility": "Pointing game and IoU with the evidence by construction; chance is a random map's. Controls: "
    "oracle and random.",
    "cost": "Per sample on this machine: seconds, rows of forward passes, rows of backward passes.",
}


@dataclass(frozen=True)
class SanityReport:
    """What the sanity checks found.

    Attributes:
        model: The model's name.
        unlearnt: The copy that was trained on permuted answers, and what it still knows.
        tables: Title -> table, in reading order.
    """

    model: str
    unlearnt: Shuffled
    tables: dict[str, pd.DataFrame] = field(repr=False)

    def summary(self) -> pd.DataFrame:
        """One row per explainer: image-map correlations after each destruction, and the rest in one number each.

        Columns: the three destructions and ``seeds`` (mean rho), ``shift to words`` (share of the attribution), where a
        biased twin was there, ``points at cells`` and ``points at words`` (share), ``stable, CHANGE`` (mean rho of what
        should not matter), ``passes`` (rows), ``survives`` (names of the destructions that the map survived).
        """
        last = self.tables["random weights"].query("position == position.max() and modality == 'image'")
        answers = self.tables["permuted answers"].query("modality == 'image'")
        found = {
            "random weights": last, "permuted answers": answers, "another question": self.tables["another question"],
            "seeds": self.tables["seeds"],
        }  # fmt: skip
        by_explainer = {name: table.set_index("explainer") for name, table in found.items()}
        shown = pd.DataFrame({name: table["rho"] for name, table in by_explainer.items()})
        if "twins" in self.tables:
            shown["shift to words"] = self.tables["twins"].set_index("explainer")["shift"]
        pointing = self.tables["plausibility"].pivot_table(index="explainer", columns="modality", values="pointing")
        shown["points at cells"], shown["points at words"] = pointing["image"], pointing["text"]
        stable = self.tables["stability"].pivot_table(index="explainer", columns="change", values="rho", dropna=False)
        for change in CHANGES[1:]:
            shown[f"stable, {change}"] = stable[change]
        cost = self.tables["cost"].set_index("explainer")
        shown["passes"] = cost["n_evaluations"] + cost["n_gradients"]
        shown["survives"] = [
            ", ".join(name for name in DESTRUCTIONS if survives(by_explainer[name], str(explainer))) or "none"
            for explainer in shown.index
        ]
        order = self.tables["cost"]["explainer"]
        return shown.loc[list(order)].rename_axis("explainer")

    def sentence(self) -> str:
        """What the copy unlearnt, and who did not notice something."""
        u = self.unlearnt
        told = (
            f"After {u.n_steps} steps on permuted answers a copy of {self.model} answers {u.after:.0%} of {u.n_probe} "
            f"questions right (before: {u.before:.0%}; a guess: {u.chance:.0%})."
        )
        kept = {explainer: what for explainer, what in self.summary()["survives"].items() if what != "none"}
        names = "; ".join(f"{explainer} ({what})" for explainer, what in kept.items())
        return f"{told} Maps that survive a destruction: {names or 'none'}."

    def write(self, out: Path) -> Path:
        """Write ``sanity.html`` and every table as CSV into a folder, which is made; returns the page's path."""
        out.mkdir(parents=True, exist_ok=True)
        summary = self.summary()
        summary.assign(model=self.model).to_csv(out / "sanity.csv")
        parts = [
            paragraph(text(self.sentence())) + paragraph(
                f"A map survives if the 95 % interval of its mean rank correlation lies above {SURVIVES:g}: it then "
                "does not depend on what was destroyed. Not to survive is necessary and proves nothing."
            ),
            frame_table(summary.reset_index(), digits=2),
        ]  # fmt: skip
        for title, table in self.tables.items():
            table.to_csv(out / f"sanity-{title.replace(' ', '-')}.csv", index=False)
            parts.append(f"<h2>{text(title)}</h2>{paragraph(text(_ABOUT[title]))}{frame_table(table, digits=2)}")
        path = out / "sanity.html"
        path.write_text(page(f"Sanity checks: {self.model}", body="\n".join(parts)), encoding="utf-8")
        return path


def survives(table: pd.DataFrame, explainer: str) -> bool:
    """Whether the 95 % interval of an explainer's mean rho (Student's t) lies above the bound; never of one sample."""
    rho, error, n = (float(table.loc[explainer, column]) for column in ("rho", "rho_se", "n_samples"))  # type: ignore[arg-type]
    return math.isfinite(error) and rho - float(student.ppf(0.975, n - 1)) * error > SURVIVES


def sanity_report(
    vlm: VLM,
    samples: Sequence[Sample],
    probe: Sequence[Sample],
    *,
    biased: VLM | None = None,
    explainers: Sequence[str] = JUDGED,
    n_cascade: int = 4,
    seed: int = 0,
    progress: Callable[[str], None] = lambda message: None,
) -> SanityReport:
    """Run every sanity check.

    Args:
        vlm: An embedded model.
        samples: At least two samples with their truth; maps are compared on them.
        probe: Samples that say when the copy has unlearnt its answers; 40 or more.
        biased: Its twin with a language prior; None leaves that check out.
        explainers: Registry names.
        n_cascade: Samples for the weight cascade, which explains each of them once per stage.
        seed: Seed of everything.
        progress: Called with the name of each check.

    Raises:
        ValueError: Fewer than two samples, or a probe that the model answers no better than a guess.
        RuntimeError: The copy did not unlearn.
    """
    progress("training on permuted answers")
    unlearnt = shuffled_twin(vlm, probe, seed=seed)
    controls = [name for name in ("oracle", "random") if name not in explainers]
    checks: dict[str, Callable[[], pd.DataFrame]] = {
        "random weights": lambda: sanity_checks.weight_randomisation(explainers, vlm, samples[:n_cascade], seed=seed),
        "permuted answers": lambda: sanity_checks.label_randomisation(
            explainers, vlm, unlearnt.vlm, samples, seed=seed
        ),
        "another question": lambda: sanity_checks.question_randomisation(explainers, vlm, samples, seed=seed),
        "seeds": lambda: sanity_checks.seed_stability(explainers, vlm, samples[:n_cascade]),
        "stability": lambda: stability([*explainers, *controls], vlm, samples[:n_cascade], seed=seed),
        "plausibility": lambda: plausibility([*explainers, *controls], vlm, samples, seed=seed),
        "cost": lambda: sanity_checks.cost(explainers, vlm, samples[:n_cascade], seed=seed),
    }
    if biased is not None:
        checks["twins"] = lambda: sanity_checks.twins(explainers, vlm, biased, samples, seed=seed)
    tables = {}
    for name, check in checks.items():
        progress(name)
        tables[name] = check()
    return SanityReport(vlm.name, unlearnt, tables)
