"""Three rings, arrows inward, no circle, and a name for one thing: what the folders promise about the code."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections import Counter
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "toolkit"


def modules() -> dict[str, Path]:
    """Dotted name -> file."""
    found = {}
    for path in PACKAGE.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


def arrows(known: dict[str, Path]) -> dict[str, set[str]]:
    """Module -> modules of the package that it imports anywhere, for type checkers or inside functions too.

    To import a module is to import the packages that it lies in, but for those that the importer lies in itself.
    """
    found: dict[str, set[str]] = {}
    for name, path in known.items():
        targets: set[str] = set()
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom):
                assert not node.level, f"{name} imports relatively"
                for alias in node.names:
                    whole = f"{node.module}.{alias.name}"
                    targets.add(whole if whole in known else str(node.module))
            elif isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
        around = {".".join(target.split(".")[:n]) for target in targets for n in range(1, target.count(".") + 1)}
        own = {".".join(name.split(".")[:n]) for n in range(1, name.count(".") + 2)}
        found[name] = {target for target in targets | (around - own) if target in known} - {name}
    return found


def test_no_module_imports_itself_in_a_circle() -> None:
    """The face of the package apart, which names everything and imports it when asked."""
    graph = {name: targets - {"toolkit"} for name, targets in arrows(modules()).items() if name != "toolkit"}
    assert len(graph) > 200
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        pytest.fail("a circle: " + " -> ".join(error.args[1]))


def test_a_file_name_occurs_once() -> None:
    names = Counter(path.name for path in modules().values() if path.name not in ("__init__.py", "__main__.py"))
    assert {name: n for name, n in names.items() if n > 1} == {}


def test_no_test_borrows_from_a_test() -> None:
    """What several tests share is in tests/support."""
    borrowed = {
        (path.name, name)
        for path in (ROOT / "tests").rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Import | ast.ImportFrom)
        for name in [getattr(node, "module", None) or "", *(alias.name for alias in node.names)]
        if re.search(r"(^|\.)test_", name)
    }
    assert borrowed == set()


def test_the_contracts_are_kept() -> None:
    """Run as ``make check`` runs them: which ring may import which is written in pyproject.toml."""
    script = Path(sys.executable).with_name("lint-imports")
    done = subprocess.run([script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert "5 kept, 0 broken" in done.stdout


def test_loading_a_model_and_scoring_a_sample_imports_the_inner_ring_only() -> None:
    """A model from a folder, its answer, and one game; drawing, commands and clusters stay where they are."""
    code = """
        import sys, numpy as np, toolkit
        from PIL import Image
        from toolkit.datasets.sample import Sample
        from toolkit.paths import models_dir
        vlm = toolkit.load_vlm(models_dir() / "tiny-llava-grounded", device="cpu")
        sample = Sample("s", Image.new("RGB", (64, 64), "red"), "is there a red circle ?", choices=("yes", "no"))
        game = vlm.game(sample)
        assert 0 <= game(np.ones((1, game.players.n), dtype=bool))[0] <= 1
        print(" ".join(sys.modules))
    """
    done = subprocess.run(
        [sys.executable, "-c", "\n".join(line.strip() for line in code.splitlines())],
        capture_output=True, text=True, check=True, cwd=ROOT,
    )  # fmt: skip
    loaded = done.stdout.split()
    ours = {name.split(".")[1] for name in loaded if name.startswith("toolkit.")}
    assert ours == {"arguments", "control_groups", "datasets", "games", "paths", "registry", "typing", "vlm"}
    assert not {"matplotlib", "seaborn", "typer", "ray", "ipywidgets", "shapiq", "captum"} & set(loaded)
