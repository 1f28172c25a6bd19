"""Student notebooks and their solutions from one reviewed source per lesson.

A source is a Python file in jupytext's percent format. Its cells carry tags:

* ``badges``: filled in from the repository setting;
* ``colab``: filled in with the set-up of Colab, which does nothing elsewhere;
* ``solution``: a cell of functions. Solutions keep it; students get signatures and docstrings, and the bodies become
  ``raise NotImplementedError``;
* ``answer``: a Markdown cell with the answer to an open question. Solutions keep it; students get an invitation.

The build is a pure function of source and setting: same input, same bytes, same cell ids. Outputs are never stored.
"""

from __future__ import annotations

import ast
import hashlib
import json
import re
from collections.abc import Iterator, Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

from toolkit.course.badges import Repository, read

if TYPE_CHECKING:
    from nbformat import NotebookNode

Version: TypeAlias = Literal["student", "solution"]

KERNEL = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
STUB = 'raise NotImplementedError("your turn")'
INVITATION = "*Your answer: double-click here and write.*"
NO_BADGES = "<!-- badges -->"
"""A cell that shows nothing: the frame of every lesson begins with it."""
TAGS = {"badges", "colab", "solution", "answer", "recap", "exercise", "widget"}


class SourceError(ValueError):
    """A source that cannot become a notebook; the message names the cell."""


def student_code(source: str) -> str:
    """A cell of functions with its bodies replaced: signature, docstring, then ``raise NotImplementedError``.

    Raises:
        SourceError: It is not Python, or it defines no function.
    """
    lines = source.split("\n")
    for start, end, indent in reversed(bodies(source)):
        lines[start:end] = [indent + STUB]
    return "\n".join(lines)


def bodies(source: str) -> list[tuple[int, int, str]]:
    """Where the body of each function of a cell begins and ends, in lines, without its docstring; and its indent.

    Raises:
        SourceError: It is not Python, or it defines no function.
    """
    try:
        functions = [node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef)]
    except SyntaxError as error:
        raise SourceError(f"a solution cell is not plain Python: {error}") from error
    if not functions:
        raise SourceError(f"a solution cell defines no function:\n{source}")
    found = []
    for node in functions:
        documented = ast.get_docstring(node) is not None
        first = node.body[1] if documented and len(node.body) > 1 else node.body[0]
        found.append((first.lineno - 1, node.end_lineno or first.lineno, " " * node.body[0].col_offset))
    return found


def colab_code(repository: Repository) -> str:
    """The first code cell: installs the toolkit on Colab without touching what is preinstalled there, then checks it.

    Without a repository it asks for the wheel, which the teacher has.
    """
    source = (
        f'"{repository.install()}"' if repository.name else 'input("Path or address of the wheel; ask your teacher: ")'
    )
    return f"""import sys

if "google.colab" in sys.modules:
    wanted = {source}
    %pip install --quiet --no-deps "{{wanted}}"
    %pip install --quiet "captum>=0.9,<0.10" "shapiq>=1.4,<2"
    from toolkit.environment import version_advice

    print(version_advice())"""


def linked(text: str, own: str, lessons: Sequence[str]) -> str:
    """Markdown with links to the other lessons that it names (``lesson 03``) and to papers (``arXiv 2605.22168``)."""
    for name in lessons:
        if name != own:
            text = re.sub(rf"\b(lesson\s+{name[:2]})\b", rf"[\1]({name}.ipynb)", text)
    return re.sub(r"\barXiv\s+(\d{4}\.\d{4,5})", r"[arXiv \1](https://arxiv.org/abs/\1)", text)


def cell_id(notebook: str, kind: str, source: str, taken: set[str]) -> str:
    """An id that follows from the cell's first line, so that editing the rest of a cell or its neighbours keeps it."""
    first = source.strip().split("\n")[0]
    for number in range(len(taken) + 1):
        found = hashlib.sha256(f"{notebook}|{kind}|{first}|{number}".encode()).hexdigest()[:12]
        if found not in taken:
            taken.add(found)
            return found
    raise SourceError("cell ids ran out")


