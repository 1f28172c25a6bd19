"""From records to the report's tables; each counts what is missing."""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
import pandas as pd

from toolkit.arguments import as_path
from toolkit.benchmark.run.compact import in_order
from toolkit.benchmark.run.records import Line, read_shards
from toolkit.benchmark.run.run_folder import read_folder
from toolkit.benchmark.run.spec import BenchmarkSpec
from toolkit.benchmark.run.units import Unit, plan_units, unit_keys
from toolkit.stats.correlation import clustered_tau
from toolkit.stats.estimates import Floats, RankTest, clustered_mean, friedman_nemenyi, holm, paired_test

CONTROLS = ("oracle", "anti-oracle")
"""Known answers, not competitors: they are shown, but take no part in ranks, tests and taus."""

STATUSES = ("ok", "failed", "skipped", "missing")


@dataclass(frozen=True)
class FinishedRun:
    """A run read from its folder.

    Attributes:
        folder: Where it lies.
        spec: What was to be evaluated.
        toolkit: Version that wrote it.
        identities: Commit, weights or content of each model and dataset.
        units: Everything that was planned.
        samples: Sample lines that exist, in the order of the plan.
        records: Record lines; planned ones that do not exist stand in with status ``missing``.
        frame: One row per planned record: identity, status, whether the explainer converged (False where it says that
            it did not), and one column per metric (NaN where unscored).
    """

    folder: Path
    spec: BenchmarkSpec
    toolkit: str
    identities: dict[str, str]
    units: list[Unit]
    samples: list[Line]
    records: list[Line]
    frame: pd.DataFrame


def load_run(folder: Path | str) -> FinishedRun:
    """Read a run, finished or not.

    Raises:
        FolderError: It is not the folder of a run.
        SpecError: Its specification is damaged or of another schema.
        DamagedRecordsError: A record is damaged.
    """
    about = read_folder(as_path("the folder of a run", folder))
    units = plan_units(about.spec, about.ids)
    planned = [key for unit in units for key in unit_keys(unit, about.spec)]
    lines = in_order(read_shards(about.folder, about.owner), planned)
    known = {line["key"] for line in lines}
    place = {key: number for number, key in enumerate(planned)}
    records = [line for line in lines if line["kind"] == "record"]
    for record in (record for record in records if record["status"] == "ok"):
        later = [name for name in about.spec.metrics if name not in record["metrics"]]
        record["unscored"] = {**dict.fromkeys(later, "not evaluated yet"), **record["unscored"]}
    for unit in units:
        for key, (explainer, seed) in zip(unit_keys(unit, about.spec)[1:], unit.jobs, strict=True):
            if key not in known:
                records.append(
                    {
                        "key": key, "model": unit.model, "dataset": unit.dataset, "sample": unit.sample,
                        "explainer": explainer, "seed": seed, "status": "missing", "reason": "not evaluated yet",
                        "image_id": unit.sample, "kind": "record",
                    }
                )  # fmt: skip
    records.sort(key=lambda line: place[line["key"]])
    samples = [line for line in lines if line["kind"] == "sample"]
    frame = _frame(records, about.spec)
    return FinishedRun(about.folder, about.spec, about.toolkit, about.identities, units, samples, records, frame)


def _frame(records: list[Line], spec: BenchmarkSpec) -> pd.DataFrame:
    rows = []
    for record in records:
        row = {k: record.get(k) for k in ("model", "dataset", "sample", "image_id", "explainer", "seed", "gate")}
        found = record.get("metrics") or {}
        row |= {"status": record["status"], "reason": record.get("reason")}
        row["converged"] = bool((record.get("details") or {}).get("converged", True))
        row |= {name: math.nan if found.get(name) is None else float(found[name]) for name in spec.metrics}
        rows.append(row)
    return pd.DataFrame(rows)


def seeded(*words: str) -> np.random.Generator:
    """The generator of one entry of a table: the same on every machine and in every order."""
    return np.random.default_rng([zlib.crc32(word.encode()) for word in words])


def competitors(run: FinishedRun) -> list[str]:
    """Explainers that take part in rankings."""
    return [name for name in run.spec.explainers if name not in CONTROLS]


def leaderboard_keys(run: FinishedRun) -> list[tuple[str, str]]:
    """Model and dataset of every leaderboard."""
    return [(model, dataset) for model in run.spec.models for dataset in run.spec.datasets]


def leaderboard_frame(run: FinishedRun, model: str, dataset: str) -> pd.DataFrame:
    """The records of one leaderboard."""
    return run.frame[(run.frame["model"] == model) & (run.frame["dataset"] == dataset)]


def leaderboards(run: FinishedRun) -> pd.DataFrame:
    """One row per model, dataset, explainer and metric: mean over samples (seeds averaged first), interval, counts."""
    rows = []
    for model, dataset in leaderboard_keys(run):
        board = leaderboard_frame(run, model, dataset)
        for explainer in run.spec.explainers:
            mine = board[board["explainer"] == explainer]
            counts = {status: int((mine["status"] == status).sum()) for status in STATUSES}
            for metric in run.spec.metrics:
                scored = mine[["sample", "image_id", metric]].dropna()
                by_sample = scored.groupby("sample", sort=True).agg({"image_id": "first", metric: "mean"})
                estimate = clustered_mean(
                    by_sample[metric], by_sample["image_id"].astype(str), rng=seeded(model, dataset, explainer, metric),
                    n_resamples=run.spec.bootstrap, level=run.spec.level,
                )  # fmt: skip
                rows.append(
                    {
                        "model": model, "dataset": dataset, "explainer": explainer, "metric": metric,
                        "mean": estimate.mean, "low": estimate.low, "high": estimate.high, "se": estimate.se,
                        "n_samples": estimate.n, "n_images": estimate.n_clusters, **counts,
                        "unscored": int(counts["ok"] - len(scored)), "not converged": int((~mine["converged"]).sum()),
                    }
                )  # fmt: skip
    table = pd.DataFrame(rows)
    ranked = table["explainer"].isin(competitors(run))
    table["rank"] = table[ranked].groupby(["model", "dataset", "metric"])["mean"].rank(ascending=False)
    return table


