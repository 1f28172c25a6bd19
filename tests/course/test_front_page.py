"""The front page and the guide are short and true: links lead somewhere, commands exist, the ten lines run."""

import re
from pathlib import Path

import pytest
from typer.main import get_command

from toolkit.cli import app

ROOT = Path(__file__).parents[2]
PAGES = ("README.md", "notebooks/TEACHING.md")


def page(name):
    return (ROOT / name).read_text(encoding="utf-8")


def ten_lines():
    return re.search(r"## Ten lines\n\n```python\n(.*?)```", page("README.md"), flags=re.S).group(1)


@pytest.mark.parametrize("name", PAGES)
def test_links_lead_to_files_that_are_there(name):
    links = re.findall(r"\]\(([^)\s]+)\)", page(name))
    local = [link.split("#")[0] for link in links if not link.startswith(("http", "#"))]
    assert not [link for link in local if not ((ROOT / name).parent / link).exists()]
    assert local or name != "README.md"


def test_the_guide_names_modules_that_are_there():
    named = set(re.findall(r"`([\w/]+\.py)`", page("notebooks/TEACHING.md")))
    made = {"nbgrader_config.py", "notebooks/src/NN_name.py"}  # by the teacher
    assert len(named - made) >= 3
    places = (ROOT, ROOT / "toolkit" / "scenes")  # names without a folder are of the world
    assert not {name for name in named - made if not any((place / name).exists() for place in places)}


def test_the_front_page_names_every_command():
    commands = get_command(app).commands
    assert not [
        name for name in commands if f"`{name}" not in page("README.md") and f"toolkit {name}" not in page("README.md")
    ]
    inner = commands["benchmark"].commands
    listed = re.search(r"`benchmark ([a-z| ]+)`", page("README.md")).group(1)
    assert set(listed.split(" | ")) == set(inner)


def test_the_front_page_begins_with_one_sentence_one_picture_and_two_commands():
    head = page("README.md").split("\n## ")[0]
    sentence = head.split("\n\n")[1]
    assert sentence.count(".") == 1
    assert head.count("![") == 1
    assert len(re.search(r"!\[(.*?)\]", head).group(1)) > 80, "the picture has an alternative text"
    block = re.search(r"```sh\n(.*?)```", head, flags=re.S).group(1)
    assert [line.split("#")[0].strip() for line in block.splitlines()] == ["make demo", "make lab"]


@pytest.mark.slow
def test_the_ten_lines_run(capsys):
    code = ten_lines()
    assert len(code.splitlines()) <= 10
    found = {}
    exec(compile(code, "README.md", "exec"), found)
    assert abs(found["score"].value) <= 2
    assert 0 <= found["score"].paper.value <= 1
    assert "tiny-llava-grounded" in capsys.readouterr().out
