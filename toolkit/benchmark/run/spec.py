"""What a benchmark run evaluates and how: validated, versioned, refused when mistyped."""

from __future__ import annotations

import difflib
import hashlib
import json
import re
from collections import Counter
from pathlib import Path
from reprlib import repr as short
from typing import Annotated, Any, Literal

import yaml
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, model_validator

from toolkit.arguments import as_path
from toolkit.datasets.instructions import check_instruction
from toolkit.registry import UnknownNameError
from toolkit.synergy.metrics import DEFAULT_METRICS
from toolkit.vlm.partition import check_players

EXECUTION_FIELDS = frozenset(
    {"name", "out", "executor", "workers", "ray_address", "gpus_per_worker", "time_limit", "max_failed", "retry_failed",
     "bootstrap", "level", "headline", "plugins", "progress", "sources", "yes"}
)  # fmt: skip
"""Fields that may change between two runs of one folder: they say how to run or summarise, not what to measure.

What is read from ``sources`` is part of a run's identity by its content, wherever it lies.
"""


class SpecError(ValueError):
    """A benchmark specification that cannot be read or does not make sense; the message says what to change."""


def _unique(names: tuple[Any, ...]) -> tuple[Any, ...]:
    repeated = sorted(str(name) for name, count in Counter(names).items() if count > 1)
    if repeated:
        raise ValueError(f"listed more than once: {', '.join(repeated)}; list each once")
    return names


def _pinned(revision: str) -> str:
    if not re.fullmatch(r"[0-9a-f]{40}", revision):
        raise ValueError(f"expected a commit of 40 hexadecimal digits, got {revision!r}: a branch or a tag can move")
    return revision


def _instruction(text: str) -> str:
    try:
        return check_instruction(text)
    except UnknownNameError as error:
        raise ValueError(str(error)) from None