def image_means(run: FinishedRun, model: str, dataset: str, metric: str, explainers: Iterable[str]) -> pd.DataFrame:
    """One row per picture, one column per explainer: mean over the picture's samples and seeds; NaN where missing."""
    board = leaderboard_frame(run, model, dataset)
    table = board.pivot_table(index="image_id", columns="explainer", values=metric, aggfunc="mean", sort=True)
    return table.reindex(columns=list(explainers))


@dataclass(frozen=True)
class Complete:
    """The complete part of image means: ``dropped`` images lack a score, ``absent`` explainers have none at all."""

    values: Floats
    names: list[str]
    dropped: int
    absent: list[str]


def complete(table: pd.DataFrame) -> Complete:
    """Leave out explainers without any score, then pictures without all of the others."""
    names = [name for name in table.columns if table[name].notna().any()]
    whole = table[names].dropna()
    absent = [name for name in table.columns if name not in names]
    return Complete(whole.to_numpy(dtype=np.float64), names, len(table) - len(whole), absent)


def rank_test(run: FinishedRun, model: str, dataset: str, metric: str) -> tuple[Complete, RankTest]:
    """Friedman and Nemenyi over the pictures of one leaderboard."""
    part = complete(image_means(run, model, dataset, metric, competitors(run)))
    return part, friedman_nemenyi(part.values)


def rank_tests(run: FinishedRun) -> pd.DataFrame:
    """One row per model, dataset and explainer: mean rank by the headline metric, and the test over all of them."""
    rows = []
    for model, dataset in leaderboard_keys(run):
        part, test = rank_test(run, model, dataset, run.spec.headline)
        for name in competitors(run):
            place = part.names.index(name) if name in part.names else None
            rows.append(
                {
                    "model": model, "dataset": dataset, "metric": run.spec.headline, "explainer": name,
                    "mean_rank": math.nan if place is None else float(test.mean_ranks[place]),
                    "friedman": test.statistic, "p": test.p, "critical_difference": test.critical_difference,
                    "n_images": test.n_blocks, "n_incomplete": part.dropped,
                    "note": test.reason or ("no scores" if place is None else None),
                }
            )  # fmt: skip
    return pd.DataFrame(rows)


def pairwise_tests(run: FinishedRun) -> pd.DataFrame:
    """Wilcoxon's signed-rank test of all pairs of explainers by the headline metric; Holm within a leaderboard."""
    rows = []
    for model, dataset in leaderboard_keys(run):
        names = competitors(run)
        table = image_means(run, model, dataset, run.spec.headline, names)
        found = []
        for first, second in combinations(names, 2):
            test = paired_test(table[first].to_numpy(float), table[second].to_numpy(float))
            found.append({"first": first, "second": second, **vars(test)})
        adjusted = holm([row["p"] for row in found])
        common = {"model": model, "dataset": dataset, "metric": run.spec.headline}
        rows += [{**common, **row, "p_holm": float(p)} for row, p in zip(found, adjusted, strict=True)]
    columns = ["model", "dataset", "metric", "first", "second", "difference", "p", "p_holm", "rank_biserial"]
    return pd.DataFrame(rows, columns=[*columns, "cohens_dz", "n_blocks"])


def taus(run: FinishedRun) -> pd.DataFrame:
    """Kendall's tau between the rankings of every two metrics, per leaderboard, with interval over pictures."""
    metrics = [name for name in run.spec.metrics if name != "total-interaction"]
    rows = []
    for model, dataset in leaderboard_keys(run):
        means = {metric: image_means(run, model, dataset, metric, competitors(run)) for metric in metrics}
        for first, second in combinations(metrics, 2):
            a, b = means[first], means[second]
            names = [name for name in a.columns if a[name].notna().any() and b[name].notna().any()]
            both = pd.concat([a[names], b[names]], axis=1).dropna().to_numpy(dtype=np.float64)
            row = {"model": model, "dataset": dataset, "first": first, "second": second}
            found = _tau(run, both, len(names), row)
            rows.append({**row, "n_explainers": len(names), "n_images": len(both), **found})
    columns = ["model", "dataset", "first", "second", "n_explainers", "n_images", "tau", "p", "low", "high", "method"]
    return pd.DataFrame(rows, columns=[*columns, "concordant", "discordant"])


def _tau(run: FinishedRun, both: Floats, k: int, row: dict[str, str]) -> dict[str, float | str]:
    if k < 2 or len(both) == 0:
        return {"tau": math.nan, "p": math.nan, "low": math.nan, "high": math.nan, "method": "undefined"}
    tau = clustered_tau(
        both[:, :k], both[:, k:], rng=seeded(*row.values()), n_resamples=run.spec.bootstrap, level=run.spec.level
    )
    return {
        "tau": tau.tau, "p": tau.p, "low": tau.low, "high": tau.high, "method": tau.method,
        "concordant": tau.concordant, "discordant": tau.discordant,
    }  # fmt: skip


def failures(run: FinishedRun) -> pd.DataFrame:
    """Records that are not ok, counted by explainer and reason."""
    bad = run.frame[run.frame["status"] != "ok"]
    keys = ["model", "dataset", "explainer", "status", "reason"]
    counted = bad.fillna({"reason": ""}).groupby(keys, sort=True).agg(n=("sample", "size"), example=("sample", "first"))
    return counted.reset_index()
