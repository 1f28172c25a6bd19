"""The folder of one run: one specification, one writer at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import chain
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from toolkit.benchmark.run.growth import Generation, no_growth
from toolkit.benchmark.run.records import RECORD_SCHEMA, Owner
from toolkit.benchmark.run.run_environment import toolkit_version
from toolkit.benchmark.run.spec import BenchmarkSpec, SpecError, make_spec
from toolkit.benchmark.run.whole_files import FolderError, clean, is_temporary, sync_folder, write_atomically
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
        sync_folder(folder)
        sync_folder(folder.parent)
        lock = FileLock(folder / "run.lock", timeout=0)
        lock.acquire()
        clean(folder)
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
    folder: Path, new: Generation, check: Callable[[Generation], Generation] = lambda old: old
) -> list[Generation]:
    """Write a new folder's specification, check that a folder's own is the same, or let the run in it grow.

    Args:
        folder: The folder, locked.
        new: What is evaluated.
        check: What a generation of the folder is today: its specification with the samples and identities of now.

    Returns:
        The generations of the run; the last one is the new one.

    Raises:
        SpecError: The folder holds a run with other settings, samples, weights or of another version; the difference
            is shown.
        FolderError: The folder holds something else, or cannot be written.
    """
    if not (folder / SPEC_FILE).exists():
        names = (p.name for p in folder.iterdir())
        strangers = sorted(name for name in names if name not in ("shards", "run.lock") and not is_temporary(name))
        if strangers:
            raise FolderError(f"{folder} is not empty and not a run (found {strangers[0]}); choose another folder")
        _write(folder, [new])
        return [new]
    generations = read_folder(folder).generations
    _check_same(folder, generations[-1], new)
    *older, latest = generations
    has_grown = latest.spec.content != new.spec.content
    for old in [*older, latest] if has_grown else older:
        now = check(old)
        _refuse(folder, _other_samples(old.ids, now.ids) or _other_identities(old.identities, now.identities))
    if has_grown:
        generations = [*generations, new]
        _write(folder, generations)
    return [*generations[:-1], replace(generations[-1], spec=new.spec)]


def _write(folder: Path, generations: Sequence[Generation]) -> None:
    *older, latest = [
        {"spec": one.spec.model_dump(mode="json", exclude={"out"}), "samples": one.ids, "identities": one.identities}
        for one in generations
    ]
    stored = {"schema": RECORD_SCHEMA, "toolkit": toolkit_version(), **latest, "grown_from": older}
    write_atomically(folder / SPEC_FILE, (json.dumps(stored, indent=1) + "\n").encode())


def _check_same(folder: Path, old: Generation, new: Generation) -> None:
    """Refuse, with the difference, what neither is the run of the folder nor contains it."""
    toolkit = read_folder(folder).toolkit
    if toolkit != toolkit_version():
        raise SpecError(
            f"{folder} was written by toolkit {toolkit}, this is {toolkit_version()}: numbers of two versions do "
            "not mix. Make a report of it, or run into a new folder"
        )
    different = no_growth(old.spec, new.spec)
    if not different and old.spec.content == new.spec.content:
        different = _other_samples(old.ids, new.ids) or _other_identities(old.identities, new.identities)
    if not different:
        missing = [name for name in old.ids if not set(old.ids[name]) <= set(new.ids[name])]
        different = [f"the samples of {name}" for name in missing]
    _refuse(folder, different)


def _refuse(folder: Path, different: Sequence[str]) -> None:
    if different:
        raise SpecError(
            f"{folder} holds a run with other settings: {'; '.join(different)}. Choose another folder with `out`, or "
            "go back to its settings"
        )


def _other_samples(old: Mapping[str, Sequence[str]], new: Mapping[str, Sequence[str]]) -> list[str]:
    return [f"the samples of {name}" for name in new if list(old.get(name, ())) != list(new[name])]


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
        older: What it was before it grew, the oldest first.
    """

    folder: Path
    spec: BenchmarkSpec
    ids: dict[str, list[str]]
    toolkit: str
    identities: dict[str, str]
    older: tuple[Generation, ...] = ()

    @property
    def generations(self) -> list[Generation]:
        """What it has been, the present last."""
        return [*self.older, Generation(self.spec, self.ids, self.identities)]

    @property
    def owner(self) -> Owner:
        """What the header of each of its shards must say."""
        return Owner(self.toolkit, tuple(generation.spec.fingerprint for generation in self.generations))


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
        raise SpecError(f"cannot read {path}: {error}; restore it, or give the folder of a run") from error
    if not isinstance(stored, dict) or stored.get("schema") != RECORD_SCHEMA:
        found = stored if isinstance(stored, dict) else {}
        raise SpecError(
            f"{path} has schema {found.get('schema')}, this toolkit reads {RECORD_SCHEMA}: use the version that wrote "
            f"it ({found.get('toolkit', 'unknown')}), or run again into a new folder"
        )
    missing = [key for key in ("spec", "samples", "toolkit", "identities") if key not in stored]
    if missing:
        raise SpecError(f"{path} is damaged: it lacks {', '.join(missing)}; restore it, or run into a new folder")
    older = stored.get("grown_from", [])
    if not isinstance(older, list):
        raise SpecError(f"{path} is damaged: grown_from is no list; restore it, or run into a new folder")
    older = tuple(_generation(one, path) for one in older)
    now = _generation(stored, path)
    return RunFolder(folder, now.spec, now.ids, str(stored["toolkit"]), now.identities, older)


def _generation(stored: Any, path: Path) -> Generation:
    try:
        samples, names = stored["samples"], [*stored["identities"], *stored["identities"].values()]
        if not all(isinstance(name, str) for name in chain(names, samples, *samples.values())):
            raise TypeError("a name is no text")
    except (LookupError, TypeError, AttributeError) as error:
        raise SpecError(
            f"{path} is damaged ({type(error).__name__}: {error}); restore it, or run into a new folder"
        ) from error
    return Generation(make_spec(stored["spec"], str(path)), stored["samples"], stored["identities"])
