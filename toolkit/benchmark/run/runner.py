"""Run a benchmark: what is left to do is what the folder does not hold yet."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from tqdm.auto import tqdm

from toolkit.benchmark.run.compact import compact
from toolkit.benchmark.run.executors import make_executor
from toolkit.benchmark.run.records import Line, Shard, read_statuses
from toolkit.benchmark.run.run_environment import toolkit_version
from toolkit.benchmark.run.run_folder import locked, open_folder
from toolkit.benchmark.run.spec import BenchmarkSpec
from toolkit.benchmark.run.units import Unit, Workspace, WorkspaceFactory, failed_lines, plan_units, unit_keys

_REASONS = 3
"""So many reasons of failures are told at the end of a run; the report has them all."""


@dataclass(frozen=True)
class RunSummary:
    """What a run left behind.

    Attributes:
        folder: Where the records are.
        planned: Number of records that the specification asks for.
        ok: Records with metrics.
        failed: Records with a failure as their reason.
        skipped: Records of explainers that do not apply to their sample.
        new: Records computed by this run; the others were there already.
        max_failed: Largest share of failures that counts as a success.
        reasons: The most frequent reasons of failures, with their counts.
    """

    folder: Path
    planned: int
    ok: int
    failed: int
    skipped: int
    new: int
    max_failed: float
    reasons: tuple[tuple[str, int], ...] = ()

    @property
    def exit_status(self) -> int:
        """0, or 1 where more than ``max_failed`` of the planned records failed or are missing."""
        missing = self.planned - self.ok - self.skipped
        return int(missing > self.max_failed * self.planned)

    def __str__(self) -> str:
        counts = (
            f"{self.planned} records in {self.folder}: {self.ok} ok, {self.failed} failed, {self.skipped} skipped "
            f"({self.new} new)"
        )
        return "\n".join([counts, *(f"{n} failed: {reason}" for reason, n in self.reasons)])


def toolkit_workspace() -> WorkspaceFactory:
    """The toolkit's own workspace; imported here, because it loads torch."""
    from toolkit.benchmark.run.workspace import ToolkitWorkspace

    return ToolkitWorkspace


def default_folder(spec: BenchmarkSpec) -> Path:
    """``runs/NAME-FINGERPRINT``: the same settings find their folder again."""
    return Path("runs") / f"{spec.name}-{spec.fingerprint}"


def run_benchmark(spec: BenchmarkSpec, *, workspace: WorkspaceFactory | None = None) -> RunSummary:
    """Evaluate everything that the folder of the run does not hold yet.

    Ctrl-C and kills lose at most the units in progress; run again with the same folder to resume.

    Args:
        spec: What to evaluate; ``spec.out`` is the folder, by default one named after the settings.
        workspace: Builds a worker's models, samples and metrics from the specification; None takes the toolkit's own.

    Raises:
        TypeError: It is not a specification.
        UnknownNameError: A model, dataset, explainer or metric that does not exist.
        CheckpointError: A model is missing, damaged, unreachable, or has no commit.
        SpecError: An empty dataset, or a folder that holds a run with other settings, samples or weights.
        FolderError: The folder cannot be written, the disk is full, or another run holds it.
        WorkerError: A worker cannot load its model.

    Example:
        >>> import tempfile, toolkit
        >>> spec = toolkit.BenchmarkSpec(
        ...     models=["tiny-llava-grounded"], datasets=["scenes-existence"], explainers=["random"],
        ...     samples=1, steps=2, out=f"{tempfile.mkdtemp()}/run", progress=False,
        ... )
        >>> toolkit.run_benchmark(spec).ok
        1
    """
    if not isinstance(spec, BenchmarkSpec):
        raise TypeError(f"expected a BenchmarkSpec, got {type(spec).__name__}; read a YAML file with load_spec")
    folder = default_folder(spec) if spec.out is None else spec.out
    workspace = workspace or toolkit_workspace()
    driver = workspace(spec)
    ids = {dataset: list(driver.samples(dataset)) for dataset in spec.datasets}
    identities = driver.identities()
    units = plan_units(spec, ids)
    planned = [key for unit in units for key in unit_keys(unit, spec)]
    with locked(folder):
        open_folder(folder, spec, ids, identities)
        done = {key for key, status in read_statuses(folder).items() if not _again(status, spec)}
        todo = [unit for unit in units if not done.issuperset(unit_keys(unit, spec))]
        new = 0
        with ExitStack() as stack:
            shards: dict[str, Shard] = {}
            for worker, lines in _outcomes(todo, spec, workspace, driver):
                if worker not in shards:
                    shards[worker] = stack.enter_context(_new_shard(folder, worker, spec))
                lines = [line for line in lines if line["key"] not in done]
                shards[worker].append(lines)
                new += sum(line["kind"] == "record" for line in lines)
        records = [line for line in compact(folder, planned) if line["kind"] == "record"]
    return _summary(records, spec, folder, planned=len(planned) - len(units), new=new)


def _summary(records: list[Line], spec: BenchmarkSpec, folder: Path, *, planned: int, new: int) -> RunSummary:
    status = Counter(line["status"] for line in records)
    reasons = Counter(str(line["reason"]) for line in records if line["status"] == "failed")
    return RunSummary(
        folder, planned, status["ok"], status["failed"], status["skipped"], new, spec.max_failed,
        tuple(reasons.most_common(_REASONS)),
    )  # fmt: skip


def _again(status: str, spec: BenchmarkSpec) -> bool:
    return spec.retry_failed and status == "failed"


def _outcomes(
    todo: list[Unit], spec: BenchmarkSpec, factory: WorkspaceFactory, driver: Workspace
) -> Iterator[tuple[str, list[Line]]]:
    if not todo:
        return
    executor = make_executor(spec, factory, driver)
    with (
        tqdm(total=len(todo), desc=spec.name, unit="sample", disable=not spec.progress) as bar,
        closing(executor.run(todo)) as outcomes,
    ):
        for outcome in outcomes:
            lines = outcome.lines
            if lines is None:
                sample = driver.samples(outcome.unit.dataset)[outcome.unit.sample]
                lines = failed_lines(outcome.unit, spec, sample, outcome.reason or "lost")
            bar.set_postfix_str(f"{outcome.unit.model} {outcome.unit.dataset}", refresh=False)
            bar.update()
            yield outcome.worker, lines


def _new_shard(folder: Path, worker: str, spec: BenchmarkSpec) -> Shard:
    numbers = [int(path.name.split("-")[0]) for path in (folder / "shards").glob("[0-9]*-*.jsonl")]
    path = folder / "shards" / f"{max(numbers, default=0) + 1:05d}-{worker}.jsonl"
    return Shard(path, {"toolkit": toolkit_version(), "spec": spec.fingerprint})
