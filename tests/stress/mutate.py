"""``python -m tests.stress.mutate``: break central guarantees one by one, and see a test go red for each.

The patches are data, ``mutations.toml``. Each is applied in a copy of the tree and only its test is run there; the
tests have to be green without a patch.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

import typer

from tests.stress.counted import record

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Mutation:
    """A patch of ``file`` that breaks ``guarantee``, for which ``test`` goes red."""

    guarantee: str
    file: str
    old: str
    new: str
    test: str


def mutations() -> list[Mutation]:
    """All patches, in the order of the table."""
    return [
        Mutation(**one)
        for one in tomllib.loads(Path(__file__).with_name("mutations.toml").read_text(encoding="utf-8"))["mutation"]
    ]


def copy_tree(to: Path) -> None:
    """What the tests read: code and tests as copies, all else as links."""
    for path in ROOT.iterdir():
        if path.name in ("toolkit", "tests"):
            shutil.copytree(path, to / path.name, ignore=shutil.ignore_patterns("__pycache__"))
        elif path.name == "pyproject.toml" or not path.name.startswith("."):
            (to / path.name).symlink_to(path)


def run_tests(tree: Path, tests: list[str]) -> int:
    """Exit status of pytest in a tree: 0 green, 1 red."""
    paths = os.pathsep.join([str(tree), str(tree / "tests")])
    environment = {**os.environ, "PYTHONPATH": paths, "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests]
    return subprocess.run(command, cwd=tree, env=environment, capture_output=True, check=False).returncode


def outcome(tree: Path, mutation: Mutation) -> str:
    """``killed``, ``SURVIVED``, or that the test could not be run."""
    path = tree / mutation.file
    clean = path.read_text(encoding="utf-8")
    path.write_text(clean.replace(mutation.old, mutation.new), encoding="utf-8")
    status = run_tests(tree, [mutation.test])
    path.write_text(clean, encoding="utf-8")
    return {0: "SURVIVED", 1: "killed"}.get(status, f"not run (status {status})")


def main() -> int:
    """Print the table; 1 where a patch survives or a test is red without it."""
    with tempfile.TemporaryDirectory() as folder:
        tree = Path(folder)
        copy_tree(tree)
        found = mutations()
        if run_tests(tree, [one.test for one in found]) != 0:
            typer.echo("the tests are not green without a patch; run them first", err=True)
            return 1
        rows = []
        for one in found:
            rows.append({"guarantee": one.guarantee, "file": one.file, "test": one.test, "outcome": outcome(tree, one)})
            typer.echo(f"{rows[-1]['outcome']:10}{one.guarantee} ({one.file}; {one.test.split('::')[1]})")
    record("mutations", rows)
    return int(any(row["outcome"] != "killed" for row in rows))


if __name__ == "__main__":
    sys.exit(main())