def _tags(cell: Any, name: str) -> set[str]:
    tags = set(cell.metadata.get("tags", []))
    unknown = tags - TAGS
    if unknown:
        known = ", ".join(sorted(TAGS))
        raise SourceError(f"{name}: unknown tags {sorted(unknown)} on the cell {cell.source[:60]!r}; known: {known}")
    return tags


def _text(cell: Any, tags: set[str], name: str, version: Version, repository: Repository) -> str:
    source = str(cell.source).strip("\n")
    if "badges" in tags:
        return repository.badges(f"{name}.ipynb") or NO_BADGES
    if "colab" in tags:
        return colab_code(repository)
    if version == "student" and "solution" in tags:
        return student_code(source)
    if version == "student" and "answer" in tags:
        return INVITATION
    return source


def build(
    source: str, name: str, version: Version, repository: Repository, lessons: Sequence[str] = ()
) -> NotebookNode:
    """One notebook from the text of its source.

    Args:
        source: A Python file in percent format.
        name: Name of the notebook without suffix; enters the cell ids.
        version: For the student, or with the solutions.
        repository: What badges and set-up point at.
        lessons: Names of the notebooks beside it, which its text links to.

    Raises:
        SourceError: Unknown tags, or a solution that is not a function.
    """
    jupytext, nbformat = import_module("jupytext"), import_module("nbformat")
    v4 = import_module("nbformat.v4")

    taken: set[str] = set()
    cells = []
    for cell in jupytext.reads(source, fmt="py:percent").cells:
        tags = _tags(cell, name)
        if not cell.source.strip() and not tags & {"badges", "colab"}:
            continue
        text = _text(cell, tags, name, version, repository)
        text = linked(text, name, lessons) if cell.cell_type == "markdown" else text
        make = v4.new_markdown_cell if cell.cell_type == "markdown" else v4.new_code_cell
        key = f"{cell.cell_type}|{'|'.join(sorted(tags))}"
        metadata = {"tags": sorted(tags)} if tags else {}
        cells.append(make(text, id=cell_id(name, key, cell.source or key, taken), metadata=metadata))
    about = {"kernelspec": KERNEL, "language_info": {"name": "python"}}
    notebook = nbformat.from_dict({"cells": cells, "metadata": about, "nbformat": 4, "nbformat_minor": 5})
    nbformat.validate(notebook)
    return cast("NotebookNode", notebook)


def to_bytes(notebook: NotebookNode) -> bytes:
    """The notebook as it is stored."""
    return (json.dumps(notebook, indent=1, sort_keys=True, ensure_ascii=False) + "\n").encode()


def sources(notebooks: Path) -> list[Path]:
    """Lesson sources in order."""
    return sorted(path for path in (notebooks / "src").glob("*.py") if re.match(r"\d\d_", path.name))


def products(notebooks: Path) -> Iterator[tuple[Path, bytes]]:
    """Every generated notebook: where it belongs and what it must hold."""
    repository = read(notebooks)
    lessons = [path.stem for path in sources(notebooks)]
    for path in sources(notebooks):
        text = path.read_text(encoding="utf-8")
        yield notebooks / f"{path.stem}.ipynb", to_bytes(build(text, path.stem, "student", repository, lessons))
        solution = to_bytes(build(text, path.stem, "solution", repository, lessons))
        yield notebooks / "solutions" / f"{path.stem}.ipynb", solution


def build_all(notebooks: Path) -> list[Path]:
    """Write every notebook of the course; returns those that changed.

    Raises:
        FileNotFoundError: The folder has no sources.
    """
    if not sources(notebooks):
        raise FileNotFoundError(f"{notebooks} has no lesson sources (src/NN_name.py); run this in a checkout")
    changed = []
    for path, content in products(notebooks):
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists() or path.read_bytes() != content:
            path.write_bytes(content)
            changed.append(path)
    return changed


if __name__ == "__main__":
    build_all(Path("notebooks"))
