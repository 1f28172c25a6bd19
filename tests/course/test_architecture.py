"""The architecture's picture and page show the rooms that there are, in the rings that the contracts hold."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

from toolkit.course.architecture import RINGS, architecture

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "notebooks" / "site" / "architecture.md"


def test_every_room_is_in_the_picture_and_on_the_front_page() -> None:
    rooms = {path.parent.name for path in (ROOT / "toolkit").glob("*/__init__.py")} | {"measuring"}
    assert {room for ring in RINGS.values() for room in ring} == rooms
    tree = re.search(r"```text\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    assert rooms <= set(re.findall(r"^  (\w+)[/.]", tree, re.MULTILINE))
    assert len(tree.splitlines()) <= 20


def test_the_rings_are_those_of_the_contracts() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"]
    layers = settings["contracts"][0]["layers"]
    rooms = [set(re.split(r"\s*:\s*", layer)) - {"testing"} for layer in layers]  # fakes: no room that a sample passes
    assert rooms == [set(ring) for ring in RINGS.values()]


def test_the_page_names_files_that_exist_and_shows_the_picture() -> None:
    text = PAGE.read_text(encoding="utf-8")
    named = re.findall(r"`((?:\w+/)+\w+\.py)`", text)
    assert len(named) > 5
    assert [name for name in named if not any((base / name).exists() for base in (ROOT, ROOT / "toolkit"))] == []
    assert (PAGE.parent / "../images/architecture.png").resolve().exists()
    drawing = architecture()
    assert all(f"{room} (" in drawing.alt for ring in RINGS.values() for room in ring)