Names = Annotated[tuple[str, ...], Field(min_length=1), AfterValidator(_unique)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
Seeds = Annotated[tuple[Seed, ...], Field(min_length=1), AfterValidator(_unique)]


class BenchmarkSpec(BaseModel):
    """Models x datasets x explainers x seeds, and the settings under which they are scored.

    Attributes:
        version: Version of this format.
        name: Title of the report.
        models: Names, folders or hub ids, as ``toolkit.load_vlm`` takes them.
        datasets: Names, as ``toolkit.load_samples`` takes them.
        explainers: Registry names; controls (random, oracle, anti-oracle) are explainers too.
        samples: Samples per dataset, or None for all of them.
        split: Split of every dataset.
        seeds: Explainers that draw random numbers run once per seed; the others run with the first seed only.
        steps: K, the number of steps of every curve.
        baseline: What a removed image cell is replaced by.
        instruction: How the models are told to answer, instead of the datasets' own wordings: a style or a text, as
            ``toolkit.load_samples`` takes it.
        metrics: Registry names of the metrics.
        headline: The metric that ranks the leaderboards; one of ``metrics``.
        options: Settings per explainer, for example ``{"integrated-gradients": {"steps": 5}}``.
        revisions: Commit (40 hex digits) per hub model or hub dataset, instead of the catalogue's.
        sources: Folder with its parquet files per hub dataset, instead of the hub.
        dtype: Floating point type of the weights; ``"auto"`` as ``toolkit.load_vlm`` chooses it.
        four_bit: 4-bit weights through bitsandbytes, on a GPU.
        attention: ``"sdpa"`` or ``"eager"``.
        max_pixels: Largest area of an image, for the models whose family has a dynamic grid.
        max_tiles: Most tiles of an image, for the models whose family tiles.
        players: Who plays, as ``toolkit.load_vlm`` takes it.
        device: ``"auto"``, ``"cpu"``, ``"cuda"``, ``"cuda:0"`` or ``"mps"``.
        max_tokens: Most decoder tokens in one forward pass, or None to choose from the free memory.
        images: For so many samples of each dataset the picture is kept for the report.
        plugins: Modules that every process imports first; each registers explainers, metrics or datasets of its own.
        out: Folder of the run.
        executor: ``"serial"`` (this process), ``"processes"`` or ``"ray"``.
        workers: Number of model replicas that work at the same time.
        ray_address: Address of a Ray cluster, or None to start one on this machine.
        gpus_per_worker: GPUs of each worker on Ray; 0.5 lets two workers share one.
        time_limit: Seconds that one sample may take once its model is loaded; then it is stopped. The explainer at
            work is recorded as failed and the sample is done again without it; on Ray, or where metrics are at work,
            all its explainers are. A serial run with a limit evaluates in a process of its own, which can be stopped.
        max_failed: Largest share of failed records with which the run still counts as a success.
        retry_failed: Evaluate records again that failed in an earlier run of the folder.
        bootstrap: Resamples of every bootstrap interval.
        level: Coverage of the intervals.
        progress: Show a progress bar.
        yes: Images may leave this machine for the servers that the models name.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    version: Literal[1] = 1
    name: str = "benchmark"
    models: Names
    datasets: Names
    explainers: Names
    samples: int | None = Field(default=20, ge=1)
    split: str = "test"
    seeds: Seeds = (0,)
    steps: int = Field(default=10, ge=1, le=1000)
    baseline: Literal["blur", "mean", "noise"] = "blur"
    instruction: Annotated[str, AfterValidator(_instruction)] | None = None
    metrics: Names = DEFAULT_METRICS
    headline: str = "f-syn"
    options: dict[str, dict[str, int | float | str]] = Field(default_factory=dict)
    revisions: dict[str, Annotated[str, AfterValidator(_pinned)]] = Field(default_factory=dict)
    sources: dict[str, Path] = Field(default_factory=dict)
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    four_bit: bool = False
    attention: Literal["sdpa", "eager"] = "sdpa"
    max_pixels: int | None = Field(default=None, ge=1)
    max_tiles: int | None = Field(default=None, ge=1)
    players: Annotated[str, AfterValidator(check_players)] = "auto"
    device: Annotated[str, Field(pattern=r"^(auto|cpu|mps|cuda(:\d+)?)$")] = "auto"
    max_tokens: int | None = Field(default=None, ge=1)
    images: int = Field(default=24, ge=0)
    plugins: tuple[str, ...] = ()
    out: Path | None = None
    executor: Literal["serial", "processes", "ray"] = "serial"
    workers: int = Field(default=1, ge=1, le=1024)
    ray_address: str | None = None
    gpus_per_worker: float = Field(default=0.0, ge=0.0)
    time_limit: float | None = Field(default=None, gt=0.0)
    max_failed: float = Field(default=0.0, ge=0.0, le=1.0)
    retry_failed: bool = False
    bootstrap: int = Field(default=2000, ge=100, le=1_000_000)
    level: float = Field(default=0.95, gt=0.5, lt=1.0)
    progress: bool = True
    yes: bool = False

    def __init__(self, **fields: Any) -> None:
        try:
            super().__init__(**fields)
        except ValidationError as error:
            raise SpecError(f"specification: {'; '.join(_readable(error))}") from None

    __init__.__pydantic_base_init__ = True  # type: ignore[attr-defined]  # model_validate need not come here

    @model_validator(mode="before")
    @classmethod
    def _known_keys(cls, data: Any) -> Any:
        if isinstance(data, dict):
            for key in data:
                if key not in cls.model_fields:
                    close = difflib.get_close_matches(str(key), list(cls.model_fields), n=1, cutoff=0.5)
                    hint = f"; did you mean {close[0]!r}?" if close else "."
                    raise ValueError(f"unknown key {key!r}{hint} Known: {', '.join(cls.model_fields)}")
        return data

    @model_validator(mode="after")
    def _possible(self) -> BenchmarkSpec:
        if self.executor == "serial" and self.workers > 1:
            raise ValueError(f"executor 'serial' has one worker, got workers={self.workers}; use executor: processes")
        if self.executor != "ray" and (self.ray_address is not None or self.gpus_per_worker > 0):
            raise ValueError(f"ray_address and gpus_per_worker need executor: ray, got executor: {self.executor}")
        if self.executor == "ray":
            self._fits_ray()
        for field, names, known in (
            ("options", self.options, self.explainers), ("revisions", self.revisions, (*self.models, *self.datasets)),
            ("sources", self.sources, self.datasets),
        ):  # fmt: skip
            unknown = sorted(set(names) - set(known))
            if unknown:
                raise ValueError(f"{field} name {', '.join(unknown)}, not evaluated here; known: {', '.join(known)}")
        both = sorted(set(self.sources) & set(self.revisions))
        if both:
            raise ValueError(f"sources and revisions both name {', '.join(both)}; a folder has no revisions")
        if self.headline not in self.metrics:
            raise ValueError(f"headline {self.headline!r} is not among the metrics: {', '.join(self.metrics)}")
        if self.device == "cpu" and self.four_bit:
            raise ValueError("four_bit needs a GPU; device: cpu has none")
        if self.device == "cpu" and self.dtype == "float16":
            raise ValueError("dtype float16 has no sound CPU arithmetic; use float32 or bfloat16, or a GPU")
        return self

    def _fits_ray(self) -> None:
        """Ray shows a worker the GPUs that it asked for and hides all others; a worker that asks for none sees none."""
        if self.device == "cpu" and self.gpus_per_worker > 0:
            raise ValueError(f"gpus_per_worker {self.gpus_per_worker:g} reserves GPUs that device: cpu does not use")
        if self.device.startswith("cuda") and self.gpus_per_worker == 0:
            raise ValueError(f"device: {self.device} on Ray needs gpus_per_worker, for example gpus_per_worker: 1")
        if self.device.startswith("cuda:"):
            raise ValueError(f"device: {self.device} on Ray: workers see their own GPUs only; use device: cuda")

    @property
    def content(self) -> dict[str, Any]:
        """The fields that decide the numbers, JSON-ready."""
        return self.model_dump(mode="json", exclude=set(EXECUTION_FIELDS))

    @property
    def fingerprint(self) -> str:
        """First 16 hex digits of the SHA-256 of ``content``."""
        return hashlib.sha256(json.dumps(self.content, sort_keys=True).encode()).hexdigest()[:16]


def make_spec(data: object, source: str = "specification") -> BenchmarkSpec:
    """A validated specification.

    Raises:
        SpecError: Unknown keys, wrong types or impossible combinations; one line per problem.
    """
    if not isinstance(data, dict):
        raise SpecError(f"{source}: expected a mapping of fields, got {type(data).__name__}")
    try:
        return BenchmarkSpec.model_validate(data)
    except ValidationError as error:
        raise SpecError(f"{source}: " + "; ".join(_readable(error))) from None


_WORDS = {
    "tuple_type": "expected a list, for example [a, b]",
    "dict_type": "expected a mapping, for example {name: value}",
    "string_type": "expected text",
    "missing": "is missing",
    "too_short": "expected at least one",
    "string_pattern_mismatch": "expected auto, cpu, cuda, cuda:0 or mps",
}
"""What pydantic calls a problem, in words that a reader of a YAML file knows."""


def _readable(error: ValidationError) -> list[str]:
    """One line per problem: where, what was expected, what was there."""
    problems = error.errors()
    inside = {problem["loc"][:-1] for problem in problems}
    lines = []
    for problem in problems:
        if problem["type"] == "too_short" and problem["loc"] in inside:
            continue  # the list is only empty because its entries are wrong, and that is told already
        where = ".".join(str(part) for part in problem["loc"])
        said = _WORDS.get(
            problem["type"], problem["msg"].removeprefix("Value error, ").replace("Input should", "it must")
        )
        got = "" if problem["type"] in ("value_error", "missing") else f" (got {short(problem['input'])})"
        lines.append(f"{where + ': ' if where else ''}{said}{got}")
    return lines


class _StrictLoader(yaml.SafeLoader):
    """A YAML loader that refuses a key given twice instead of keeping the last one."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[str] = set()
        for key, _ in node.value:
            name = str(self.construct_object(key, deep=True))
            if name in seen:
                raise SpecError(f"key {name!r} is given twice, the second time in line {key.start_mark.line + 1}")
            seen.add(name)
        return super().construct_mapping(node, deep=deep)


def load_spec(path: Path | str) -> BenchmarkSpec:
    """Read a specification from a YAML (or JSON) file.

    Raises:
        SpecError: The file is missing, is not YAML, or does not describe a valid run.
    """
    try:
        path = as_path("the path of a specification", path)
        text = path.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        raise SpecError(f"cannot read the specification {path}: {error}; give the path of a YAML file") from error
    try:
        data = yaml.load(text, Loader=_StrictLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f", line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise SpecError(f"{path}{where} is not valid YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise SpecError(f"{path} is not valid YAML: {error}") from error
    except SpecError as error:
        raise SpecError(f"{path}: {error}") from None
    except (ValueError, RecursionError, OverflowError) as error:  # a date or a number that is none
        raise SpecError(f"{path} is not valid YAML: {error}; put quotes around a text") from error
    return make_spec(data, str(path))


def changes(old: dict[str, Any], new: dict[str, Any]) -> list[str]:
    """One line per field in which two ``content`` mappings differ."""
    return [
        f"{key}: {json.dumps(old.get(key))} -> {json.dumps(new.get(key))}"
        for key in sorted({*old, *new})
        if old.get(key) != new.get(key)
    ]
