"""``doctor()``: check what the toolkit needs on this machine, and say how to mend what is missing."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import tempfile
import textwrap
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Literal

from toolkit.control_groups import usable_cores
from toolkit.extras import PACKAGES, USED_BY, missing
from toolkit.paths import models_dir
from toolkit.vlm.loading.integrity import check_model

State = Literal["ok", "note", "problem"]
DISTRIBUTION = "vlm-synergy-toolkit"
OFFLINE_VARIABLES = ("HF_HUB_OFFLINE", "TRANSFORMERS_OFFLINE", "HF_DATASETS_OFFLINE")
ENOUGH_MEMORY = 1.0
"""Gigabytes that the embedded models and the libraries need together."""

FRONT_ENDS = {
    7: {"jupyterlab-widgets": 1, "widgetsnbextension": 3},
    8: {"jupyterlab-widgets": 3, "widgetsnbextension": 4},
}
"""Which front-end packages fit a major version of ipywidgets."""

_SIGNS = {"ok": "ok     ", "note": "note   ", "problem": "PROBLEM"}


@dataclass(frozen=True)
class Check:
    """One thing that was looked at.

    Attributes:
        name: What was looked at.
        state: ``ok``; ``note`` for something to know; ``problem`` where something needed is missing.
        found: What is there.
        fix: What to do about it, "" where nothing is to be done.
    """

    name: str
    state: State
    found: str
    fix: str = ""


@dataclass(frozen=True)
class Diagnosis:
    """All checks; shown as a table wherever it is printed."""

    checks: tuple[Check, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing needed is missing."""
        return not self.problems

    @property
    def problems(self) -> tuple[Check, ...]:
        """The checks that found something needed missing."""
        return tuple(check for check in self.checks if check.state == "problem")

    def text(self, width: int | None = None) -> str:
        """The checks as a table, wrapped at ``width`` characters; None does not wrap."""
        names = max((len(check.name) for check in self.checks), default=0)
        lines = []
        for check in self.checks:
            lines += _hanging(f"{_SIGNS[check.state]}  {check.name:<{names}}  ", check.found, width)
            if check.fix:
                lines += _hanging(f"{'':<{names + 9}}  -> ", check.fix, width)
        n = len(self.problems)
        lines.append("everything needed is here" if n == 0 else f"{n} problem{'s' if n > 1 else ''}")
        return "\n".join(lines)

    def __str__(self) -> str:
        return self.text(100)

    __repr__ = __str__


def _hanging(start: str, words: str, width: int | None) -> list[str]:
    """Lines of a text behind a start, with a hanging indent."""
    if width is None:
        return [start + words]
    return textwrap.wrap(
        words, max(width, len(start) + 20), initial_indent=start, subsequent_indent=" " * len(start),
        break_long_words=False, break_on_hyphens=False,
    )  # fmt: skip


def doctor() -> Diagnosis:
    """Look at versions, torchvision, device, memory, network, cache, widgets and the embedded models.

    Example:
        >>> import toolkit
        >>> {check.name for check in toolkit.doctor().checks} >= {"python", "device", "memory"}
        True
    """
    machine = (check_torchvision(), check_device(), check_memory(), check_offline(), check_cache(), check_store())
    return Diagnosis((check_python(), *check_versions(), check_extras(), *machine, check_widgets(), *check_models()))


def check_python(version: tuple[int, ...] = tuple(sys.version_info[:3])) -> Check:
    """Python itself."""
    found = ".".join(map(str, version))
    if version < (3, 11):
        return Check("python", "problem", found, "Python 3.11 or newer is needed")
    return Check("python", "ok", found)


