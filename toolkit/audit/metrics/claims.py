"""The paper's claims against measurements on the embedded models, by rules fixed before any measurement."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from toolkit.audit.metrics.model_checks import one_sided_p, ranked
from toolkit.audit.metrics.rules import LEVEL
from toolkit.audit.metrics.salience import SALIENCE
from toolkit.audit.metrics.validity_panel import ValidityPanel
from toolkit.stats.estimates import holm

REPRODUCED, BIAS_ONLY, NOT, MIXED, UNKNOWN = (
    "reproduced", "only under bias", "not reproduced", "mixed", "not measured",
)  # fmt: skip

MIN_RHO_SAMPLES, ONE_PER_SAMPLE = 20, "share of variance between samples"
"""Fewer samples of a model than this decide nothing about a rank correlation; the line whose n counts samples."""

TAU_MARGIN, GAP_MARGIN = 0.3, 0.1
"""A tau below the first is no association; "no better" allows so much of the oracle's advantage over Random."""

GROUPS = {"attention": ("attn-lrp", "rollout", "grad-rollout"), "made for VLMs": ("tam", "llava-cam")}


@dataclass(frozen=True)
class Claim:
    """One claim with its verdict.

    Attributes:
        claim: What the paper says.
        verdict: One of "reproduced", "only under bias", "not reproduced", "mixed", "not measured".
        numbers: The numbers behind it.
        rule: What would have counted as reproduced.
        p: P-value of the claim on each model, where it is a test; corrected and judged together with all others.
    """

    claim: str
    verdict: str
    numbers: str
    rule: str
    p: Mapping[str, float] = field(default_factory=dict)


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
    contradicts = {str(r["model"]): float(r["p"]) if r["tau"] < 0 else 1.0 for r in found}
    apart = {str(r["model"]): bool(r["high"] < TAU_MARGIN) for r in found}
    return [
        Claim("2a. Rankings by image and by text metric contradict each other (tau = -0.06 in the paper)",
              UNKNOWN, told or "no models installed", "tau below 0, by its exact p", contradicts),
        Claim("2b. Weaker: the two rankings are not positively associated", _twins(apart), "as above",
              f"the whole interval of tau lies below {TAU_MARGIN:g}"),
    ]  # fmt: skip


def unimodal_claims(tables: Mapping[str, pd.DataFrame], metrics: tuple[str, ...]) -> list[Claim]:
    """Claim 2, its reason: unimodal insertion and deletion punish faithful explainers."""
    claims = []
    for metric in metrics:
        punishes: dict[str, float] = {}
        told = []
        for model, table in tables.items():
            rows = table[(table["metric"] == metric) & (table["part"] == "controls")]
            wide = rows.pivot_table(index="sample", columns="explainer", values="value", aggfunc="first")
            if not {"oracle", "random"} <= set(wide) or len(wide.dropna(subset=["oracle", "random"])) < 5:
                continue
            oracle, random = (wide.dropna(subset=["oracle", "random"])[m].to_numpy(float) for m in ("oracle", "random"))
            p, q = one_sided_p(random, oracle), one_sided_p(oracle, random)
            punishes[model] = p
            told.append(
                f"{model} oracle {oracle.mean():+.3f}, random {random.mean():+.3f} (oracle below p {p:.2g}, above p "
                f"{q:.2g}, n {oracle.size})"
            )
        claims.append(
            Claim(f"2c. Unimodal insertion and deletion punish faithful explainers ({metric})", UNKNOWN,
                  "; ".join(told) or "not measured", "the oracle scores below Random, one-sided paired test", punishes)
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
    lines = ("pooled over samples, areas", "pooled, explainers shuffled within samples",
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
        holds: dict[str, float] = {}
        no_better: dict[str, float] = {}
        told = []
        for model, table in tables.items():
            wide = ranked(table, metric)
            if len(wide) < 5 or not {m for g in GROUPS.values() for m in g} | {"random"} <= set(wide):
                continue
            attention, made = (wide[list(group)].mean(axis=1).to_numpy(dtype=np.float64) for group in GROUPS.values())
            floor = wide["random"].to_numpy(dtype=np.float64)
            margin = GAP_MARGIN * _advantage(table, metric)
            holds[model], no_better[model] = one_sided_p(attention, made), one_sided_p(floor + margin, made)
            told.append(
                f"{model} attention {attention.mean():+.3f}, made for VLMs {made.mean():+.3f}, "
                f"random {floor.mean():+.3f} (p {holds[model]:.2g}; made < random + {margin:.3f} p "
                f"{no_better[model]:.2g}, n {len(wide)})"
            )
        numbers = "; ".join(told) or "no models installed"
        claims += [
            Claim(f"4a. Attention methods capture more synergy than methods made for VLMs ({metric})", UNKNOWN,
                  numbers, "one-sided paired Wilcoxon test on every grounded model", holds),
            Claim(f"4b. Methods made for VLMs do no better than Random ({metric})", UNKNOWN, "as above",
                  f"below Random plus {GAP_MARGIN:.0%} of the oracle's advantage, one-sided paired test", no_better),
        ]  # fmt: skip
    return claims


def _advantage(table: pd.DataFrame, metric: str) -> float:
    """Mean advantage of the oracle over Random among the controls, at least 0."""
    rows = table[(table["metric"] == metric) & (table["part"] == "controls")]
    means = rows.groupby("explainer")["value"].mean()
    return max(0.0, float(means.get("oracle", 0.0) - means.get("random", 0.0)))


def salience_claim(tables: Mapping[str, pd.DataFrame]) -> Claim:
    """Claim 4, its first half: explainers made for VLMs follow visual salience."""
    holds: dict[str, float] = {}
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
        holds[model] = max(p, q)
        told.append(
            f"{model} made for VLMs {m.mean():+.2f}, attention {a.mean():+.2f}, random {r.mean():+.2f} (made > "
            f"attention p {p:.2g}, made > random p {q:.2g}, n {len(found)})"
        )
    return Claim(
        "4c. Explainers made for VLMs follow visual salience", UNKNOWN,
        f"rank correlation of maps with the contrast of cells that are not evidence: {'; '.join(told)}"
        if told else "not measured",
        "their maps correlate more with it than those of attention methods and of Random, one-sided tests", holds,
    )  # fmt: skip


def claims_table(claims: list[Claim]) -> pd.DataFrame:
    """One line per claim; claims that are tests are judged here, after Holm's correction over all of them."""
    keys = [(number, model) for number, claim in enumerate(claims) for model in claim.p]
    adjusted = dict(zip(keys, holm([claims[number].p[model] for number, model in keys]).tolist(), strict=True))
    rows = []
    for number, claim in enumerate(claims):
        verdict, rule = claim.verdict, claim.rule
        if claim.p:
            verdict = _twins({model: adjusted[number, model] < LEVEL for model in claim.p})
            rule = f"{rule}, p below {LEVEL:g} after Holm's correction over the {len(keys)} tests of this table"
        rows.append((claim.claim, verdict, claim.numbers, rule))
    return pd.DataFrame(rows, columns=["claim", "verdict", "numbers", "rule"])
