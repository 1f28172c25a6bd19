"""Ask another version of transformers, in a folder of its own that lies before the installed packages."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path

from packaging.version import InvalidVersion, Version

import toolkit
from toolkit.audit.fieldnotes.measured_notes import Note


class VersionUnavailableError(OSError):
    """Another version of transformers could not be installed or asked."""


def notes_of_version(version: str, families: Iterable[str], report: Callable[[str], object]) -> list[Note]:
    """The notes of another version: transformers and what it needs in a temporary folder, torch as installed.

    Args:
        version: Such as ``"4.57.6"``.
        families: Names of the table.
        report: Gets a line for each step.

    Raises:
        ValueError: The version is none.
        VersionUnavailableError: It cannot be installed (no network, no such version) or does not run.
    """
    try:
        wanted = str(Version(version))
    except InvalidVersion as error:
        raise ValueError(f"--against {version!r} is no version; expected one such as 4.57.6") from error
    with tempfile.TemporaryDirectory() as folder:
        report(f"installing transformers {wanted} in a temporary folder")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
        _run([*pip, "--target", folder, f"transformers=={wanted}"], dict(os.environ), wanted)
        report(f"asking transformers {wanted}")
        places = [folder, str(Path(toolkit.__file__).parents[1])]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places), "HF_HUB_OFFLINE": "1"}
        program = [sys.executable, "-m", "toolkit.audit.fieldnotes.measured_notes", ",".join(families)]
        return [Note(**note) for note in json.loads(_run(program, environment, wanted))]


def _run(command: list[str], environment: dict[str, str], version: str) -> str:
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        lines = [line for line in done.stderr.splitlines() if "error" in line.lower()] or ["no message"]
        raise VersionUnavailableError(
            f"transformers {version} was not measured: {lines[-1].strip()} "
            "(it is fetched with pip: is there a network, and such a version?)"
        )
    return done.stdout
