import json
import re
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from toolkit.course.__main__ import app
from toolkit.course.badges import Repository, put_into, read

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def test_one_setting_reaches_every_badge(tmp_path):
    shutil.copytree(NOTEBOOKS, tmp_path / "notebooks", ignore=shutil.ignore_patterns("*.ipynb", ".ipynb_checkpoints"))
    readme = tmp_path / "README.md"
    readme.write_text("# T\n<!-- badges: begin -->\nold\n<!-- badges: end -->\nrest\n", encoding="utf-8")
    folder = str(tmp_path / "notebooks")
    done = CliRunner().invoke(app, ["badges", "some-one/a.thing", "--tag", "v9", "--notebooks", folder])
    assert done.exit_code == 0, done.output
    built = sorted((tmp_path / "notebooks").rglob("*.ipynb"))
    assert built
    links = []
    for path in [readme, *built]:
        text = path.read_text(encoding="utf-8")
        found = re.findall(r"(?:colab\.research\.google\.com/github|mybinder\.org/v2/gh)/([^\s)\\\"?]+)", text)
        assert found, f"no badges in {path.name}"
        links += found
    assert all(link.startswith(("some-one/a.thing/blob/v9/notebooks", "some-one/a.thing/v9")) for link in links)
    assert "old" not in readme.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["badges", "nobody"], "error: the repository must be given as owner/name, got 'nobody'"),
        (["badges", "a/b", "--tag", "v 1"], "error: the tag must be"),
        (["build"], "no lesson sources"),
    ],
)
def test_a_wrong_request_is_one_line(tmp_path, arguments, message):
    (tmp_path / "repository.json").write_text('{"name": "", "tag": "v1"}', encoding="utf-8")
    done = CliRunner().invoke(app, [*arguments, "--notebooks", str(tmp_path)])
    assert done.exit_code == 2
    assert message in done.output
    assert len(done.output.splitlines()) == 1
    assert json.loads((tmp_path / "repository.json").read_text(encoding="utf-8"))["name"] == ""


def test_an_empty_name_removes_the_badges_and_says_so(tmp_path):
    shutil.copytree(NOTEBOOKS / "src", tmp_path / "src")
    (tmp_path / "repository.json").write_text('{"name": "a/b", "tag": "v1"}', encoding="utf-8")
    done = CliRunner().invoke(app, ["badges", "", "--notebooks", str(tmp_path)])
    assert "make badges REPO=owner/name" in done.output
    assert "mybinder" not in next(tmp_path.glob("*.ipynb")).read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("name", "tag"), [("nobody", "v1"), ("a/b/c", "v1"), ("a/b", "v 1"), ("-a/b", "v1"), ("a/b", "")]
)
def test_a_malformed_setting_is_refused(name, tag):
    with pytest.raises(ValueError, match="must be"):
        Repository(name, tag)


def test_without_a_repository_there_are_no_badges():
    assert Repository("", "v1").badges("x.ipynb") == ""


def test_a_strange_setting_file_is_refused(tmp_path):
    (tmp_path / "repository.json").write_text(json.dumps({"name": "a/b"}), encoding="utf-8")
    with pytest.raises(ValueError, match="name and tag"):
        read(tmp_path)


def test_a_document_without_marks_stays_as_it_is():
    assert put_into("plain", "x") == "plain"


def test_the_badges_of_the_course_open_lesson_00():
    assert Repository("a/b", "v1").badges().count("notebooks/00_start.ipynb") == 2
