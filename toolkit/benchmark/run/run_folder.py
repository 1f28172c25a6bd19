"""The folder of one run: one specification, one writer at a time."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from toolkit.benchmark.run.records import RECORD_SCHEMA, FolderError, write_atomically
from toolkit.benchmark.run.run_environment import toolkit_version
from toolkit.benchmark.run.spec import BenchmarkSpec, SpecError, changes, make_spec
from toolkit.vlm.loading.digests import changed_files

SPEC_FILE = "spec.json"


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the folder for writing; the lock ends with the process, however it ends.

    Raises:
        FolderError: Another run writes to the folder, or it cannot be created or written.
    """
    try:
        (folder / "shards").mkdir(parents=True, exist_ok=True)
        lock = FileLock(folder / "run.lock", timeout=0)
        lock.acquire()
    except Timeout:
        raise FolderError(
            f"another run is writing to {folder}; wait for it, or choose another folder with `out`"
        ) from None
    except (OSError, NotImplementedError) as error:
        raise FolderError(f"cannot use {folder} as the folder of a run: {error}") from error
    try:
        yield
    finally:
        lock.release()


def open_folder(
    folder: Path, spec: BenchmarkSpec, ids: Mapping[str, Sequence[str]], identities: Mapping[str, str]
) -> None:
    """Write specification, sample ids and identities into a new folder, or check that the folder's ones are the same.

    Args:
        folder: The folder, locked.
        spec: What is evaluated.
        ids: Sample ids per dataset.
        identities: Commit or digest of each model and dataset.

    Raises:
        SpecError: The folder holds a run with other settings, samples, weights or of another version; the difference
            is shown.
        FolderError: The folder holds something else, or cannot be written.
    """
    if (folder / SPEC_FILE).exists():
        _check_same(folder, spec, ids, identities)
        return
    for leftover in folder.glob(f".{SPEC_FILE}.*.tmp"):  # a run that was killed while it wrote its specification
        leftover.unlink()
    strangers = sorted(p.name for p in folder.iterdir() if p.name not in ("shards", "run.lock"))
    if strangers:
        raise FolderError(f"{folder} is not empty and not a run (found {strangers[0]}); choose another folder")
    stored = {
        "schema": RECORD_SCHEMA,
        "toolkit": toolkit_version(),
        "spec": spec.model_dump(mode="json", exclude={"out"}),
        "samples": {dataset: list(found) for dataset, found in ids.items()},
        "identities": dict(identities),
    }
    write_atomically(folder / SPEC_FILE, (json.dumps(stored, indent=1) + "\n").encode())


def _check_same(
    folder: Path, spec: BenchmarkSpec, ids: Mapping[str, Sequence[str]], identities: Mapping[str, str]
) -> None:
    run = read_folder(folder)
    if run.toolkit != toolkit_version():
        raise SpecError(
            f"{folder} was written by toolkit {run.toolkit}, this is {toolkit_version()}: numbers of two versions do "
            "not mix. Make a report of it, or run into a new folder"
        )
    different = changes(run.spec.content, spec.content)
    for dataset in ids:
        if not different and run.ids.get(dataset) != list(ids[dataset]):
            different.append(f"the samples of {dataset}")
    if not different:
        different = _other_identities(run.identities, identities)
    if different:
        raise SpecError(
            f"{folder} holds a run with other settings: {'; '.join(different)}. Choose another folder with `out`, or "
            "go back to its settings"
        )


def _other_identities(old: Mapping[str, str], new: Mapping[str, str]) -> list[str]:
    """One line for each model or dataset that is another one; of a model in a folder, the files that changed."""
    lines = []
    for key in sorted({*old, *new}):
        before, after = old.get(key, "none"), new.get(key, "none")
        files = changed_files(before, after)
        if files:
            lines.append(f"{key}: {', '.join(files)} changed")
        elif before != after:
            lines.append(f"{key}: {json.dumps(before)} -> {json.dumps(after)}")
    return lines


@dataclass(frozen=True)
class RunFolder:
    """What a run's folder says about itself.

    Attributes:
        folder: The folder.
        spec: What is evaluated in it.
        ids: Sample ids per dataset, in the order of the plan.
        toolkit: Version that wrote it.
        identities: Commit or digest of each model and dataset.
    """

    folder: Path
    spec: BenchmarkSpec
    ids: dict[str, list[str]]
    toolkit: str
    identities: dict[str, str]


def read_folder(folder: Path) -> RunFolder:
    """Specification and plan of a run's folder.

    Raises:
        FolderError: It is not the folder of a run.
        SpecError: Its specification is of another schema or damaged.
    """
    path = folder / SPEC_FILE
    try:
        stored = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise FolderError(f"{folder} is not the folder of a benchmark run: it has no {SPEC_FILE}") from None
    except (OSError, ValueError) as error:
        raise SpecError(f"cannot read {path}: {error}") from error
    if not isinstance(stored, dict) or stored.get("schema") != RECORD_SCHEMA:
        found = stored if isinstance(stored, dict) else {}
        raise SpecError(
            f"{path} has schema {found.get('schema')}, this toolkit reads {RECORD_SCHEMA}: use the version that wrote "
            f"it ({found.get('toolkit', 'unknown')}), or run again into a new folder"
        )
    missing = [key for key in ("spec", "samples", "toolkit", "identities") if key not in stored]
    if missing:
        raise SpecError(f"{path} is damaged: it lacks {', '.join(missing)}; restore it, or run into a new folder")
    spec = make_spec(stored["spec"], str(path))
    return RunFolder(folder, spec, stored["samples"], str(stored["toolkit"]), stored["identities"])
