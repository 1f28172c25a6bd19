"""Evaluate one work unit: answer, corners, all explainers, all scores; what fails becomes a record."""

from __future__ import annotations

import base64
import hashlib
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.benchmark.run.records import Line
from toolkit.benchmark.run.spec import BenchmarkSpec
from toolkit.benchmark.run.units import Skip, Unit, Unreadable, Workspace, base_lines, failed_lines
from toolkit.datasets.image_file import png_bytes
from toolkit.datasets.sample import CORNERS, Sample
from toolkit.games.attribution import Attribution, InteractionAttribution
from toolkit.games.game import corner_coalitions
from toolkit.measuring import explain_jobs, reason_of
from toolkit.synergy.score import Score
from toolkit.synergy.srg import CurveScore
from toolkit.vlm.protocol import VLM, VLMGame

IMAGE_SIDE = 240


def evaluate_unit(unit: Unit, spec: BenchmarkSpec, workspace: Workspace) -> list[Line]:
    """Evaluate one unit; every failure below the model's loading becomes a record."""
    sample = workspace.samples(unit.dataset)[unit.sample]
    if isinstance(sample, Unreadable):
        return failed_lines(unit, spec, sample, sample.reason)
    vlm = workspace.model(unit.model)
    start = time.perf_counter()
    try:
        for image in sample.images:
            image.load()
        answer = vlm.answer(sample)
        game = vlm.game(sample, target=answer.text, baseline=spec.baseline)
        before = game.n_evaluations
        corners = dict(zip(CORNERS, game(corner_coalitions(game.players)).tolist(), strict=True))
        provenance: dict[str, Any] = getattr(game, "provenance", dict)()
        if not np.isfinite(list(corners.values())).all():
            raise ArithmeticError(f"the model's values are not finite: {corners}")
    except (Exception, SystemExit) as error:  # a record says what happened; the run goes on
        return failed_lines(unit, spec, sample, reason_of(error))
    line, *records = base_lines(unit, spec, sample)
    correct = None if sample.answer is None else answer.text == sample.answer
    about = {
        "target": answer.text, "probability": answer.probability, "correct": correct, "corners": corners,
        "revision": vlm.revision, "n_image": game.players.n_image, "n_text": game.players.n_text,
        "players": getattr(getattr(game, "partition", None), "name", "tokens"),
        **provenance,
        **workspace.origin(vlm, unit.dataset),
    }  # fmt: skip
    line["instruction"] = game.sample.instruction  # as the model was asked
    line |= {**about, "status": "ok", "reason": None, "by_choice": answer.by_choice, "labels": game.players.labels}
    line["environment"] = workspace.environment(vlm)
    line["drawing"] = _drawing(vlm, sample) if unit.keep_image else None
    attributions = _explain_all(unit, records, vlm, sample, answer.text, workspace)
    _score_all(game, records, attributions, workspace)
    for record in records:
        record |= about
    effort = workspace.effort(vlm)
    line["cost"] = {"seconds": time.perf_counter() - start, "n_evaluations": game.n_evaluations - before, **effort}
    return [line, *records]


def _explain_all(
    unit: Unit, records: list[Line], vlm: VLM, sample: Sample, target: str, workspace: Workspace
) -> dict[int, Attribution]:
    """Attributions by record number; the records of the others say why there is none."""
    tried = explain_jobs(unit.jobs, lambda name, seed: workspace.explain(name, vlm, sample, target=target, seed=seed))
    found: dict[int, Attribution] = {}
    for number, one in enumerate(tried):
        if one.attribution is None:
            skipped = isinstance(one.error, Skip)
            reason = str(one.error) if skipped else reason_of(one.error)
            records[number] |= {"status": "skipped" if skipped else "failed", "reason": reason}
            continue
        found[number] = attribution = one.attribution
        if isinstance(attribution, InteractionAttribution):
            records[number]["pairs"] = attribution.pairs.ravel()
        records[number] |= {
            "scores": attribution.scores, "details": attribution.details,
            "convergence_delta": attribution.convergence_delta,
            "cost": {
                "seconds": attribution.seconds, "n_evaluations": attribution.n_evaluations,
                "n_gradients": attribution.n_gradients,
            },
        }  # fmt: skip
    return found


def _score_all(game: VLMGame, records: list[Line], attributions: dict[int, Attribution], workspace: Workspace) -> None:
    start, before = time.perf_counter(), game.n_evaluations
    try:
        results = workspace.score(game, list(attributions.values())) if attributions else []
    except (Exception, SystemExit) as error:  # a record says what happened; the run goes on
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
    """What the report needs to draw a map: the sheet of images, where its cells lie, and the tokens' spans."""
    image = sample.sheet.convert("RGB")
    image.thumbnail((IMAGE_SIDE, IMAGE_SIDE))
    return {
        "png": base64.b64encode(png_bytes(image)).decode(),
        "regions": np.round(np.asarray(vlm.regions(sample), dtype=np.float64), 5).tolist(),
        "spans": [list(span) for span in vlm.text_spans(sample)],
        "sha256": hashlib.sha256(image.tobytes()).hexdigest()[:16],
    }
