"""The toolkit's own models, datasets, explainers and metrics, as a benchmark worker uses them."""

from __future__ import annotations

import dataclasses
import difflib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from toolkit.benchmark.run.run_environment import environment
from toolkit.benchmark.run.sample_store import MAX_DECODED, SampleStore
from toolkit.benchmark.run.spec import BenchmarkSpec, SpecError
from toolkit.benchmark.run.units import Skip, Unreadable
from toolkit.datasets.load import DATASETS, check_dataset, iter_samples
from toolkit.datasets.sample import Sample
from toolkit.explainers import Attribution, Explainer, explain, get_explainer
from toolkit.explainers.base import FunctionExplainer
from toolkit.explainers.oracle import has_evidence
from toolkit.registry import import_plugin
from toolkit.synergy import METRICS, evaluate_all
from toolkit.synergy.score import Score
from toolkit.vlm.engine.store import default_store
from toolkit.vlm.loading.limits import limits_by_model
from toolkit.vlm.loading.load_checkpoint import load_vlm
from toolkit.vlm.loading.placement import DTYPES, check_device, check_memory, choose_dtype
from toolkit.vlm.loading.sources import find_source, identity_of
from toolkit.vlm.memory import release
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.protocol import VLM, VLMGame
from toolkit.vlm.server.address import is_server, parse_address
from toolkit.vlm.server.chat_client import NotConfirmedError


def configured(name: str, options: Mapping[str, int | float | str]) -> Explainer:
    """An explainer with some of its settings replaced.

    Raises:
        UnknownNameError: No explainer has this name.
        SpecError: It has no such setting.
    """
    explainer = get_explainer(name)
    if not options:
        return explainer
    known: list[str] = [f.name for f in dataclasses.fields(explainer)] if dataclasses.is_dataclass(explainer) else []
    for option in options:
        if option not in known:
            close = difflib.get_close_matches(option, known, n=1, cutoff=0.5)
            hint = f"; did you mean {close[0]!r}?" if close else "."
            raise SpecError(f"explainer {name!r} has no setting {option!r}{hint} It has: {', '.join(known) or 'none'}")
    return dataclasses.replace(explainer, **options)  # type: ignore[type-var]  # a dataclass, checked above


def check_spec(spec: BenchmarkSpec, *, pinned: bool = True) -> dict[str, Explainer]:
    """The explainers of a specification, once everything that it names is known to exist and to be pinned.

    Nothing is loaded and no network is used. ``pinned=False`` lets a hub model without a commit pass, for a plan.

    Raises:
        UnknownNameError: A model, dataset, split, explainer or metric that does not exist.
        CheckpointError: A model's folder is missing, damaged or unsafe, or a hub model has no commit.
        SpecError: An explainer has no such setting or is not known to the workers, or a dataset has no revisions.
        PluginError: A plug-in cannot be imported.
    """
    for module in spec.plugins:
        import_plugin(module)
    for name in spec.metrics:
        METRICS.check(name)
    explainers = {name: configured(name, spec.options.get(name, {})) for name in spec.explainers}
    _check_reach(spec, explainers)
    for name in spec.datasets:
        check_dataset(name, spec.split)
        is_hub = name in DATASETS and DATASETS[name].is_hub
        if name in spec.revisions and not is_hub:
            raise SpecError(f"revisions name {name!r}, which has none: only hub models and hub datasets have")
        if name in spec.sources and not is_hub:
            raise SpecError(f"sources name {name!r}, which is read from elsewhere: only hub datasets have a copy")
    for name in spec.models:
        identity_of(name, spec.revisions.get(name), pinned=pinned)
    return explainers


def _check_reach(spec: BenchmarkSpec, explainers: Mapping[str, Explainer]) -> None:
    """Refuse for other processes an explainer or a metric that only this session knows: one of a notebook or script."""
    made: dict[str, object] = {name: getattr(found, "inner", found) for name, found in explainers.items()}
    made |= {name: METRICS[name].score for name in spec.metrics}
    here = [name for name, found in made.items() if _home(found) == "__main__"]
    if here and (spec.executor != "serial" or spec.time_limit is not None):
        executor = f"the workers of executor {spec.executor!r}"
        who = executor if spec.time_limit is None else "the worker that time_limit needs"
        raise SpecError(
            f"{', '.join(here)}: registered in this session, which {who} does not "
            "see; write it into a module and name it 'module:attribute', or list the module under plugins"
        )


def _home(made: object) -> str:
    """The module in which somebody wrote it."""
    code = made.function if isinstance(made, FunctionExplainer) else made
    return str(getattr(code, "__module__", type(code).__module__))


def image_limits(spec: BenchmarkSpec) -> dict[str, dict[str, Any]]:
    """The bounds of each model's images.

    Raises:
        SpecError: A bound that none of the models has.
    """
    bounds = {"max_pixels": spec.max_pixels, "max_tiles": spec.max_tiles}
    try:
        return limits_by_model(spec.models, bounds, spec.revisions)
    except ValueError as error:
        raise SpecError(str(error)) from error


def images_leave_for(spec: BenchmarkSpec) -> list[str]:
    """Servers elsewhere that would be sent images, unless the specification agrees."""
    servers = [parse_address(name) for name in spec.models if is_server(name)]
    return [] if spec.yes else [server.host for server in servers if not server.is_here]


