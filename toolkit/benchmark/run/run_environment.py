"""The environment of a run: versions, git state, machine."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

import toolkit

PACKAGES = ("torch", "transformers", "tokenizers", "captum", "shapiq", "numpy", "scipy", "pandas", "pillow", "pyarrow")


def _version(distribution: str, otherwise: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return otherwise


def toolkit_version() -> str:
    """Version of the installed distribution, or of the source tree."""
    return _version("vlm-synergy-toolkit", "source")


@cache
def git_state() -> str:
    """Commit of the source tree that is running, ``+changes`` if files differ from it, or ``"not a checkout"``."""
    root = Path(toolkit.__path__[0]).parent

    def git(*words: str) -> str:
        command = ["git", "-C", str(root), *words]
        return subprocess.run(command, capture_output=True, text=True, timeout=20, check=True).stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return "not a checkout"
        commit = git("rev-parse", "HEAD")
        return commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return "not a checkout"


@cache
def environment() -> dict[str, str]:
    """All of it, flat; what differs between two machines that may give different last digits."""
    return {
        "toolkit": toolkit_version(), "git": git_state(), "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        **{name: _version(name, "absent") for name in PACKAGES},
    }  # fmt: skip
