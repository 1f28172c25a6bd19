"""Measure explainers on samples: the one loop from a model, samples, explainers and metrics to rows.

``measure`` is for whoever wants a table. What runs for days (``toolkit.benchmark``) or asks under several settings
(``toolkit.audit``) takes its steps: ``attributions_of`` explains, ``evaluate_all`` scores, ``rows_of`` writes the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import pandas as pd

from toolkit.arguments import check_callable, check_list, check_whole
from toolkit.datasets.baselines import BASELINES
from toolkit.datasets.sample import Sample
from toolkit.explainers.base import ExplainerLike, explain, get_explainer, is_deterministic
from toolkit.games.attribution import Attribution
from toolkit.synergy.evaluate import evaluate_all
from toolkit.synergy.metrics import DEFAULT_METRICS, Metric
from toolkit.synergy.score import Score
from toolkit.vlm.protocol import VLM, check_asked

Row: TypeAlias = dict[str, Any]

COLUMNS = (
    "model", "dataset", "sample", "image_id", "category", "explainer", "seed", "target", "metric", "value", "reason",
)  # fmt: skip
"""One row is one metric of one attribution; ``value`` is NaN exactly where ``reason`` says why."""


@dataclass(frozen=True)
class Explained:
    """What came of one explainer on one sample.

    Attributes:
        explainer: Its name.
        seed: Its seed.
        attribution: The attribution, or None where there is none.
        error: Why there is none.
    """

    explainer: str
    seed: int
    attribution: Attribution | None = None
    error: BaseException | None = None


def explain_jobs(jobs: Sequence[tuple[str, int]], explain_one: Callable[[str, int], Attribution]) -> list[Explained]:
    """Explain by every (explainer, seed); what one raises is kept, and the others go on."""
    found = []
    for explainer, seed in jobs:
        try:
            found.append(Explained(explainer, seed, explain_one(explainer, seed)))
        except (Exception, SystemExit) as error:  # whatever somebody's explainer raises
            found.append(Explained(explainer, seed, error=error))
    return found


def jobs_of(explainers: Sequence[ExplainerLike], seeds: Sequence[int]) -> list[tuple[str, int]]:
    """Name and seed of every explanation of a sample; explainers that draw nothing run with the first seed only."""
    return [
        (get_explainer(one).name, seed)
        for one in explainers
        for seed in (seeds[:1] if is_deterministic(one) else seeds)
    ]


def attributions_of(
    vlm: VLM, sample: Sample, explainers: Sequence[ExplainerLike], *, target: str, baseline: str = "blur",
    seeds: Sequence[int] = (0,),
) -> list[Explained]:  # fmt: skip
    """Attributions of one sample by every explainer and seed.

    Raises:
        ValueError: Two explainers of one name.
    """
    by_name = {get_explainer(one).name: one for one in explainers}
    if len(by_name) < len(explainers):
        names = [get_explainer(one).name for one in explainers]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"two explainers are called {twice!r}; give each a name of its own, with @explainer(name)")

    def explain_one(name: str, seed: int) -> Attribution:
        return explain(by_name[name], vlm, sample, target=target, baseline=baseline, seed=seed)

    return explain_jobs(jobs_of(explainers, seeds), explain_one)


def reason_of(error: BaseException | None) -> str:
    """A failure as one line; running out of memory has one name on every device."""
    try:
        text = " ".join(str(error).split())[:500]
    except (Exception, SystemExit) as second:
        text = f"its message cannot be read ({type(second).__name__})"
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "out of memory" in text.lower():
        return f"out of memory: {text}" if text else "out of memory"
    return f"{type(error).__name__}: {text}"


def sample_columns(vlm: VLM, sample: Sample) -> Row:
    """The columns that tell one sample on one model from another."""
    return {
        "model": vlm.name, "dataset": sample.dataset, "sample": sample.id, "image_id": sample.image_id or sample.id,
        "category": sample.category,
    }  # fmt: skip


def rows_of(
    vlm: VLM, sample: Sample, attributions: Sequence[Attribution], scores: Sequence[Mapping[str, Score]], *,
    seeds: Sequence[int] | int = 0,
) -> Iterator[Row]:  # fmt: skip
    """Rows of scored attributions of one sample, metric by metric."""
    drawn = [seeds] * len(attributions) if isinstance(seeds, int) else seeds
    for attribution, seed, by_metric in zip(attributions, drawn, scores, strict=True):
        who = {"explainer": attribution.explainer, "seed": seed, "target": attribution.target}
        for name, score in by_metric.items():
            yield sample_columns(vlm, sample) | who | {"metric": name, "value": score.value, "reason": score.reason}


def measure(
    vlm: VLM,
    samples: Sequence[Sample],
    explainers: Sequence[ExplainerLike],
    metrics: Sequence[str | Metric] = DEFAULT_METRICS,
    *,
    steps: int = 10,
    baseline: str = "blur",
    seeds: Sequence[int] = (0,),
    watch: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Score explainers on samples by metrics: one row per sample, explainer, seed and metric.

    Every explainer explains the model's own answer; all of a sample are scored on one game, which is asked for each
    distinct coalition once. An explainer that fails has rows without a value, and the reason.

    Args:
        vlm: The model.
        samples: The samples.
        explainers: Registry names, explainer objects or functions.
        metrics: Registry names, or metrics.
        steps: K.
        baseline: What a removed cell looks like: ``"blur"``, ``"mean"`` or ``"noise"``.
        seeds: Seeds of everything random in the explainers; one that draws nothing runs with the first only.
        watch: Called as watch(done, total) after every sample.

    Returns:
        Table with the columns ``COLUMNS``.

    Raises:
        UnknownNameError: An explainer or a metric that is not registered.
        TypeError: A single sample, name or seed instead of a list of them.
        ValueError: No samples, explainers or metrics, two explainers or metrics of one name, or steps below 1.

    Example:
        >>> import toolkit
        >>> vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
        >>> samples = toolkit.load_samples("scenes-existence", n=2)
        >>> table = toolkit.measure(vlm, samples, ["occlusion", "random"], ["f-syn"], seeds=(0, 1))
        >>> table.groupby("explainer")["value"].count().to_dict()
        {'occlusion': 2, 'random': 4}
    """
    for what, given in (("samples", samples), ("explainers", explainers), ("metrics", metrics), ("seeds", seeds)):
        check_list(what, given)
    for seed in seeds:
        check_whole("each of seeds", seed)
    check_callable("watch", watch)
    BASELINES.check(baseline)
    if not samples or not explainers or not metrics or not seeds:
        raise ValueError(
            f"nothing to measure: {len(samples)} samples, {len(explainers)} explainers, {len(metrics)} metrics, "
            f"{len(seeds)} seeds; give at least one of each"
        )
    for sample in samples:
        check_asked(vlm, sample)
    rows: list[Row] = []
    for done, sample in enumerate(samples, 1):
        game = vlm.game(sample, baseline=baseline)
        tried = attributions_of(vlm, sample, explainers, target=game.target, baseline=baseline, seeds=seeds)
        found = [(one.attribution, one.seed) for one in tried if one.attribution is not None]
        maps, drawn = [attribution for attribution, _ in found], [seed for _, seed in found]
        if maps:
            scores = evaluate_all(game, maps, steps, metrics=metrics)
            rows += rows_of(vlm, sample, maps, scores, seeds=drawn)
        for one in tried:
            if one.error is not None:
                who = {"explainer": one.explainer, "seed": one.seed, "target": game.target}
                nothing = {"value": float("nan"), "reason": reason_of(one.error)}
                names = (m if isinstance(m, str) else m.spec.name for m in metrics)
                rows += [sample_columns(vlm, sample) | who | {"metric": name} | nothing for name in names]
        if watch is not None:
            watch(done, len(samples))
    return pd.DataFrame(rows, columns=list(COLUMNS))