def check_versions(
    lookup: Callable[[str], str] = metadata.version, requirements: list[str] | None = None
) -> tuple[Check, ...]:
    """Core packages against the supported range, as the installed distribution declares it."""
    from packaging.requirements import Requirement

    if requirements is None:
        try:
            requirements = metadata.requires(DISTRIBUTION) or []
        except metadata.PackageNotFoundError:
            fix = "run pip install --no-deps -e . in the checkout"
            return (Check("versions", "problem", f"{DISTRIBUTION} is not installed", fix),)
    core = [requirement for requirement in map(Requirement, requirements) if requirement.marker is None]
    wrong = []
    for requirement in core:
        state = "not installed"
        with suppress(metadata.PackageNotFoundError):
            found = lookup(requirement.name)
            is_right = requirement.specifier.contains(found, prereleases=True)
            state = "" if is_right else f"{found}, supported is {requirement.specifier}"
        if state:
            wrong.append(Check(requirement.name, "problem", state, f'pip install "{requirement}"'))
    return tuple(wrong) or (Check("versions", "ok", f"{len(core)} core packages in their supported range"),)


def check_extras(gone: Callable[[str], tuple[str, ...]] = missing) -> Check:
    """Which extras of ``toolkit.extras`` are installed; without one, what needs it is refused by name."""
    without = [extra for extra in PACKAGES if gone(extra)]
    if not without:
        return Check("extras", "ok", f"{', '.join(PACKAGES)} are installed")
    told = "; ".join(f"{extra} ({USED_BY[extra]})" for extra in without)
    fix = f"pip install 'vlm-synergy-toolkit[{','.join(without)}]', if you want these"
    return Check("extras", "note", f"not installed: {told}", fix)


def version_advice(checks: tuple[Check, ...] | None = None) -> str:
    """One sentence: that the core packages fit, or which do not and the one command that mends it."""
    wrong = [check for check in (check_versions() if checks is None else checks) if check.state == "problem"]
    if not wrong:
        return "All versions fit."
    names = "; ".join(f"{check.name}: {check.found}" for check in wrong)
    wanted = " ".join(check.fix.removeprefix("pip install ") for check in wrong)
    return f"These versions do not fit ({names}): run %pip install --upgrade {wanted} in a new cell and restart."


def check_torchvision(
    present: Callable[[str], object] = importlib.util.find_spec,
    load: Callable[[str], ModuleType] = importlib.import_module,
) -> Check:
    """A torchvision that does not import breaks the import of every transformers processor; none at all is fine."""
    if present("torchvision") is None:
        return Check("torchvision", "ok", "not installed, not needed")
    try:
        load("torchvision")
    except Exception as error:
        found = f"installed but does not import ({type(error).__name__}: {error}); every image processor fails with it"
        fix = "pip uninstall -y torchvision (the toolkit does not use it), or install the build that matches your torch"
        return Check("torchvision", "problem", found, fix)
    return Check("torchvision", "ok", "imports; the toolkit does not use it")


def import_advice() -> str:
    """What to do when the toolkit's own imports fail: a sentence about a broken torchvision, or ""."""
    check = check_torchvision()
    return "" if check.state == "ok" else f"torchvision is {check.found}; {check.fix}"


def check_device() -> Check:
    """GPU with its memory, or the CPU's cores."""
    import torch

    if torch.cuda.is_available():
        free, total = torch.cuda.mem_get_info()
        name = torch.cuda.get_device_name()
        return Check("device", "ok", f"{name}, {free / 1e9:.1f} of {total / 1e9:.1f} GB free")
    if torch.version.cuda is not None:
        fix = "see nvidia-smi; the embedded models do not need a GPU"
        return Check("device", "note", f"torch was built for CUDA {torch.version.cuda} but sees no GPU", fix)
    usable, there = usable_cores(), os.cpu_count() or 1
    cores = f"{usable} cores" if usable == there else f"{usable} of {there} cores"
    threads = torch.get_num_threads()
    cores += f", {threads} thread{'s' if threads > 1 else ''}"
    if threads > usable:
        fix = f"OMP_NUM_THREADS={usable} before Python starts: more threads than cores wait for each other"
        return Check("device", "note", f"CPU, {cores}", fix)
    return Check("device", "ok", f"CPU, {cores}")


