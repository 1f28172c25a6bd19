"""Run the validity panel: study the installed models, judge the metrics, write the report."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import asdict, replace
from multiprocessing import get_context
from pathlib import Path

import pandas as pd

from toolkit.arguments import check_callable, check_list, check_whole
from toolkit.audit.metrics.fills import UNTRAINED
from toolkit.audit.metrics.game_checks import game_entries
from toolkit.audit.metrics.model_checks import model_entries
from toolkit.audit.metrics.study import (
    StudySize,
    eligible,
    frame,
    shared_samples,
    shuffle_weights,
    study_controls,
    study_explainers,
    study_redundant,
    study_weights,
)
from toolkit.audit.metrics.validity_panel import ValidityPanel
from toolkit.audit.panel_run import PanelRun, Study
from toolkit.audit.paper.ablation import ablate
from toolkit.audit.validity_report import ValidityReport
from toolkit.datasets.sample import Sample
from toolkit.extras import need
from toolkit.synergy.metrics import METRICS, Metric
from toolkit.synergy.recovered import SURFACE_RECOVERED
from toolkit.vlm.protocol import VLM

JUDGED = (
    "srg-image", "srg-text", "f-syn-paper", "f-syn", "f-syn-gain", "f-syn-recovered",
    SURFACE_RECOVERED.name,
)  # fmt: skip
"""The paper's four numbers, then the corrected scores."""

PAIRS = {f"tiny-{family}-grounded": f"tiny-{family}-biased" for family in ("llava", "qwen2.5-vl", "internvl")}
"""Embedded models with a known answer, and their twins with a strong language prior."""

EVERYDAY, N_EVERYDAY = "scenes-everyday", 400
"""Diagnosed beside the plan's datasets, and the source of redundant samples: all gates occur in it by construction."""

Progress = Callable[[str], None]


def embedded_models() -> tuple[str, ...]:
    """The embedded twins that are installed, grounded before biased."""
    from toolkit.paths import models_dir

    folder = models_dir()
    names = [name for pair in PAIRS.items() for name in pair]
    return tuple(name for name in names if (folder / name / "config.json").exists())


def resolve(metrics: Sequence[str | Metric]) -> dict[str, Metric]:
    """Metrics by name.

    Raises:
        UnknownNameError: A name that is not registered; the message suggests the nearest one.
    """
    for one in metrics:
        if not isinstance(one, str | Metric):
            raise TypeError(f"expected the name of a metric, or a metric, got {one!r}; @metric(...) makes one")
    found = [METRICS[metric] if isinstance(metric, str) else metric for metric in metrics]
    return {metric.spec.name: metric for metric in found}


def study(name: str, metrics: Mapping[str, Metric], plan: StudySize, *, seed: int = 0, step: Progress) -> Study:
    """Study one embedded model; a biased twin is asked less."""
    import toolkit

    vlm = toolkit.load_vlm(name)
    plan = plan if name in PAIRS else plan.for_biased()
    samples, judged = shared_samples(plan, seed=seed), list(metrics.values())
    rows = study_controls(vlm, samples, judged, plan, step)
    if plan.weights:
        shuffled = shuffle_weights(toolkit.load_vlm(name))
        rows += study_weights(vlm, shuffled, samples, judged, plan, step)
    if plan.redundant:
        rows += study_redundant(vlm, _dataset(EVERYDAY, N_EVERYDAY, seed), judged, plan, step)
    ranked, exact = study_explainers(vlm, samples, judged, plan, step)
    step(f"{name}: redundancy, flaws")
    diagnosis = [_diagnosis(vlm, dataset, plan, seed) for dataset in (*plan.datasets, EVERYDAY)]
    flaws = ablate(vlm, eligible(vlm, samples, plan.flaws), plan.explainers) if plan.flaws else pd.DataFrame()
    return Study(frame(rows + ranked), pd.concat(diagnosis, ignore_index=True), pd.DataFrame(exact), flaws)


def _diagnosis(vlm: VLM, dataset: str, plan: StudySize, seed: int) -> pd.DataFrame:
    """Redundancy quantities; the noise is measured with a fill that no model was trained on."""
    from toolkit.redundancy import diagnose

    report = diagnose(vlm, _dataset(dataset, plan.diagnosis, seed), baselines=("blur", UNTRAINED[0]), seed=seed)
    return report.table().reset_index().assign(model=vlm.name, dataset=dataset)


def _dataset(name: str, n: int, seed: int) -> list[Sample]:
    from toolkit.scenes import load

    return load(name, "test", n, seed=seed)


def _kept_study(
    folder: Path | None, name: str, metrics: Mapping[str, Metric], plan: StudySize, seed: int, step: Progress
) -> Study:
    """The study of a model from a folder of an earlier run that asked the same, else made and kept there."""
    from toolkit.audit.metrics.shipped_panel import weights

    asked = {"plan": asdict(plan), "metrics": list(metrics), "seed": seed, "weights": weights().get(name)}
    found = Study.load(folder / name, asked) if folder else None
    if found is None:
        found = study(name, metrics, plan, seed=seed, step=step)
        if folder:
            found.save(folder / name, asked)
    return found


