"""A finished run goes on with more samples, explainers, models, datasets, metrics or seeds; nothing is done again.

A run is a list of generations, each a specification that contains the one before. What a generation adds is evaluated
under its own specification, so that the records come out the same whenever a run grows.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np

from toolkit.benchmark.run.records import Line, content_key
from toolkit.benchmark.run.spec import BenchmarkSpec, changes
from toolkit.benchmark.run.units import Unit, Workspace, plan_units, record_key, unit_keys
from toolkit.datasets.sample import Sample
from toolkit.games.attribution import Attribution, InteractionAttribution
from toolkit.vlm.protocol import VLM

SCORED = ("metrics", "unscored", "curves", "score_evaluations")
"""The fields of a record that a metric adds to."""

_COSTS = ("score_seconds", "score_evaluations")


@dataclass(frozen=True)
class Generation:
    """What a run was at one time: specification, sample ids per dataset, identities of models and datasets."""

    spec: BenchmarkSpec
    ids: dict[str, list[str]]
    identities: dict[str, str]


def no_growth(old: BenchmarkSpec, new: BenchmarkSpec) -> list[str]:
    """One line per field in which the new specification does something else than contain the old one."""
    was, now = old.content, new.content
    for name in ("models", "datasets", "explainers", "metrics", "seeds"):
        if set(was[name]) <= set(now[name]) and (name != "seeds" or was[name][0] == now[name][0]):
            now[name] = was[name]
    if old.samples is not None and (new.samples is None or new.samples >= old.samples):
        now["samples"] = was["samples"]
    for name, owners in (("options", old.explainers), ("revisions", (*old.models, *old.datasets))):
        now[name] = {owner: value for owner, value in now[name].items() if owner in owners}
    return changes(was, now)


@dataclass(frozen=True)
class Pass:
    """Units that are evaluated under one specification; ``scoring`` computes further metrics of attributions only."""

    spec: BenchmarkSpec
    units: list[Unit]
    scoring: bool = False

    def keys(self, unit: Unit) -> list[str]:
        """Keys of the lines that the unit makes in this pass."""
        if not self.scoring:
            return unit_keys(unit, self.spec)
        return [scoring_key(record_key(unit, job, self.spec), self.spec.metrics) for job in unit.jobs]

    def recalling(self, lines: Mapping[str, Line]) -> Pass:
        """The same pass with the attributions that are on record; what has none cannot be scored."""
        units = []
        for unit in self.units:
            found = {job: lines.get(record_key(unit, job, self.spec), {}) for job in unit.jobs}
            jobs = tuple(job for job, line in found.items() if line.get("status") == "ok")
            if jobs:
                known = tuple(
                    (*np.asarray(found[job]["scores"]).tolist(), *found[job].get("pairs", ())) for job in jobs
                )
                units.append(replace(unit, jobs=jobs, known=known))
        return replace(self, units=units)


def passes(generations: Sequence[Generation]) -> list[Pass]:
    """What the generations of a run add, one after the other."""
    found: list[Pass] = []
    seen: set[str] = set()
    metrics: tuple[str, ...] = ()
    for generation in generations:
        spec = generation.spec
        fresh, old = [], []
        for unit in plan_units(spec, generation.ids):
            known = tuple(job for job in unit.jobs if record_key(unit, job, spec) in seen)
            fresh.append(replace(unit, jobs=tuple(job for job in unit.jobs if job not in known)))
            old.append(replace(unit, jobs=known))
        found.append(Pass(spec, [unit for unit in fresh if unit.jobs]))
        seen |= {record_key(unit, job, spec) for unit in fresh for job in unit.jobs}
        added = tuple(name for name in spec.metrics if name not in metrics)
        if metrics and added:
            only = spec.model_copy(update={"metrics": added, "headline": added[0], "images": 0})
            found.append(Pass(only, [replace(unit, keep_image=False) for unit in old if unit.jobs], scoring=True))
        metrics = spec.metrics
    return found


def scoring_key(record: str, metrics: Iterable[str]) -> str:
    """Key of the line that adds these metrics to a record."""
    return content_key({"record": record, "metrics": sorted(metrics)})


class Recalled:
    """A workspace whose explainers answer from the records of a unit; all else is another workspace's."""

    def __init__(self, workspace: Workspace, unit: Unit) -> None:
        self._workspace = workspace
        self._known = dict(zip(unit.jobs, unit.known, strict=True))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._workspace, name)

    def explain(self, explainer: str, vlm: VLM, sample: Sample, *, target: str, seed: int) -> Attribution:
        """The attribution on record."""
        players, known = vlm.players(sample), np.array(self._known[explainer, seed])
        scores, pairs = np.split(known, [players.n])
        if not pairs.size:
            return Attribution(scores, players, explainer, target)
        return InteractionAttribution(scores, players, explainer, target, pairs=pairs.reshape(players.n_image, -1))


def recalled(workspace: Workspace, unit: Unit) -> Workspace:
    """The workspace for a unit that is only scored."""
    return cast(Workspace, Recalled(workspace, unit))


def scoring_lines(lines: Iterable[Line], metrics: Sequence[str]) -> list[Line]:
    """Of the lines of a unit that was only scored: what the metrics add to the records."""
    names = ("model", "dataset", "sample", "explainer", "seed", "status", "reason", *SCORED)
    return [
        {
            **{name: line.get(name) for name in names}, "kind": "scoring", "of": line["key"], "names": list(metrics),
            "key": scoring_key(line["key"], metrics),
            "cost": {name: (line.get("cost") or {}).get(name) for name in _COSTS},
        }
        for line in lines if line["kind"] == "record"
    ]  # fmt: skip


def add_scores(lines: Sequence[Line]) -> list[Line]:
    """All lines but those that add metrics to records, which are put into the records."""
    records = {line["key"]: line for line in lines if line["kind"] == "record"}
    for line in lines:
        record = records.get(line["of"], {}) if line["kind"] == "scoring" else {}
        if record.get("status") != "ok":
            continue
        for name in SCORED:
            record[name] = {**(record.get(name) or {}), **(line.get(name) or {})}
        before, more = record.get("cost") or {}, line.get("cost") or {}
        record["cost"] = {**before, **{name: (before.get(name) or 0) + (more.get(name) or 0) for name in _COSTS}}
        if line["status"] != "ok":
            record["scoring_failed"] = line["reason"]
            record["unscored"] |= dict.fromkeys(line["names"], line["reason"])
    return [line for line in lines if line["kind"] != "scoring"]