def check_memory(free: float | None = None) -> Check:
    """Free main memory in gigabytes."""
    if free is None:
        import torch

        from toolkit.vlm.memory import free_bytes

        free = free_bytes(torch.device("cpu")) / 1e9
    if free < ENOUGH_MEMORY:
        fix = f"close other programs; the embedded models with their libraries need about {ENOUGH_MEMORY:g} GB"
        return Check("memory", "note", f"{free:.1f} GB free", fix)
    return Check("memory", "ok", f"{free:.1f} GB free")


def check_offline(environ: Mapping[str, str] = os.environ) -> Check:
    """Whether the Hugging Face libraries are told to stay offline."""
    on = [name for name in OFFLINE_VARIABLES if environ.get(name, "").strip().upper() in ("1", "TRUE", "YES", "ON")]
    if on:
        fix = f"for released models and datasets that are not cached: unset {' '.join(on)}"
        return Check("network", "note", "offline by choice; embedded and cached models work", fix)
    return Check("network", "ok", "allowed; only released models and datasets use it")


def check_cache(folder: Path | None = None) -> Check:
    """Whether released models and datasets can be stored."""
    if folder is None:
        from huggingface_hub.constants import HF_HUB_CACHE

        folder = Path(HF_HUB_CACHE)
    nearest = next(path for path in (folder, *folder.parents) if path.exists())
    try:
        with tempfile.TemporaryFile(dir=nearest):
            return Check("cache", "ok", f"{folder} can be written")
    except OSError as error:
        fix = "set HF_HOME to a folder that you may write; the embedded models do not need it"
        return Check("cache", "note", f"{folder} cannot be written: {error.strerror or error}", fix)


def check_store() -> Check:
    """What the store of coalition values takes on the disk."""
    from toolkit.vlm.engine.store import default_store

    store = default_store()
    found = f"{store.size() / 1e6:.1f} MB of coalition values in {store.folder}, at most {store.max_bytes / 1e6:.0f} MB"
    return Check("store", "ok", f"{found}; python -m toolkit store --clear empties it")


def check_widgets(lookup: Callable[[str], str] = metadata.version) -> Check:
    """Whether the two halves of the widgets fit; where they do not, widgets stay blank."""

    def major(name: str) -> int | None:
        try:
            return int(lookup(name).split(".")[0])
        except metadata.PackageNotFoundError:
            return None

    kernel = major("ipywidgets")
    if kernel is None:
        return Check("widgets", "problem", "ipywidgets is not installed", 'pip install "ipywidgets>=7.7.1,<9"')
    for name, version in FRONT_ENDS.get(kernel, {}).items():
        front = major(name)
        if front is not None and front != version:
            found = f"ipywidgets {kernel} needs {name} {version}, found {front}: widgets would stay blank"
            return Check("widgets", "problem", found, f'pip install "{name}=={version}.*" and reload the page')
    lab = "" if major("jupyterlab") is None else f", JupyterLab {lookup('jupyterlab')}"
    return Check("widgets", "ok", f"ipywidgets {lookup('ipywidgets')}{lab}")


def check_models(folder: Path | None = None, names: tuple[str, ...] | None = None) -> tuple[Check, ...]:
    """Whether every embedded checkpoint is there and intact."""
    if names is None:
        from toolkit.scenes.training.recipes import RECIPES

        names = tuple(RECIPES)
    fix = "restore it from the repository (git checkout -- data/models), or train it: python -m toolkit train NAME"
    try:
        folder = models_dir() if folder is None else folder
    except FileNotFoundError as error:
        return (Check("models", "problem", str(error), fix),)
    reasons = {name: reason for name in names if (reason := check_model(folder / name)) is not None}
    reasons |= {name: f"there is no folder {name} among the models" for name in names if not (folder / name).is_dir()}
    if not reasons:
        return (Check("models", "ok", f"{len(names)} embedded models, intact"),)
    first, *others = reasons
    fix = fix.replace("NAME", first)
    if not others:
        return (Check(first, "problem", reasons[first], fix),)
    told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
    found = f"{len(reasons)} of {len(names)} embedded models cannot be used: {told}"
    return (Check("models", "problem", found, fix),)
