"""The environment of a run: versions, git state, machine."""

from __future__ import annotations

import platform
import subprocess
from functools import cache
from importlib import metadata
from pathlib import Path

import toolkit

PACKAGES = ("torch", "transformers", "tokenizers", "captum", "shapiq", "numpy", "scipy", "pandas", "pillow", "pyarrow")


def toolkit_version() -> str:
    """Version of the installed distribution, or of the source tree."""
    try:
        return metadata.version("vlm-synergy-toolkit")
    except metadata.PackageNotFoundError:
        return "source"


@cache
def git_state() -> str:
    """Commit of the source tree that is running, ``+changes`` if files differ from it, or ``"not a checkout"``."""
    root = Path(toolkit.__path__[0]).parent

    def git(*words: str) -> str:
        done = subprocess.run(
            ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=20, check=True
        )  # fmt: skip
        return done.stdout.strip()

    try:
        if Path(git("rev-parse", "--show-toplevel")).resolve() != root.resolve():
            return "not a checkout"
        commit = git("rev-parse", "HEAD")
        return commit + ("+changes" if git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.SubprocessError):
        return "not a checkout"


def versions() -> dict[str, str]:
    """Version of every package that decides numbers; ``"absent"`` where it is not installed."""
    found = {}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def environment() -> dict[str, str]:
    """All of it, flat; what differs between two machines that may give different last digits."""
    return {
        "toolkit": toolkit_version(),
        "git": git_state(),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        **versions(),
    }
