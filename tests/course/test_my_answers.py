import json
import sys

import pytest

from toolkit.course import ExerciseError, Option, Question, Quiz, my_answers, predict
from toolkit.course.lesson_00 import check_accuracy


@pytest.fixture
def notebook(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(sys.modules, "ipykernel.kernelapp", object())
    return lambda: json.loads((tmp_path / "my_answers.json").read_text(encoding="utf-8"))


def right(given, right):
    return sum(a == b for a, b in zip(given, right, strict=True)) / len(right)


def wrong(given, right):
    return 1.0


def open_still(given, right):
    raise NotImplementedError


def test_a_solved_exercise_is_kept_with_its_code_and_tries(notebook):
    with pytest.raises(ExerciseError, match="Hint"):
        check_accuracy(wrong)
    assert notebook()["exercises"]["00 accuracy"]["solved"] is False
    assert check_accuracy(right).done
    kept = notebook()["exercises"]["00 accuracy"]
    assert (kept["solved"], kept["tries"]) == (True, 2)
    assert "strict=True" in kept["code"]


def test_an_exercise_that_was_not_begun_is_not_kept(notebook, tmp_path):
    check_accuracy(open_still)
    assert not (tmp_path / "my_answers.json").exists()


def test_quiz_answers_and_first_guesses_are_kept(notebook):
    options = (Option("a", "No.", right=False), Option("b", "So it is.", right=True))
    quiz = Quiz([Question("Which?", options)])
    quiz.answers[0].value = "b"
    asked = predict("How much?", 0.5, "Half.")
    for guess in ("0.2", "0.5"):
        asked.guess.value = guess
        asked.submit.click()
    assert notebook()["quiz"]["Which?"] == {"answer": "b", "tries": 1}
    assert notebook()["predictions"]["How much?"] == {"guess": 0.2, "truth": 0.5, "tries": 1}


@pytest.mark.parametrize("content", ["[]", "{", '{"exercises": []}'])
def test_a_broken_file_is_named_and_the_lesson_goes_on(notebook, tmp_path, content):
    (tmp_path / "my_answers.json").write_text(content, encoding="utf-8")
    verdict = check_accuracy(right)
    assert verdict.done
    assert "not kept for your teacher: my_answers.json" in verdict.message
    assert (tmp_path / "my_answers.json").read_text(encoding="utf-8") == content


def test_nothing_is_kept_outside_a_notebook(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delitem(sys.modules, "ipykernel.kernelapp", raising=False)
    assert check_accuracy(right).message == "Every accuracy of this course is this number."
    assert list(tmp_path.iterdir()) == []


def test_every_exercise_has_a_name_of_its_own():
    assert my_answers.key(check_accuracy) == "00 accuracy"
