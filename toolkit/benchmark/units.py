"""The work unit: one sample of one dataset on one model, with all its explainers, so that they share evaluations.

A unit is computed as a whole or again as a whole. Its coalitions are then asked in the same order and in the same
batches whatever was interrupted, and its numbers come out the same to the last bit.
"""

from __future__ import annotations

import base64
import hashlib
import io
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
from numpy.typing import NDArray

from toolkit.benchmark.records import Line, content_key, jsonable
from toolkit.benchmark.spec import BenchmarkSpec, SpecError
from toolkit.datasets.sample import Sample
from toolkit.explainers.attribution import Attribution
from toolkit.synergy.curves import CurveScore
from toolkit.synergy.score import Score
from toolkit.vlm.protocol import VLM, VLMGame

Job: TypeAlias = tuple[str, int]
"""Explainer and seed."""

PICTURE_SIDE = 240


@dataclass(frozen=True)
class Unit:
    """One sample on one model; ``keep_picture`` keeps what the report needs to draw it."""

    model: str
    dataset: str
    sample: str
    jobs: tuple[Job, ...]
    keep_picture: bool = False


@dataclass(frozen=True)
class Unreadable:
    """A row of a dataset that does not make a sample, for example because its picture cannot be decoded."""

    id: str
    reason: str
    image_id: str = ""
    category: str = ""


class Skip(Exception):  # noqa: N818 - not an error: the record says why there is nothing to evaluate
    """Raised where an explainer does not apply to a sample; the record is ``skipped`` with this reason."""


class Bench(Protocol):
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

    def effort(self, vlm: VLM) -> dict[str, int | float | str]:
        """Batch sizes in force and the like: what may differ between runs without changing the numbers."""
        ...


BenchFactory: TypeAlias = Callable[[BenchmarkSpec], Bench]


DETERMINISTIC = frozenset(
    {"integrated-gradients", "input-x-gradient", "grad-cam", "attn-lrp", "rollout", "grad-rollout", "attention-last",
     "tam", "occlusion", "oracle", "anti-oracle"}
)  # fmt: skip
"""Explainers that draw no random numbers: one seed is all seeds."""


def jobs_of(spec: BenchmarkSpec) -> tuple[Job, ...]:
    """Explainer and seed of every record of a sample; methods that draw nothing run with the first seed only."""
    return tuple(
        (explainer, seed)
        for explainer in spec.explainers
        for seed in (spec.seeds[:1] if explainer in DETERMINISTIC else spec.seeds)
    )


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
        Unit(model, dataset, sample, jobs, keep_picture=number < spec.pictures)
        for model in spec.models
        for dataset in spec.datasets
        for number, sample in enumerate(ids[dataset])
    ]


def record_key(unit: Unit, job: Job, spec: BenchmarkSpec) -> str:
    """Content key of one record: what was measured, not when, where or by which worker."""
    return content_key(
        {
            "model": unit.model, "revision": spec.revisions.get(unit.model), "dataset": unit.dataset,
            "split": spec.split, "sample": unit.sample, "explainer": job[0], "seed": job[1],
            "options": spec.options.get(job[0]), "steps": spec.steps, "baseline": spec.baseline,
            "dtype": spec.dtype, "device": spec.device, "max_tokens": spec.max_tokens,
        }
    )  # fmt: skip


def sample_key(unit: Unit) -> str:
    """Key of the line that describes the sample itself."""
    return content_key({"model": unit.model, "dataset": unit.dataset, "sample": unit.sample})


def unit_keys(unit: Unit, spec: BenchmarkSpec) -> list[str]:
    """All keys that the lines of a unit have."""
    return [sample_key(unit), *(record_key(unit, job, spec) for job in unit.jobs)]


def reason_of(error: BaseException) -> str:
    """A failure as one line; running out of memory has one name on every device."""
    text = " ".join(str(error).split())[:500]
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "out of memory" in text.lower():
        return f"out of memory: {text}" if text else "out of memory"
    return f"{type(error).__name__}: {text}"


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
            "question": sample.question, "instruction": sample.instruction, "truth": sample.answer,
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


