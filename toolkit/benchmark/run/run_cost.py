"""Estimate a run's cost beforehand: forward passes, memory and time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from statistics import median

import numpy as np

from toolkit.benchmark.run.records import read_shards
from toolkit.benchmark.run.run_folder import SPEC_FILE, read_folder
from toolkit.benchmark.run.spec import BenchmarkSpec, changes
from toolkit.benchmark.run.units import Job, jobs_of
from toolkit.benchmark.run.workspace import configured, planned_dtype
from toolkit.datasets.folder import images_of_samples
from toolkit.datasets.load import DATASETS, DatasetRequest
from toolkit.explainers.base import EXPLAINERS, get_explainer, passes_of
from toolkit.games.attribution import Attribution
from toolkit.games.game import Players
from toolkit.registry import UnknownNameError
from toolkit.synergy import plan_metrics
from toolkit.vlm.adapters.families import families_of_several
from toolkit.vlm.attention_size import attention_bytes, attention_entries
from toolkit.vlm.loading.catalogue import CATALOGUE
from toolkit.vlm.loading.sources import stored_config
from toolkit.vlm.memory import format_bytes
from toolkit.vlm.partition import n_players_of
from toolkit.vlm.server.address import is_server
from toolkit.vlm.server.chat_request import SIDE
from toolkit.vlm.server.server_game import REPEATS

BYTES = {"float32": 4, "bfloat16": 2, "float16": 2, "4-bit weights": 0.6}
WORDS = {"embedded": 8, "hub": 24}
"""Text players of a typical sample."""

TEMPLATE = 32
"""Tokens of the instruction and the template around image and question."""


@dataclass(frozen=True)
class ModelCost:
    """The cost of one model.

    Attributes:
        model: Its name.
        n_tokens: Image tokens of a typical sample, of one with the most images where they have several.
        n_image: Image players of that sample.
        n_text: Text players of a typical sample.
        passes: Distinct coalitions that the metrics score on one sample, all explainers together.
        separate_passes: The same one explainer at a time, where nothing is shared between explainers.
        images: Distinct pictures that the metrics' coalitions show on one sample.
        forward: Forward rows of all explainers on one sample, at most.
        backward: Backward rows of all explainers on one sample, at most.
        silent: Explainers that do not say what they spend.
        refused: Why an explainer would refuse so many players, or the model so many images.
        dtype: Precision of its weights, on the device of the run.
        memory: Bytes of weights and working space, or None where the model is not in the catalogue.
        attention: Bytes of the attention weights of one layer, about; 0 where no explainer needs them, None where the
            model's configuration is not on this machine.
        seconds: Seconds per sample, explainers included, as measured in the folder ``out``; None without records there.
    """

    model: str
    n_tokens: int
    n_image: int
    n_text: int
    passes: int
    separate_passes: int
    images: int
    forward: int
    backward: int
    silent: tuple[str, ...]
    refused: tuple[str, ...]
    dtype: str
    memory: int | None
    attention: int | None
    seconds: float | None


@dataclass(frozen=True)
class RunCost:
    """The cost of a run.

    Attributes:
        spec: The run.
        samples: Samples per dataset, None where only the dataset itself knows.
        n_images: Images of a sample of each dataset, the most that one has.
        jobs: Explainers and seeds per sample.
        models: One entry per model.
        unpinned: Hub models whose commit neither the specification nor the catalogue names.
        other: How the settings of the folder that gave the times differ from those of the plan.
    """

    spec: BenchmarkSpec
    samples: dict[str, int | None]
    n_images: dict[str, int]
    jobs: int
    models: tuple[ModelCost, ...]
    unpinned: tuple[str, ...] = ()
    other: tuple[str, ...] = ()

    @property
    def n_samples(self) -> int | None:
        """Samples of all datasets together, or None where one of them does not say."""
        known = [n for n in self.samples.values() if n is not None]
        return sum(known) if len(known) == len(self.samples) else None

    def __str__(self) -> str:
        spec, total = self.spec, self.n_samples
        sizes = ", ".join(f"{name} {'?' if n is None else n}" for name, n in self.samples.items())
        records = "?" if total is None else f"{total * self.jobs * len(spec.models):,}"
        lines = [
            f"{spec.name}: {len(spec.models)} models x {len(spec.datasets)} datasets x {self.jobs} attributions each",
            f"samples: {sizes}; records: {records}; K = {spec.steps}; metrics: {', '.join(spec.metrics)}",
        ]
        if several := [f"{name} {n}" for name, n in self.n_images.items() if n > 1]:
            lines.append(f"images of a sample, the most that one has, for which is counted: {', '.join(several)}")
        for plan in self.models:
            memory = "memory unknown" if plan.memory is None else f"{format_bytes(plan.memory)} for {plan.dtype}"
            but = f" without {', '.join(plan.silent)}" if plan.silent else ""
            lines.append(
                f"{plan.model}: {plan.n_image:,} players of {plan.n_tokens:,} image tokens, {plan.n_text} words; per "
                f"sample {plan.passes:,} scoring passes over {plan.images:,} images (explainer by explainer "
                f"{plan.separate_passes:,}), explainers at most {plan.forward:,} forward and {plan.backward:,} "
                f"backward rows{but}; {memory}; {self._time(plan)}"
            )
            lines += [f"  {reason}" for reason in plan.refused]
            if plan.attention != 0:
                who, size = ", ".join(_lookers(spec)), "unknown until the model's files are on this machine"
                if plan.attention is not None:
                    size = f"about {format_bytes(plan.attention)}"
                lines.append(f"  memory for the attention weights of one layer ({who}): {size}")
            if is_server(plan.model):
                n = plan.passes + plan.forward + REPEATS + 1
                every = "" if total is None else f", {n * total:,} in all"
                lines.append(f"  behind a server: at most {n:,} requests per sample{every}, each with an image")
        for name in self.unpinned:
            lines.append(f"before it can run: name a commit of {name} (on its page): --revision {name}=...")
        known = [plan.seconds for plan in self.models if plan.seconds is not None]
        if len(known) == len(self.models) > 1 and total is not None:
            lines.append(f"all models: {self._duration(sum(known))}")
        if self.other:
            lines.append(f"the times were measured with other settings: {'; '.join(self.other)}")
        if len(known) < len(self.models):
            lines.append(
                "time is measured, not guessed: evaluate some samples with --samples 5 --out FOLDER, then plan with "
                "--out FOLDER"
            )
        return "\n".join(lines)

    def _time(self, plan: ModelCost) -> str:
        if plan.seconds is None:
            return "time not measured yet"
        rate = f"{plan.seconds:.2g} s per sample"
        return rate if self.n_samples is None else f"{rate}, {self._duration(plan.seconds)}"

    def _duration(self, seconds: float) -> str:
        """Time of all samples at so many seconds each."""
        hours = seconds * (self.n_samples or 0) / self.spec.workers / 3600
        text = f"{hours:.1f} h" if hours >= 1 else f"{60 * hours:.1f} min"
        return f"{text} with {self.spec.workers} worker{'s' if self.spec.workers > 1 else ''}"


def dry_run(spec: BenchmarkSpec) -> RunCost:
    """Plan a run without loading a model or a dataset.

    Of a folder only the question file is read.

    Raises:
        UnknownNameError: A dataset does not exist.
        FileNotFoundError: A dataset's folder or its question file does not.
        ValueError: A line of a question file is not valid, or it has fewer samples than are asked for.
    """
    jobs = jobs_of(spec)
    extents = {name: _extent(name, spec) for name in spec.datasets}
    sizes = {name: size for name, (size, _) in extents.items()}
    n_images = {name: n for name, (_, n) in extents.items()}
    most = max(n_images.values())
    measured, other = _measured(spec, sizes)
    found = []
    for model in spec.models:
        entry = CATALOGUE[model] if model in CATALOGUE else None  # noqa: SIM401 - a registry has no get()
        n_tokens = 576 if entry is None else entry.n_image_tokens(spec.max_pixels, spec.max_tiles)
        if is_server(model) and spec.players == "auto":
            n_tokens = SIDE**2
        n_image = most * n_players_of(spec.players, n_tokens)
        n_text = WORDS["hub" if entry is None else entry.source]
        dtype = "4-bit weights" if spec.four_bit else planned_dtype(spec, model)
        memory = None if entry is None else entry.bytes_needed(BYTES[dtype])
        forward, backward, silent, refused = _rows(spec, jobs, n_image + n_text, n_text)
        rows = (forward, backward, silent, (*_one_only(model, n_images), *refused))
        scoring = (*count_passes(spec, jobs, n_image, n_text, most), *rows)
        attention = _attention(spec, model, most * n_tokens, n_text, most, BYTES[dtype])
        about = (dtype, memory, attention, measured.get(model))
        found.append(ModelCost(model, most * n_tokens, n_image, n_text, *scoring, *about))
    hub = [name for name in spec.models if name in CATALOGUE and CATALOGUE[name].source == "hub"]
    unpinned = tuple(name for name in hub if CATALOGUE[name].revision is None and name not in spec.revisions)
    return RunCost(spec, sizes, n_images, len(jobs), tuple(found), unpinned, other)


def _rows(
    spec: BenchmarkSpec, jobs: tuple[Job, ...], n_players: int, n_text: int
) -> tuple[int, int, tuple[str, ...], tuple[str, ...]]:
    """Forward and backward rows of all explainers, those that do not say, and why others would refuse."""
    forward, backward = 0, 0
    silent: dict[str, None] = {}
    refused: dict[str, None] = {}
    for name, _ in jobs:
        try:
            passes = passes_of(configured(name, spec.options.get(name, {})), n_players, n_text)
        except UnknownNameError:  # a workspace's own
            passes = None
        except ValueError as error:
            refused[str(error)] = None
            continue
        if passes is None:
            silent[name] = None
        else:
            forward, backward = forward + passes.forward, backward + passes.backward
    return forward, backward, tuple(silent), tuple(refused)


def _lookers(spec: BenchmarkSpec) -> list[str]:
    """The run's explainers that look at attention weights."""
    names = [name for name in spec.explainers if name in EXPLAINERS]
    return [name for name in names if "attention" in getattr(get_explainer(name), "needs", ())]


