"""Run a benchmark: what is left to do is what the folder does not hold yet."""

from __future__ import annotations

import re
import signal
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm.auto import tqdm

from toolkit.benchmark.run.attempt_unit import recorded
from toolkit.benchmark.run.compact import compact
from toolkit.benchmark.run.executors import make_executor
from toolkit.benchmark.run.growth import Generation, Pass, passes
from toolkit.benchmark.run.outcomes import UnitAtWork, died_reason
from toolkit.benchmark.run.records import Line, Owner, Shard, read_shards, read_statuses, shard_paths
from toolkit.benchmark.run.run_folder import locked, open_folder, read_folder
from toolkit.benchmark.run.spec import EXECUTION_FIELDS, BenchmarkSpec
from toolkit.benchmark.run.units import Unit, Workspace, WorkspaceFactory, failed_lines, plan_units, unit_keys
from toolkit.extras import need

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
        new: Records computed, or scored by further metrics, by this run; the others were there already.
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

    Ctrl-C, SIGTERM and kills lose at most the units in progress; run again with the same folder to resume. A unit of
    which three processes in a row have died, with no other unit at work, is recorded as failed and not tried again
    until ``retry_failed``.

    A folder's run may grow: a specification that contains the folder's own (more samples, models, datasets, explainers,
    metrics or seeds) goes on in it, and nothing that is on record is computed again.

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
        ModuleNotFoundError: pyarrow is not installed (extra ``benchmark``).

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
    need("benchmark", "a benchmark run, which writes parquet tables,")
    folder = default_folder(spec) if spec.out is None else spec.out
    workspace = workspace or toolkit_workspace()
    driver = workspace(spec)
    now = _generation(spec, driver)
    with locked(folder):
        generations = open_folder(folder, now, lambda old: _generation(old.spec, workspace(old.spec)))
        units = plan_units(spec, now.ids)
        planned = [key for unit in units for key in unit_keys(unit, spec)]
        writer = _Writer(folder, spec, driver, read_folder(folder).owner)
        how = {name: getattr(spec, name) for name in EXECUTION_FIELDS}  # of every pass, whatever it measures
        with terminable():
            for part in passes(generations):
                writer.run(replace(part, spec=part.spec.model_copy(update=how)), workspace)
        records = [line for line in compact(folder, planned, writer.owner) if line["kind"] == "record"]
    return _summary(records, spec, folder, planned=len(planned) - len(units), new=writer.new)


def _generation(spec: BenchmarkSpec, driver: Workspace) -> Generation:
    """What this specification is today."""
    ids = {dataset: list(driver.samples(dataset)) for dataset in spec.datasets}
    return Generation(spec, ids, dict(driver.identities()))


@dataclass
class _Writer:
    """Evaluates what is left of each pass and writes it down."""

    folder: Path
    spec: BenchmarkSpec
    driver: Workspace
    owner: Owner
    new: int = 0

    def run(self, part: Pass, factory: WorkspaceFactory) -> None:
        """Evaluate the units of a pass that are not on record."""
        if part.scoring:
            part = part.recalling({line["key"]: line for line in read_shards(self.folder, self.owner)})
        statuses = read_statuses(self.folder, self.owner)
        done = {key for key, status in statuses.items() if not (self.spec.retry_failed and status == "failed")}
        todo = [unit for unit in part.units if not done.issuperset(part.keys(unit))]
        if not todo:
            return
        driver = self.driver if part.spec.content == self.spec.content else factory(part.spec)
        at_work = UnitAtWork(self.folder)
        with ExitStack() as stack:
            stack.callback(at_work.clear)
            shards: dict[str, Shard] = {}
            for worker, lines in _outcomes(todo, part.spec, factory, driver, at_work):
                if worker not in shards:
                    shards[worker] = stack.enter_context(_new_shard(self.folder, worker, self.owner))
                lines = [line for line in lines if line["key"] not in done]
                shards[worker].append(lines)
                self.new += sum(line["kind"] != "sample" for line in lines)


def _summary(records: list[Line], spec: BenchmarkSpec, folder: Path, *, planned: int, new: int) -> RunSummary:
    status = Counter("failed" if "scoring_failed" in line else line["status"] for line in records)
    reasons = Counter(str(line["reason"]) for line in records if line["status"] == "failed")
    reasons.update(str(line["scoring_failed"]) for line in records if "scoring_failed" in line)
    return RunSummary(
        folder, planned, status["ok"], status["failed"], status["skipped"], new, spec.max_failed,
        tuple(reasons.most_common(_REASONS)),
    )  # fmt: skip


def _outcomes(
    todo: list[Unit], spec: BenchmarkSpec, factory: WorkspaceFactory, driver: Workspace, at_work: UnitAtWork
) -> Iterator[tuple[str, list[Line]]]:
    def lost(unit: Unit, reason: str) -> list[Line]:
        sample = driver.samples(unit.dataset)[unit.sample]
        return recorded(unit, spec, failed_lines(unit, spec, sample, reason))

    given_up = [unit for unit in todo if at_work.is_given_up(unit)]
    yield from (("worker0", lost(unit, died_reason(unit))) for unit in given_up)
    todo = [unit for unit in todo if unit not in given_up]
    if not todo:
        return
    executor = make_executor(spec, factory, driver, at_work.begin)
    with (
        tqdm(total=len(todo), desc=spec.name, unit="sample", disable=not spec.progress) as bar,
        closing(executor(todo)) as outcomes,
    ):
        for outcome in outcomes:
            lines = outcome.lines
            if lines is None:
                lines = lost(outcome.unit, outcome.reason or "lost")
            bar.set_postfix_str(f"{outcome.unit.model} {outcome.unit.dataset}", refresh=False)
            bar.update()
            bar.total = max(len(todo), int(bar.n))  # what is left of a unit that was stopped comes again
            yield outcome.worker, lines


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM), as by a cluster whose time is up; what Ctrl-C does happens."""


@contextmanager
def terminable() -> Iterator[None]:
    """Let SIGTERM end the block as Ctrl-C does, where nobody else handles it."""

    def end(_number: int, _frame: object) -> None:
        raise Terminated

    is_ours = threading.current_thread() is threading.main_thread()
    if not (is_ours and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL):
        yield
        return
    signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _new_shard(folder: Path, worker: str, owner: Owner) -> Shard:
    numbers = [int(found[1]) for path in shard_paths(folder) if (found := re.match(r"([0-9]{1,9})-", path.name))]
    path = folder / "shards" / f"{max(numbers, default=0) + 1:05d}-{worker}.jsonl"
    return Shard(path, {"toolkit": owner.toolkit, "spec": owner.fingerprints[-1]})