def _study_by_name(folder: Path | None, name: str, metrics: tuple[str, ...], plan: StudySize, seed: int) -> Study:
    """A study in a worker process, which finds metrics by their registered names."""
    import torch

    torch.set_num_threads(1)
    return _kept_study(folder, name, resolve(metrics), plan, seed, lambda message: None)


def studies(
    models: Sequence[str], metrics: Mapping[str, Metric], plan: StudySize, *, seed: int, workers: int, step: Progress,
    folder: Path | None = None,
) -> dict[str, Study]:  # fmt: skip
    """Studies of several models; in worker processes if there are several workers and all metrics are registered.

    With a folder each is kept there, and a run that was interrupted goes on with the next model.
    """
    known = all(name in METRICS and METRICS[name] is metric for name, metric in metrics.items())
    if workers < 2 or len(models) < 2 or not known:
        return {name: _kept_study(folder, name, metrics, plan, seed, step) for name in models}
    with ProcessPoolExecutor(min(workers, len(models)), mp_context=get_context("spawn")) as pool:
        waiting: dict[str, Future[Study]] = {
            name: pool.submit(_study_by_name, folder, name, tuple(metrics), plan, seed) for name in models
        }
        found = {}
        for name, future in waiting.items():
            found[name] = future.result()
            step(f"{name}: done")
    return found


def run_panel(
    metrics: Sequence[str | Metric] = JUDGED,
    *,
    models: Sequence[str] | None = None,
    plan: StudySize | None = None,
    seed: int = 0,
    workers: int = 2,
    progress: Progress | None = None,
    folder: Path | None = None,
) -> PanelRun:
    """Judge metrics by every rule, on games and on the installed embedded models; a folder keeps the studies."""
    if folder is not None:
        need("benchmark", "a validation that keeps its studies")
    start = time.perf_counter()
    plan = StudySize() if plan is None else plan
    step = progress if progress is not None else lambda message: None
    judged = resolve(metrics)
    names = embedded_models() if models is None else tuple(models)
    step("games known by construction")
    entries = game_entries(list(judged.values()))
    found = studies(names, judged, plan, seed=seed, workers=workers, step=step, folder=folder)
    pairs = {name: PAIRS.get(name, "") for name in names if name not in PAIRS.values()}
    step("judging")
    entries += model_entries({name: s.scores for name, s in found.items()}, pairs, tuple(judged))
    return PanelRun(ValidityPanel.of(entries), found, plan, time.perf_counter() - start)


def validate_metric(
    metric: str | Metric,
    *,
    models: Sequence[str] | None = None,
    plan: StudySize | None = None,
    seed: int = 0,
    workers: int = 2,
    progress: Progress | None = None,
) -> ValidityPanel:
    """Judge one metric, yours or ours, by every rule of the validity panel.

    Args:
        metric: A registered name, or a :class:`toolkit.synergy.Metric` of your own.
        models: Embedded models to study; None takes those installed. An empty list judges on games alone.
        plan: How many samples each part looks at.
        seed: Seed of the samples.
        workers: Processes; a metric that is not registered is studied in this one.
        progress: Called with a message at every step.

    Returns:
        The panel: every entry with number, interval, verdict and rule; ``.table()``, ``.summary()``, ``.verdict()``.

    Raises:
        UnknownNameError: No such metric.
        CheckpointError: A model that is not installed.

    Example:
        >>> import toolkit
        >>> panel = toolkit.validate_metric("f-syn", models=[])  # on games alone
        >>> panel.metrics
        ('f-syn',)
    """
    if not (plan is None or isinstance(plan, StudySize)):
        raise TypeError(f"plan must be a StudySize or None, got {plan!r}")
    check_whole("seed", seed)
    check_whole("workers", workers, 1)
    if models is not None:
        check_list("models", models)
    check_callable("progress", progress)
    plan = replace(StudySize() if plan is None else plan, surrogate=0, flaws=0)
    return run_panel([metric], models=models, plan=plan, seed=seed, workers=workers, progress=progress).panel


def validate(
    out: Path | str,
    *,
    metrics: Sequence[str | Metric] = JUDGED,
    models: Sequence[str] | None = None,
    samples: int = StudySize.controls,
    seed: int = 0,
    workers: int = 2,
    progress: Progress | None = None,
) -> ValidityReport:
    """Run the whole panel and write ``validity.html``, its tables, its picture and ``measured.json`` to a folder.

    What was measured on a model is kept in ``studies/``: a run that was interrupted goes on with the next model.

    Args:
        out: Folder; made if it does not exist.
        metrics: What to judge.
        models: Embedded models; None takes those installed.
        samples: Samples per grounded model for the controls; the other parts shrink with it below the default.
        seed: Seed of the samples.
        workers: Processes.
        progress: Called with a message at every step.
    """
    from toolkit.audit.metrics.shipped_panel import measured, write_measured

    names = embedded_models() if models is None else tuple(models)
    plan, what = StudySize().scaled(samples), measured(names)
    folder = Path(out) / "studies"
    done = run_panel(metrics, models=names, plan=plan, seed=seed, workers=workers, progress=progress, folder=folder)
    report = ValidityReport.of(done)
    report.write(out)
    write_measured(Path(out), what)
    return report