def _attention(
    spec: BenchmarkSpec, model: str, n_image_tokens: int, n_text: int, n_images: int, itemsize: float
) -> int | None:
    """Bytes of one layer's attention weights, as ``check_attention`` counts them where gradients are kept too."""
    if is_server(model) or not _lookers(spec):
        return 0
    config = stored_config(model, spec.revisions.get(model))
    if config is None:
        return None
    entries = attention_entries(config, n_image_tokens, n_image_tokens + n_text + TEMPLATE, n_images)
    return attention_bytes(entries, max(2, itemsize), copies=5)


def count_passes(
    spec: BenchmarkSpec, jobs: tuple[Job, ...], n_image: int, n_text: int, n_images: int = 1
) -> tuple[int, int, int]:
    """Passes of one sample together, explainer by explainer, and distinct image masks; for orderings without ties.

    Of several images each has ``n_image / n_images`` players and is encoded once, whatever happens to the others.
    """
    players = Players.make(tuple(map(str, range(n_image))), tuple(map(str, range(n_text))))
    rng = np.random.default_rng(0)
    attributions = [Attribution(rng.standard_normal(players.n), players, name, "") for name, _ in jobs]
    plan = plan_metrics(attributions, spec.metrics, spec.steps)
    alone = plan_metrics(attributions[:1], spec.metrics, spec.steps)
    masks = sum(len(np.unique(own, axis=0)) for own in np.split(plan.coalitions[:, :n_image], n_images, axis=1))
    return plan.n_coalitions, alone.n_coalitions * len(jobs), masks


