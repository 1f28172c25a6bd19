"""Every control of every widget is labelled, and only what ipywidgets 7.7.1 and 8 share is used."""

import ast
from pathlib import Path

import ipywidgets
import pytest

FOLDERS = [Path(__file__).parents[2] / "toolkit" / name for name in ("widgets", "course")]
SOURCES = [path for folder in FOLDERS for path in sorted(folder.glob("*.py"))]
SHARED = {
    "BoundedIntText", "Box", "Button", "Checkbox", "Dropdown", "FileUpload", "FloatProgress", "FloatSlider",
    "FloatText", "GridBox", "HBox", "HTML", "Image", "IntProgress", "IntSlider", "IntText", "Label", "Layout",
    "RadioButtons", "Select", "SelectMultiple", "Tab", "Text", "Textarea", "ToggleButton", "ToggleButtons", "VBox",
}  # fmt: skip


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_only_shared_widgets_and_arguments(path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "w":
            assert node.attr in SHARED, f"{node.attr} is not in both versions, or not allowed here"
            assert hasattr(ipywidgets, node.attr)
        if isinstance(node, ast.keyword):
            assert node.arg not in {"titles", "tooltip"}, "silently ignored by 7.7.1"