def planned_dtype(spec: BenchmarkSpec, model: str) -> str:
    """The precision that the run will have, which need not be planned on the machine that runs it."""
    kind = spec.device.partition(":")[0]
    if kind == "auto" and spec.executor == "ray":
        kind = "cuda" if spec.gpus_per_worker else "cpu"
    device = check_device(None) if kind == "auto" else torch.device(kind)
    return str(choose_dtype(model, None if spec.dtype == "auto" else spec.dtype, device)).removeprefix("torch.")


class ToolkitWorkspace:
    """Loads models and datasets on demand and keeps one model at a time.

    Raises:
        UnknownNameError, CheckpointError, SpecError: As ``check_spec``.
    """

    def __init__(self, spec: BenchmarkSpec) -> None:
        self.spec = spec
        self.explainers = check_spec(spec)
        self._samples: dict[str, SampleStore] = {}
        self._model: LoadedVLM | None = None

    def samples(self, dataset: str) -> Mapping[str, Sample | Unreadable]:
        """Samples by id, in the dataset's order; those whose picture cannot be decoded say why.

        Raises:
            SpecError: Two samples have the same id.
        """
        if dataset not in self._samples:
            store, spec = SampleStore(), self.spec
            for sample in iter_samples(
                dataset, spec.split, spec.samples, revision=spec.revisions.get(dataset),
                source=spec.sources.get(dataset), instruction=spec.instruction,
                on_unreadable=lambda sample, reason: store.add(Unreadable(sample, reason)),
            ):  # fmt: skip
                store.add(sample)
            for name in [name for name, known in self._samples.items() if len(known) > MAX_DECODED]:
                del self._samples[name]  # one large dataset at a time
            self._samples[dataset] = store
        return self._samples[dataset]

    def identities(self) -> dict[str, str]:
        """Commit or files of every model, content of every dataset.

        Where the work is done on this machine, every model is also looked at before the first is evaluated.

        Raises:
            CheckpointError: A model is missing, damaged, gated or unreachable.
            MemoryError: A model cannot fit.
            ValueError: This machine has no such device.
            NotConfirmedError: Images would leave this machine for a server.
        """
        spec = self.spec
        found = {f"model {name}": identity_of(name, spec.revisions.get(name)) for name in spec.models}
        local = [name for name in spec.models if not is_server(name)]
        if spec.dtype == "auto":
            found |= {f"dtype of {name}": planned_dtype(spec, name) for name in local}
        image_limits(spec)
        if abroad := images_leave_for(spec):
            raise NotConfirmedError(
                f"every image would be sent to {', '.join(abroad)}; see how often with --dry-run, and agree to it with "
                "--yes (yes: true in the specification)"
            )
        if spec.executor != "ray":
            device = check_device(spec.device)
            for name in local:
                source = find_source(name, revision=spec.revisions.get(name), pinned=True)
                check_memory(source, DTYPES[planned_dtype(spec, name)], device, four_bit=spec.four_bit)
        for name in spec.datasets:
            self.samples(name)
            found[f"samples of {name}"] = f"content {self._samples[name].digest}"
        return found

    def model(self, name: str) -> VLM:
        """The loaded model; the one before it is let go first.

        Raises:
            CheckpointError: It cannot be loaded, or a hub model has no pinned revision.
        """
        if self._model is None or self._model.name != name:
            if self._model is not None:
                self._model = None
                release(check_device(self.spec.device))
            spec, limits = self.spec, image_limits(self.spec)[name]
            if is_server(name):  # remembers, since its answers cost most
                self._model = load_vlm(name, **limits, players=spec.players, yes=spec.yes, store=default_store())
                return self._model
            self._model = load_vlm(
                name, revision=spec.revisions.get(name), pinned=True, device=spec.device,
                dtype=None if spec.dtype == "auto" else spec.dtype, four_bit=spec.four_bit, attention=spec.attention,
                max_tokens=spec.max_tokens, **limits, players=spec.players,
            )  # fmt: skip
        return self._model

    def explain(self, explainer: str, vlm: VLM, sample: Sample, *, target: str, seed: int) -> Attribution:
        """Explain one answer with the specification's settings."""
        found = self.explainers[explainer]
        if "truth" in found.needs and not has_evidence(sample):
            family = f", family {sample.category}," if sample.truth is not None else ""
            raise Skip(f"{explainer} needs evidence that serves as ground truth; {sample.dataset}{family} has none")
        return explain(found, vlm, sample, target=target, baseline=self.spec.baseline, seed=seed)

    def score(self, game: VLMGame, attributions: Sequence[Attribution]) -> list[dict[str, Score]]:
        """All metrics, with every distinct coalition evaluated once across explainers."""
        return evaluate_all(game, attributions, self.spec.steps, metrics=self.spec.metrics)

    def environment(self, vlm: VLM) -> dict[str, str]:
        """Versions, git state, and the model's identity."""
        identity = self._model.identity() if self._model is not None else {}
        told = {k: v if isinstance(v, str) else json.dumps(v, sort_keys=True) for k, v in identity.items()}
        return {**environment(), **{f"model_{name}": value for name, value in told.items()}}

    def origin(self, vlm: VLM, dataset: str) -> dict[str, str | None]:
        """Digests of the checkpoint's files and of the samples."""
        self.samples(dataset)
        checkpoint = None if self._model is None else self._model.digest
        return {"checkpoint": checkpoint, "content": self._samples[dataset].digest}

    def effort(self, vlm: VLM) -> dict[str, int | float | str]:
        """Batch sizes of the scoring engine and how often memory ran out."""
        return self._model.effort() if self._model is not None else {}