def _extent(dataset: str, spec: BenchmarkSpec) -> tuple[int | None, int]:
    """Samples, None where only the dataset itself knows, and the most images that one has."""
    if dataset.startswith("folder:"):
        found = images_of_samples(DatasetRequest(dataset, spec.split, spec.samples, seed=0))
        return len(found), max(found, default=1)
    entry = DATASETS[dataset]
    return min((n for n in (spec.samples, entry.size) if n is not None), default=None), entry.n_images


def _one_only(model: str, n_images: dict[str, int]) -> tuple[str, ...]:
    """Why a model would refuse samples of several images, where it does."""
    several = [name for name, n in n_images.items() if n > 1]
    family = CATALOGUE[model].family if model in CATALOGUE else "a server" if is_server(model) else None
    known = families_of_several()
    if not several or family is None or family in known:
        return ()
    return (
        f"{family} is asked about one image here, and samples of {', '.join(several)} have several; families that take "
        f"several: {', '.join(known)}",
    )


def _measured(spec: BenchmarkSpec, sizes: dict[str, int | None]) -> tuple[dict[str, float], tuple[str, ...]]:
    """Seconds per sample of each model from the folder ``out``, and how that run's settings differ from the plan's."""
    if spec.out is None or not (spec.out / SPEC_FILE).is_file():
        return {}, ()
    found: dict[str, dict[str, list[float]]] = {}
    for line in read_shards(spec.out):
        seconds = (line.get("cost") or {}).get("seconds", math.nan)
        if line["kind"] == "sample" and math.isfinite(seconds):
            found.setdefault(line["model"], {}).setdefault(line["dataset"], []).append(seconds)
    rates = {}
    # A dataset counts with the median of its own samples (or of all the model's), in proportion to its planned size.
    weights = [1 if None in sizes.values() else size or 0 for size in sizes.values()]
    for model, times in found.items():
        every = [seconds for values in times.values() for seconds in values]
        rates[model] = float(np.average([median(times.get(name, every)) for name in sizes], weights=weights))
    free = {"samples", "models", "datasets", "images", "revisions", "split"}
    mine, theirs = ({k: v for k, v in s.content.items() if k not in free} for s in (spec, read_folder(spec.out).spec))
    return rates, tuple(changes(theirs, mine)) if rates else ()
