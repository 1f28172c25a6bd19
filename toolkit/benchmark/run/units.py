"""The work unit: one sample of one dataset on one model, with all its explainers, so that they share evaluations.

A unit is computed as a whole or again as a whole. Its coalitions are then asked in the same order and in the same
batches whatever was interrupted, and its numbers come out the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

from toolkit.benchmark.run.records import Line, content_key, jsonable
from toolkit.benchmark.run.spec import BenchmarkSpec, SpecError
from toolkit.datasets.sample import Sample
from toolkit.explainers.base import is_deterministic
from toolkit.games.attribution import Attribution
from toolkit.registry import UnknownNameError
from toolkit.synergy.score import Score
from toolkit.vlm.protocol import VLM, VLMGame

Job: TypeAlias = tuple[str, int]
"""Explainer and seed."""


@dataclass(frozen=True)
class Unit:
    """One sample on one model.

    Attributes:
        model: Name of the model.
        dataset: Name of the dataset.
        sample: Id of the sample.
        jobs: What explains it.
        keep_image: Keep what the report needs to draw it.
        known: Scores per job, then its pairs, if any, where the attributions are on record and only further metrics
            are computed.
    """

    model: str
    dataset: str
    sample: str
    jobs: tuple[Job, ...]
    keep_image: bool = False
    known: tuple[tuple[float, ...], ...] = ()


@dataclass(frozen=True)
class Unreadable:
    """A row of a dataset that does not make a sample, for example because its picture cannot be decoded."""

    id: str
    reason: str
    image_id: str = ""
    category: str = ""


class Skip(Exception):  # noqa: N818 - not an error: the record says why there is nothing to evaluate
    """Raised where an explainer does not apply to a sample; the record is ``skipped`` with this reason."""


class Workspace(Protocol):
    """What a worker needs: samples, models, explainers and metrics. Built once per worker from the specification."""

    def identities(self) -> Mapping[str, str]:
        """What must stay the same for two runs to share a folder, beyond the specification.

        Asked once, by the process that starts a run, before anything is evaluated; the place to refuse a model that
        cannot be used.
        """
        ...

    def samples(self, dataset: str) -> Mapping[str, Sample | Unreadable]:
        """All samples of a dataset by id, in a fixed order."""
        ...

    def model(self, name: str) -> VLM:
        """The loaded model; a worker keeps one at a time."""
        ...

    def explain(self, explainer: str, vlm: VLM, sample: Sample, *, target: str, seed: int) -> Attribution:
        """One attribution.

        Raises:
            Skip: The explainer does not apply here.
        """
        ...

    def score(self, game: VLMGame, attributions: Sequence[Attribution]) -> list[dict[str, Score]]:
        """All metrics of each attribution, on one shared game."""
        ...

    def environment(self, vlm: VLM) -> dict[str, str]:
        """Versions, device, weights, preprocessing and precision: what the numbers depend on."""
        ...

    def origin(self, vlm: VLM, dataset: str) -> dict[str, str | None]:
        """Digests of the checkpoint and of the dataset's content, which stand in every record."""
        ...

    def effort(self, vlm: VLM) -> dict[str, int | float | str]:
        """Batch sizes in force and the like: what may differ between runs without changing the numbers."""
        ...


WorkspaceFactory: TypeAlias = Callable[[BenchmarkSpec], Workspace]


def jobs_of(spec: BenchmarkSpec) -> tuple[Job, ...]:
    """Explainer and seed of every record of a sample; explainers that draw nothing run with the first seed only."""
    return tuple(
        (explainer, seed)
        for explainer in spec.explainers
        for seed in (spec.seeds[:1] if _draws_nothing(explainer) else spec.seeds)
    )


def _draws_nothing(explainer: str) -> bool:
    """Whether it is known to; what a workspace knows under a name of its own may draw."""
    try:
        return is_deterministic(explainer)
    except UnknownNameError:
        return False


def plan_units(spec: BenchmarkSpec, ids: Mapping[str, Sequence[str]]) -> list[Unit]:
    """All units, sample-major: every explainer of a sample together, all samples of a model together.

    Args:
        spec: What to evaluate.
        ids: Sample ids per dataset.

    Raises:
        SpecError: A dataset has no samples.
    """
    empty = [dataset for dataset, found in ids.items() if not found]
    if empty:
        raise SpecError(f"no samples in {', '.join(empty)} (split {spec.split!r}); nothing to evaluate there")
    jobs = jobs_of(spec)
    return [
        Unit(model, dataset, sample, jobs, keep_image=number < spec.images)
        for model in spec.models
        for dataset in spec.datasets
        for number, sample in enumerate(ids[dataset])
    ]


_SETTINGS = ("split", "steps", "baseline", "instruction", "attention", "four_bit", "max_pixels", "max_tiles", "players",
             "dtype", "device", "max_tokens")  # fmt: skip


def record_key(unit: Unit, job: Job, spec: BenchmarkSpec) -> str:
    """Content key of one record: what was measured, not when, where or by which worker."""
    return content_key(
        {
            "model": unit.model, "revision": spec.revisions.get(unit.model), "dataset": unit.dataset,
            "sample": unit.sample, "explainer": job[0], "seed": job[1], "options": spec.options.get(job[0]),
            **{name: getattr(spec, name) for name in _SETTINGS},
        }
    )  # fmt: skip


def sample_key(unit: Unit) -> str:
    """Key of the line that describes the sample itself."""
    return content_key({"model": unit.model, "dataset": unit.dataset, "sample": unit.sample})


def unit_keys(unit: Unit, spec: BenchmarkSpec) -> list[str]:
    """All keys that the lines of a unit have."""
    return [sample_key(unit), *(record_key(unit, job, spec) for job in unit.jobs)]


def base_lines(unit: Unit, spec: BenchmarkSpec, sample: Sample | Unreadable) -> list[Line]:
    """The sample line and one line per job, with all that is known before anything is evaluated."""
    truth = sample.truth if isinstance(sample, Sample) else None
    common = {
        "model": unit.model, "dataset": unit.dataset, "sample": unit.sample,
        "image_id": sample.image_id or unit.sample, "category": sample.category,
        "gate": truth.gate if truth else None, "family": truth.family if truth else None,
    }  # fmt: skip
    line: Line = {**common, "kind": "sample", "key": sample_key(unit)}
    if isinstance(sample, Sample):
        line |= {
            "question": sample.question, "instruction": sample.instruction, "answer": sample.answer,
            "choices": list(sample.choices) if sample.choices else None,
            "bayes": jsonable(vars(truth.bayes)) if truth else None,
            "prior_answer": truth.prior_answer if truth else None,
        }  # fmt: skip
    records: list[Line] = [
        {**common, "kind": "record", "key": record_key(unit, job, spec), "explainer": job[0], "seed": job[1]}
        for job in unit.jobs
    ]
    return [line, *records]


def failed_lines(unit: Unit, spec: BenchmarkSpec, sample: Sample | Unreadable, reason: str) -> list[Line]:
    """The lines of a unit of which nothing could be evaluated."""
    return [{**line, "status": "failed", "reason": reason} for line in base_lines(unit, spec, sample)]
