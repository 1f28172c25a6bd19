"""One word for one thing: the word list is true of the code, and no public name has a word that the list replaces."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "toolkit"
PAGE = Path(__file__).parents[1] / "notebooks" / "site" / "words.md"
FILES = {path.relative_to(PACKAGE).as_posix(): path for path in PACKAGE.rglob("*.py")}


def rows(heading: str) -> list[list[str]]:
    """The cells of the table below a heading of the page."""
    part = PAGE.read_text(encoding="utf-8").split(f"\n## {heading}\n")[1].split("\n## ")[0]
    lines = [line.strip("|").split("|") for line in part.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line] for line in lines[2:]]


REPLACED = {
    word: set(re.findall(r"`([^`]+)`", exceptions))
    for words, _, exceptions in rows("What is not said in a name")
    for word in words.split(", ")
}
"""Word -> files and names that may have it."""


def words_of(name: str) -> set[str]:
    """The words of a name, in lower case and in the singular: ``n_PictureCells`` -> n, picture, cell."""
    parts = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower().split("_")
    return {part.removesuffix("s") if part.removesuffix("s") in REPLACED else part for part in parts}


def public_names(body: list[ast.stmt], inside: str = "") -> Iterator[str]:
    """Classes, functions, parameters, attributes and constants that do not begin with an underscore."""
    for node in body:
        if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield inside + node.name
            yield from public_names(node.body, f"{node.name}.")
        elif isinstance(node, ast.FunctionDef) and (not node.name.startswith("_") or node.name.endswith("__")):
            yield inside + node.name
            arguments = [each.arg for each in ast.walk(node.args) if isinstance(each, ast.arg)]
            attributes = [each.attr for each in ast.walk(node) if inside and _is_set_on_self(each)]
            yield from (f"{inside}{node.name}.{name}" for name in [*arguments, *attributes] if name[0] != "_")
        elif isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            found = [each.id for target in targets for each in ast.walk(target) if isinstance(each, ast.Name)]
            yield from (inside + name for name in found if name[0] != "_")
        elif isinstance(node, ast.If | ast.Try | ast.With):
            yield from public_names(node.body, inside)


def _is_set_on_self(node: ast.AST) -> bool:
    return (
        isinstance(node, ast.Attribute)
        and isinstance(node.ctx, ast.Store)
        and isinstance(node.value, ast.Name)
        and node.value.id == "self"
    )


def offences() -> Iterator[tuple[str, str, str]]:
    """File, name and word of every public name that has a replaced word."""
    for file, path in FILES.items():
        names = [path.stem, *public_names(ast.parse(path.read_text(encoding="utf-8")).body)]
        yield from ((file, name, word) for name in names for word in words_of(name.split(".")[-1]) & REPLACED.keys())


def is_excepted(exception: str, file: str, name: str) -> bool:
    return fnmatch(file, exception) or name == exception


def test_no_public_name_has_a_replaced_word() -> None:
    found = [
        f"{file}: {name} ({word})"
        for file, name, word in offences()
        if not any(is_excepted(exception, file, name) for exception in REPLACED[word])
    ]
    assert found == []


def test_every_exception_is_needed() -> None:
    known = list(offences())
    listed = [(word, exception) for word, exceptions in REPLACED.items() for exception in exceptions]
    unused = [
        (word, exception)
        for word, exception in listed
        if not any(word == other and is_excepted(exception, file, name) for file, name, other in known)
    ]
    assert unused == []


@pytest.mark.parametrize("row", rows("What a word means"), ids=lambda row: row[0])
def test_a_word_is_defined_where_the_list_says(row: list[str]) -> None:
    file, name = re.fullmatch(r"`([\w/]+\.py): (\w+)`", row[-1]).groups()
    tree = ast.parse(FILES[file].read_text(encoding="utf-8"))
    assert name in public_names(tree.body)
    assert row[1]


def test_the_walk_sees_every_kind_of_public_name() -> None:
    source = """
FIRST, (second, _hidden) = 1, (2, 3)
class Third:
    fourth: int
    def __init__(self, fifth, *, _private=0, **sixth):
        self.seventh, self._eighth = fifth, sixth
    def ninth(self):
        local = 1
class _Tenth:
    def eleventh(self): ...
def _twelfth(thirteenth): ...
"""
    found = {name.split(".")[-1] for name in public_names(ast.parse(source).body)}
    assert found == {"FIRST", "second", "Third", "fourth", "__init__", "self", "fifth", "sixth", "seventh", "ninth"}
    assert words_of("n_PictureCells") == {"n", "picture", "cell"}