def evaluate_unit(unit: Unit, spec: BenchmarkSpec, bench: Bench) -> list[Line]:
    """Evaluate one unit; every failure below the model's loading becomes a record."""
    sample = bench.samples(unit.dataset)[unit.sample]
    if isinstance(sample, Unreadable):
        return failed_lines(unit, spec, sample, sample.reason)
    vlm = bench.model(unit.model)
    start = time.perf_counter()
    try:
        sample.image.load()
        answer = vlm.answer(sample)
        game = vlm.game(sample, target=answer.text, baseline=spec.baseline)
        corners = _corners(game)
        if not np.isfinite(list(corners.values())).all():
            raise ArithmeticError(f"the model's values are not finite: {corners}")
    except Exception as error:  # a record says what happened; the run goes on
        return failed_lines(unit, spec, sample, reason_of(error))
    line, *records = base_lines(unit, spec, sample)
    correct = None if sample.answer is None else answer.text == sample.answer
    about = {
        "target": answer.text, "probability": answer.probability, "correct": correct, "corners": corners,
        "revision": vlm.revision, "n_image": game.players.n_image, "n_text": game.players.n_text,
    }  # fmt: skip
    line |= {**about, "status": "ok", "reason": None, "by_choice": answer.by_choice, "labels": game.players.labels}
    line["environment"] = bench.environment(vlm)
    line["drawing"] = _drawing(vlm, sample) if unit.keep_picture else None
    attributions = _explain_all(unit, records, vlm, sample, answer.text, bench)
    _score_all(game, records, attributions, bench)
    for record in records:
        record |= about
    effort = bench.effort(vlm)
    line["cost"] = {"seconds": time.perf_counter() - start, "n_evaluations": game.n_evaluations, **effort}
    return [jsonable(item) for item in (line, *records)]


def _corners(game: VLMGame) -> dict[str, float]:
    image, text = game.players.of("image"), game.players.of("text")
    both, only_image, only_text, empty = game(np.stack([image | text, image, text, image & text])).tolist()
    return {"both": both, "image": only_image, "text": only_text, "empty": empty}


def _explain_all(
    unit: Unit, records: list[Line], vlm: VLM, sample: Sample, target: str, bench: Bench
) -> dict[int, Attribution]:
    """Attributions by record number; the records of the others say why there is none."""
    found: dict[int, Attribution] = {}
    for number, (explainer, seed) in enumerate(unit.jobs):
        try:
            attribution = bench.explain(explainer, vlm, sample, target=target, seed=seed)
        except Skip as reason:
            records[number] |= {"status": "skipped", "reason": str(reason)}
        except Exception as error:  # a record says what happened; the other explainers go on
            records[number] |= {"status": "failed", "reason": reason_of(error)}
        else:
            found[number] = attribution
            records[number] |= {
                "scores": attribution.scores, "details": attribution.details,
                "convergence_delta": attribution.convergence_delta,
                "cost": {
                    "seconds": attribution.seconds, "n_evaluations": attribution.n_evaluations,
                    "n_gradients": attribution.n_gradients,
                },
            }  # fmt: skip
    return found


def _score_all(game: VLMGame, records: list[Line], attributions: dict[int, Attribution], bench: Bench) -> None:
    start, before = time.perf_counter(), game.n_evaluations
    try:
        results = bench.score(game, list(attributions.values())) if attributions else []
    except Exception as error:  # a record says what happened; the run goes on
        for number in attributions:
            records[number] |= {"status": "failed", "reason": reason_of(error)}
        return
    share = {
        "score_seconds": (time.perf_counter() - start) / max(1, len(results)),
        "score_evaluations": (game.n_evaluations - before) / max(1, len(results)),
    }
    for number, scores in zip(attributions, results, strict=True):
        records[number] |= {
            "status": "ok", "reason": None,
            "metrics": {name: score.value for name, score in scores.items()},
            "unscored": {name: score.reason for name, score in scores.items() if score.reason is not None},
            "curves": _curves(scores),
            "score_evaluations": {name: score.n_evaluations for name, score in scores.items()},
        }  # fmt: skip
        records[number]["cost"] |= share


def _curves(scores: Mapping[str, Score]) -> dict[str, NDArray[np.float64]]:
    """Curves over all k by metric name, and the insertion and deletion sides of those that have them."""
    found = {}
    for name, score in scores.items():
        if score.curve.size > 1 and score.fractions[0] == 0.0:
            found[name] = score.curve
            if isinstance(score, CurveScore):
                found |= {f"{name}.insertion": score.insertion, f"{name}.deletion": score.deletion}
    return found


def _drawing(vlm: VLM, sample: Sample) -> dict[str, Any]:
    """What the report needs to draw a map: the picture, where its cells lie, and the tokens' spans."""
    picture = sample.image.convert("RGB")
    picture.thumbnail((PICTURE_SIDE, PICTURE_SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, format="PNG")
    return {
        "png": base64.b64encode(buffer.getvalue()).decode(),
        "regions": np.round(np.asarray(vlm.regions(sample), dtype=np.float64), 5).tolist(),
        "spans": [list(span) for span in vlm.text_spans(sample)],
        "sha256": hashlib.sha256(picture.tobytes()).hexdigest()[:16],
    }
