"""The lessons as source assignments of nbgrader: it releases them, collects them and runs the checks again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from toolkit.course.badges import read
from toolkit.course.build import bodies, build, sources, to_bytes

SCHEMA = 3
BEGIN, END = "### BEGIN SOLUTION", "### END SOLUTION"


def with_marks(source: str) -> str:
    """A cell of functions with nbgrader's marks around each body, so that signature and docstring are released."""
    lines = source.split("\n")
    for start, end, indent in reversed(bodies(source)):
        lines[start:end] = [indent + BEGIN, *lines[start:end], indent + END]
    return "\n".join(lines)


def _metadata(grade_id: str, *, solution: bool, points: int | None) -> dict[str, Any]:
    graded = {} if points is None else {"points": points}
    locked = points is not None and not solution
    return {
        "schema_version": SCHEMA,
        "grade_id": grade_id,
        "grade": points is not None,
        "solution": solution,
        "locked": locked,
        "task": False,
        **graded,
    }


def assignment(source: str, name: str, notebooks: Path) -> bytes:
    """A lesson as nbgrader's instructors write it: solutions between marks, each check a test worth one point.

    An open question is worth one point, given by hand.
    """
    notebook = build(source, name, "solution", read(notebooks))
    for cell in notebook.cells:
        tags = cell.metadata.get("tags", [])
        if "solution" in tags:
            cell.source = with_marks(cell.source)
            cell.metadata["nbgrader"] = _metadata(f"code-{cell.id}", solution=True, points=None)
        elif "exercise" in tags:
            cell.source = f"assert {cell.source.strip()}.done"
            cell.metadata["nbgrader"] = _metadata(f"check-{cell.id}", solution=False, points=1)
        elif "answer" in tags:
            cell.metadata["nbgrader"] = _metadata(f"open-{cell.id}", solution=True, points=1)
    return to_bytes(notebook)


def write_assignments(notebooks: Path, course: Path) -> list[Path]:
    """Write ``source/LESSON/LESSON.ipynb`` of every lesson into a course folder of nbgrader.

    Raises:
        FileNotFoundError: The folder of notebooks has no sources.
    """
    if not sources(notebooks):
        raise FileNotFoundError(f"{notebooks} has no lesson sources (src/NN_name.py); run this in a checkout")
    written = []
    for path in sources(notebooks):
        target = course / "source" / path.stem / f"{path.stem}.ipynb"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(assignment(path.read_text(encoding="utf-8"), path.stem, notebooks))
        written.append(target)
    return written
