"""What a teacher hands out and gets back."""

import json
import shutil
import zipfile
from pathlib import Path

import pytest
from typer.testing import CliRunner

from toolkit.course.__main__ import app
from toolkit.course.handout import handout
from toolkit.course.lesson_00 import QUESTIONS, check_accuracy
from toolkit.course.mark import mark
from toolkit.course.my_answers import key
from toolkit.course.nbgrader import with_marks, write_assignments

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"


def answers(**given):
    return json.dumps({"exercises": {}, "quiz": {}, "predictions": {}} | given)


def test_marks_count_what_is_solved_and_right(tmp_path):
    right = next(option.text for option in QUESTIONS[0].options if option.right)
    wrong = next(option.text for option in QUESTIONS[1].options if not option.right)
    (tmp_path / "ada").mkdir()
    solved = {key(check_accuracy): {"solved": True}, "01 kendall": {"solved": False}}
    quiz = {QUESTIONS[0].text: {"answer": right}, QUESTIONS[1].text: {"answer": wrong}}
    (tmp_path / "ada" / "my_answers.json").write_text(answers(exercises=solved, quiz=quiz), encoding="utf-8")
    (tmp_path / "bob.json").write_text(answers(), encoding="utf-8")
    table, problems = mark(tmp_path)
    assert problems == []
    rows = table.set_index(["learner", "lesson"])
    assert rows.loc[("ada", "00")].to_dict() == {"solved": 1, "exercises": 1, "right": 1, "questions": len(QUESTIONS)}
    assert rows.loc["ada"][["solved", "exercises"]].sum().tolist() == [1, 19]
    assert rows.loc["bob"][["solved", "right"]].sum().tolist() == [0, 0]


BROKEN = {
    "cut off": (b"{", "cannot be read"),
    "empty": (b"", "cannot be read"),
    "of another encoding": (b"\xff\xfe{\x00}\x00", "cannot be read"),
    "too deep": (b"[" * 100_000, "cannot be read"),
    "foreign": (b'{"name": "package", "version": "1.0.0"}', "is no file of answers: expected exercises, quiz"),
    "a list": (b"[1, 2]", "is no file of answers"),
    "with bare entries": (answers(exercises={"00 accuracy": True}).encode(), "is no file of answers"),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_broken_file_is_named_once_and_the_others_are_marked(tmp_path, kind):
    content, problem = BROKEN[kind]
    (tmp_path / "bob.json").write_text(answers(exercises={"00 accuracy": {"solved": True}}), encoding="utf-8")
    (tmp_path / "eve.json").write_bytes(content)
    done = CliRunner().invoke(app, ["mark", str(tmp_path)])
    assert done.exit_code == 1
    errors = [line for line in done.output.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert "eve.json" in errors[0]
    assert problem in errors[0]
    assert errors[0].endswith("eve was not marked")
    assert "bob,00,1,1,0," in (tmp_path / "marks.csv").read_text(encoding="utf-8")


def test_a_folder_without_answers_is_refused_in_one_sentence(tmp_path):
    (tmp_path / ".ipynb_checkpoints").mkdir()
    (tmp_path / ".ipynb_checkpoints" / "ada.json").write_text(answers(), encoding="utf-8")
    (tmp_path / "a.txt").write_text("nothing", encoding="utf-8")
    for given, problem in (
        (tmp_path, "holds no my_answers.json; put NAME/my_answers.json or NAME.json into it"),
        (tmp_path / "missing", "there is no folder"),
        (tmp_path / "a.txt", "a.txt is a file; give the folder that it is in"),
    ):
        done = CliRunner().invoke(app, ["mark", str(given)])
        assert (done.exit_code, done.output.count("\n")) == (2, 1)
        assert problem in done.output


@pytest.mark.parametrize(("others", "network"), [(["numpy-2.whl"], "No network is needed"), ([], "needs a network")])
def test_the_handout_holds_lessons_and_wheels_and_no_solution(tmp_path, others, network):
    for name in ["vlm_synergy_toolkit-0.2.0-py3-none-any.whl", *others]:
        (tmp_path / name).write_bytes(b"wheel")
    with zipfile.ZipFile(handout(NOTEBOOKS, tmp_path, tmp_path / "out" / "class.zip")) as archive:
        names = {name.removeprefix("synergy-toolkit-course/") for name in archive.namelist()}
        start = archive.read("synergy-toolkit-course/START.md").decode()
        lesson = archive.read("synergy-toolkit-course/notebooks/00_start.ipynb").decode()
    lessons = {f"notebooks/{path.name}" for path in NOTEBOOKS.glob("*.ipynb")}
    wheels = {f"wheels/{path.name}" for path in tmp_path.glob("*.whl")}
    assert names == {"START.md", "constraints.txt"} | lessons | wheels
    assert network in start
    assert ("--no-index" in start) == bool(others)
    assert "raise NotImplementedError" in lesson


def test_what_the_teacher_solved_and_ran_is_not_handed_out(tmp_path):
    (tmp_path / "vlm_synergy_toolkit-0.2.0-py3-none-any.whl").write_bytes(b"wheel")
    home = tmp_path / "home" / "notebooks"
    shutil.copytree(NOTEBOOKS / "src", home / "src")
    shutil.copy(NOTEBOOKS / "repository.json", home)
    shutil.copy(NOTEBOOKS.parent / "constraints.txt", home.parent)
    (home / "00_start.ipynb").write_bytes((NOTEBOOKS / "solutions" / "00_start.ipynb").read_bytes())
    with zipfile.ZipFile(handout(home, tmp_path, tmp_path / "class.zip")) as archive:
        lesson = archive.read("synergy-toolkit-course/notebooks/00_start.ipynb")
    assert lesson == (NOTEBOOKS / "00_start.ipynb").read_bytes()


def test_a_handout_without_its_wheel_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="found 10 and 0; make handout builds both"):
        handout(NOTEBOOKS, tmp_path, tmp_path / "class.zip")


def test_nbgrader_gets_marks_points_and_distinct_names(tmp_path):
    for path in write_assignments(NOTEBOOKS, tmp_path):
        cells = json.loads(path.read_bytes())["cells"]
        kept = {cell["id"]: cell["metadata"]["nbgrader"] for cell in cells if "nbgrader" in cell["metadata"]}
        by_tag = {tag: [c for c in cells if tag in c["metadata"].get("tags", [])] for tag in ("solution", "exercise")}
        assert len({about["grade_id"] for about in kept.values()}) == len(kept) >= 3
        assert all("### BEGIN SOLUTION" in "".join(cell["source"]) for cell in by_tag["solution"])
        assert all("".join(cell["source"]).startswith("assert lesson.check_") for cell in by_tag["exercise"])
        assert all(kept[cell["id"]]["points"] == 1 for cell in by_tag["exercise"])
        assert not any(kept[cell["id"]]["locked"] for cell in by_tag["solution"])


def test_marks_stand_around_each_body():
    assert with_marks('def f(a):\n    """Say."""\n    b = a\n    return b') == (
        'def f(a):\n    """Say."""\n    ### BEGIN SOLUTION\n    b = a\n    return b\n    ### END SOLUTION'
    )
