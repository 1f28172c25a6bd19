"""The paper's claims against measurements on the embedded models, by rules fixed before any measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass

import numpy as np
import pandas as pd

from toolkit.audit.metrics.model_checks import one_sided_p, ranked
from toolkit.audit.metrics.salience import SALIENCE
from toolkit.audit.metrics.validity_panel import ValidityPanel

REPRODUCED, BIAS_ONLY, NOT, MIXED, UNKNOWN = (
    "reproduced", "only under bias", "not reproduced", "mixed", "not measured",
)  # fmt: skip

MIN_RHO_SAMPLES, ONE_PER_SAMPLE = 20, "share of variance between samples"
"""Fewer samples of a model than this decide nothing about a rank correlation; the line whose n counts samples."""

GROUPS = {
    "attention": ("attn-lrp", "rollout", "grad-rollout"),
    "made for VLMs": ("tam", "llava-cam"),
}


@dataclass(frozen=True)
class Claim:
    """One claim with its verdict.

    Attributes:
        claim: What the paper says.
        verdict: One of "reproduced", "only under bias", "not reproduced", "mixed", "not measured".
        numbers: The numbers behind it.
        rule: What would have counted as reproduced.
    """

    claim: str
    verdict: str
    numbers: str
    rule: str


def _twins(holds: Mapping[str, bool]) -> str:
    """Verdict from whether something holds on each model: on the grounded ones, only on their twins, or on none."""
    grounded = [value for name, value in holds.items() if not name.endswith("-biased")]
    biased = [value for name, value in holds.items() if name.endswith("-biased")]
    if not holds:
        return UNKNOWN
    if grounded and all(grounded):
        return REPRODUCED
    if any(grounded):
        return MIXED
    return BIAS_ONLY if biased and sum(biased) * 2 > len(biased) else NOT


def _per_model(found: Mapping[str, float], form: str = "{:.0%}") -> str:
    return "; ".join(f"{name} {form.format(value)}" for name, value in found.items()) or "no models installed"


def _share(diagnosis: pd.DataFrame, name: str) -> dict[str, float]:
    rows = diagnosis[diagnosis["name"] == name]
    weights = rows.assign(mass=rows["value"] * rows["n"]).groupby("model", sort=False)[["mass", "n"]].sum()
    return {str(model): float(row["mass"] / row["n"]) for model, row in weights.iterrows() if row["n"] > 0}


def prior_claims(diagnosis: pd.DataFrame) -> list[Claim]:
    """Claim 1, in its two readings: text alone suffices, and the modalities are redundant."""
    names = ("language-prior rate", "gate, redundancy", "gate, text-only", "negative interaction beyond noise")
    prior, redundant, text, negative = (_share(diagnosis, name) for name in names)
    return [
        Claim("1a. Models often answer from the text alone (language priors)",
              _twins({model: value > 0.5 for model, value in prior.items()}),
              f"language-prior rate: {_per_model(prior)}. Text-only gates: {_per_model(text)}",
              "on most samples whose text-only answer is wrong, the model repeats it"),
        Claim("1b. Image and text are redundant (an OR gate)",
              _twins({model: value > 0.5 for model, value in redundant.items()}),
              f"samples with a redundancy gate: {_per_model(redundant)}; with a negative total interaction beyond "
              f"noise, whatever their largest part: {_per_model(negative)}",
              "redundancy is the largest part, beyond noise, of most samples"),
    ]  # fmt: skip


def collapse_claims(collapse: pd.DataFrame) -> list[Claim]:
    """Claim 2: the image ranking contradicts the text ranking."""
    rows = collapse[
        (collapse["first"] == "srg-image") & (collapse["second"] == "srg-text") & (collapse["dataset"] == "all")
    ] if len(collapse) else collapse  # fmt: skip
    found = rows.to_dict("records")
    told = "; ".join(
        f"{r['model']} tau {r['tau']:+.2f} (p {r['p']:.2g}, [{r['low']:+.2f}, {r['high']:+.2f}], n {r['n']})"
        for r in found
    )
    contradicts = {str(r["model"]): bool(r["tau"] < 0 and r["p"] < 0.05) for r in found}
    apart = {str(r["model"]): bool(r["low"] <= 0) for r in found}
    return [
        Claim("2a. Rankings by image and by text metric contradict each other (tau = -0.06 in the paper)",
              _twins(contradicts), told or "no models installed", "tau below 0 with exact p below .05"),
        Claim("2b. Weaker: the two rankings are not positively associated", _twins(apart), "as above",
              "the interval of tau reaches 0 or below"),
    ]  # fmt: skip


def unimodal_claims(tables: Mapping[str, pd.DataFrame], metrics: tuple[str, ...]) -> list[Claim]:
    """Claim 2, its reason: unimodal insertion and deletion punish faithful explainers."""
    claims = []
    for metric in metrics:
        punishes: dict[str, bool] = {}
        told = []
        for model, table in tables.items():
            rows = table[(table["metric"] == metric) & (table["part"] == "controls")]
            wide = rows.pivot_table(index="sample", columns="explainer", values="value", aggfunc="first")
            if not {"oracle", "random"} <= set(wide) or len(wide.dropna(subset=["oracle", "random"])) < 5:
                continue
            oracle, random = (wide.dropna(subset=["oracle", "random"])[m].to_numpy(float) for m in ("oracle", "random"))
            p, q = one_sided_p(random, oracle), one_sided_p(oracle, random)
            punishes[model] = p < 0.05
            told.append(
                f"{model} oracle {oracle.mean():+.3f}, random {random.mean():+.3f} (oracle below p {p:.2g}, above p "
                f"{q:.2g}, n {oracle.size})"
            )
        claims.append(
            Claim(f"2c. Unimodal insertion and deletion punish faithful explainers ({metric})", _twins(punishes),
                  "; ".join(told) or "not measured", "the oracle scores below Random, one-sided paired p below .05")
        )  # fmt: skip
    return claims


def metric_claims(panel: ValidityPanel, surrogates: Mapping[str, pd.DataFrame]) -> list[Claim]:
    """Claim 3: F_syn isolates the joint dividend, as a surrogate of the exact index, at 1/24 of its cost."""
    gates = {"gate AND", "gate additive", "gate OR", "gate XOR", "noise alone", "redundancy visible"}
    claims = []
    for metric, label in (("f-syn-paper", "published"), ("f-syn", "signed")):
        entries = [c for c in panel.entries if c.metric == metric and c.check in gates]
        failed = [c.check for c in entries if c.passed is False]
        verdict = UNKNOWN if not entries else REPRODUCED if not failed else NOT if len(failed) > 2 else MIXED
        told = f"fails {', '.join(failed)}" if failed else "passes all gates and noise" if entries else "not judged"
        claim = f"3a. The {label} F_syn isolates the joint dividend"
        claims.append(Claim(claim, verdict, told, "passes the rules on gates and noise"))
    lines = ("pooled over samples, areas", "pooled, methods shuffled within samples",
             "within samples, interior points", "cost ratio")  # fmt: skip
    pooled, shuffled, within, cost = (
        {m: float(t["value"].to_dict()[line]) for m, t in surrogates.items()} for line in lines
    )
    enough = {m for m, table in surrogates.items() if int(table["n"].to_dict()[ONE_PER_SAMPLE]) >= MIN_RHO_SAMPLES}
    told = "; ".join(
        f"{m} pooled {pooled[m]:+.2f}, shuffled within samples {shuffled[m]:+.2f}, within samples {within[m]:+.2f}"
        for m in surrogates
    )
    return [
        *claims,
        Claim("3b. F_syn is a surrogate of the exact index (rho = .92, pooled)",
              _twins({m: v >= 0.9 for m, v in pooled.items() if m in enough}), told or "not measured",
              f"pooled rho of at least .9, over at least {MIN_RHO_SAMPLES} samples"),
        Claim("3c. The same where explainers are ranked: within samples, interior k",
              _twins({m: v >= 0.9 for m, v in within.items() if m in enough}), told or "not measured",
              f"mean within-sample rho of at least .9, over at least {MIN_RHO_SAMPLES} samples"),
        Claim("3d. F_syn costs 1/24 of the exact index", _twins({m: v >= 20 for m, v in cost.items()}),
              _per_model(cost, "1/{:.0f}"), "ratio of distinct coalitions of at least 20"),
    ]  # fmt: skip


def explainer_claims(tables: Mapping[str, pd.DataFrame], metrics: tuple[str, ...]) -> list[Claim]:
    """Claim 4: adapted attention methods capture more synergy than methods made for VLMs; and all beat Random."""
    claims = []
    for metric in metrics:
        holds: dict[str, bool] = {}
        beats: dict[str, bool] = {}
        told = []
        for model, table in tables.items():
            wide = ranked(table, metric)
            if len(wide) < 5 or not {m for g in GROUPS.values() for m in g} | {"random"} <= set(wide):
                continue
            attention, made = (wide[list(group)].mean(axis=1).to_numpy(dtype=np.float64) for group in GROUPS.values())
            floor = wide["random"].to_numpy(dtype=np.float64)
            p, q = one_sided_p(attention, made), one_sided_p(made, floor)
            holds[model], beats[model] = p < 0.05, q < 0.05
            told.append(
                f"{model} attention {attention.mean():+.3f}, made for VLMs {made.mean():+.3f}, "
                f"random {floor.mean():+.3f} (p {p:.2g}; made > random p {q:.2g})"
            )
        numbers = "; ".join(told) or "no models installed"
        claims += [
            Claim(f"4a. Attention methods capture more synergy than methods made for VLMs ({metric})", _twins(holds),
                  numbers, "one-sided paired Wilcoxon p below .05 on every grounded model"),
            Claim(f"4b. Methods made for VLMs do no better than Random ({metric})",
                  _twins({m: not b for m, b in beats.items()}), "as above", "one-sided p of at least .05"),
        ]  # fmt: skip
    return claims


def salience_claim(tables: Mapping[str, pd.DataFrame]) -> Claim:
    """Claim 4, its first half: explainers made for VLMs follow visual salience."""
    holds: dict[str, bool] = {}
    told = []
    for model, table in tables.items():
        rows = table[(table["metric"] == SALIENCE.name) & (table["part"] == "explainers")]
        wide = rows.pivot_table(index="sample", columns="explainer", values="value", aggfunc="first")
        if not {m for g in GROUPS.values() for m in g} | {"random"} <= set(wide):
            continue
        attention, made = (wide[list(group)].mean(axis=1) for group in GROUPS.values())
        found = pd.DataFrame({"attention": attention, "made": made, "random": wide["random"]}).dropna()
        if len(found) < 5:
            continue
        a, m, r = (found[name].to_numpy(dtype=np.float64) for name in ("attention", "made", "random"))
        p, q = one_sided_p(m, a), one_sided_p(m, r)
        holds[model] = max(p, q) < 0.05
        told.append(
            f"{model} made for VLMs {m.mean():+.2f}, attention {a.mean():+.2f}, random {r.mean():+.2f} (made > "
            f"attention p {p:.2g}, made > random p {q:.2g}, n {len(found)})"
        )
    return Claim(
        "4c. Explainers made for VLMs follow visual salience", _twins(holds),
        f"rank correlation of maps with the contrast of cells that are not evidence: {'; '.join(told)}"
        if told else "not measured",
        "their maps correlate more with it than those of attention methods and of Random, one-sided p below .05 each",
    )  # fmt: skip


def claims_table(claims: list[Claim]) -> pd.DataFrame:
    """One line per claim."""
    return pd.DataFrame([asdict(claim) for claim in claims], columns=["claim", "verdict", "numbers", "rule"])
