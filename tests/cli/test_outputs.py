"""What a command would destroy or could not write is told before it computes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pandas as pd
import pytest

from toolkit.audit.explainers.report_card import ReportCard
from toolkit.cli.outputs import GENERATOR, check_folder, check_model_folder, check_page, on_one_line
from toolkit.reporting.page import page


def test_a_new_page_and_an_old_one_of_ours_may_be_written(tmp_path: Path) -> None:
    out = tmp_path / "a.html"
    assert check_page(out) == out
    out.write_text(page("t"))
    assert check_page(out) == out


def test_every_page_of_ours_is_known() -> None:
    empty = pd.DataFrame({"explainer": ["x"]})
    pages = [page("t"), ReportCard("x", "about", (), {"Verdict": empty}).to_html()]
    assert all(GENERATOR in text[:1000] for text in pages)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.html", "<h1>My thesis</h1>", "was not written by the toolkit"),
        ("a.png", "picture", "ends in .html"),
        ("gone/a.html", None, "there is no folder"),
    ],
)
def test_what_is_not_ours_is_kept(tmp_path: Path, name: str, content: str | None, message: str) -> None:
    out = tmp_path / name
    if content is not None:
        out.write_text(content)
    with pytest.raises((OSError, ValueError), match=message):
        check_page(out)
    assert content is None or out.read_text() == content
    if name == "a.html":
        assert check_page(out, force=True) == out


def test_a_folder_is_no_page(tmp_path: Path) -> None:
    (tmp_path / "a.html").mkdir()
    with pytest.raises(ValueError, match="is a folder; give a file name"):
        check_page(tmp_path / "a.html")


@pytest.mark.skipif(sys.platform != "linux", reason="needs a folder in which nobody can write, such as /proc")
def test_a_place_that_cannot_be_written_is_told() -> None:
    with pytest.raises(OSError, match=r"'/proc' cannot be written \(.+\); choose another place"):
        check_page(Path("/proc/a.html"))
    with pytest.raises(OSError, match="cannot be written"):
        check_folder(Path("/proc/a/b"))


def test_a_folder_may_be_there_or_not_but_no_file(tmp_path: Path) -> None:
    assert check_folder(tmp_path) == tmp_path
    assert check_folder(tmp_path / "a" / "b") == tmp_path / "a" / "b"
    assert not (tmp_path / "a").exists()
    (tmp_path / "file").write_text("x")
    for out in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(NotADirectoryError, match="is a file; give a folder"):
            check_folder(out)


def test_a_model_is_written_into_a_folder_of_its_own(tmp_path: Path) -> None:
    new, own, twin, mine = (tmp_path / name for name in ("new", "own", "twin", "mine"))
    for folder, name in ((own, "tiny-llava-grounded"), (twin, "tiny-llava-biased")):
        folder.mkdir()
        (folder / "evaluation.json").write_text(json.dumps({"recipe": {"name": name}}))
    mine.mkdir()
    assert [check_model_folder(folder, "tiny-llava-grounded") for folder in (new, own, mine)] == [new, own, mine]
    (mine / "README.md").write_text("my thesis")
    for folder, held in ((twin, "the model 'tiny-llava-biased'"), (mine, "things that are no embedded model")):
        with pytest.raises(FileExistsError, match=f"holds {held}; choose a new folder, or --force"):
            check_model_folder(folder, "tiny-llava-grounded")
        assert check_model_folder(folder, "tiny-llava-grounded", force=True) == folder


@pytest.mark.parametrize("content", ["", "{", "[]", '{"recipe": 3}', '{"recipe": {}}'])
def test_a_damaged_evaluation_names_no_model(tmp_path: Path, content: str) -> None:
    (tmp_path / "evaluation.json").write_text(content)
    with pytest.raises(FileExistsError, match="no embedded model"):
        check_model_folder(tmp_path, "tiny-llava-grounded")


def test_a_models_words_steer_no_terminal() -> None:
    assert on_one_line("A red\n\ncar\x1b[2J\x00, 红") == "A red car\ufffd[2J\ufffd, 红"


def test_one_place_writes_pages() -> None:
    root = Path(page.__code__.co_filename).parents[1]
    assert [path.name for path in root.rglob("*.py") if "<!doctype" in path.read_text(encoding="utf-8").lower()] == []
    made = page("a < b", "<p>lead</p>", body="<b>body</b>")
    assert "<title>a &lt; b</title>" in made
    assert "<p>lead</p>" in made
    assert "<b>body</b>" in made
