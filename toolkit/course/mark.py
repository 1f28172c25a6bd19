"""Read what a class handed in: who solved what, lesson by lesson."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pandas as pd

from toolkit.course.my_answers import FILE, AnswersError, key, load

N_LESSONS = 10


def _lesson(number: int) -> tuple[set[str], dict[str, str]]:
    """Names of a lesson's exercises, and the right option of each of its questions."""
    module = import_module(f"toolkit.course.lesson_{number:02d}")
    checkers = [value for name, value in vars(module).items() if name.startswith("check_")]
    right = {q.text: option.text for q in module.QUESTIONS for option in q.options if option.right}
    return {key(checker) for checker in checkers}, right


def marks(answers: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """One row per lesson: exercises solved and quiz questions right, each beside how many there are."""
    for number in range(N_LESSONS):
        exercises, right = _lesson(number)
        solved = [name for name in exercises if answers["exercises"].get(name, {}).get("solved") is True]
        correct = [text for text, option in right.items() if answers["quiz"].get(text, {}).get("answer") == option]
        yield {
            "lesson": f"{number:02d}",
            "solved": len(solved),
            "exercises": len(exercises),
            "right": len(correct),
            "questions": len(right),
        }


def mark(folder: Path) -> tuple[pd.DataFrame, list[str]]:
    """Mark every file of answers below a folder: ``NAME/my_answers.json`` or ``NAME.json``.

    An exercise counts as solved where the learner's own notebook said so; to run the code again, use nbgrader.

    Returns:
        One row per learner and lesson, and one sentence per file that cannot be read.

    Raises:
        FileNotFoundError: There is no such folder, or no file of answers in it.
        NotADirectoryError: It is a file.
    """
    wanted = f"put NAME/{FILE} or NAME.json into it, one per learner"
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}; make it, and {wanted}")
    if not folder.is_dir():
        raise NotADirectoryError(f"{folder} is a file; give the folder that it is in")
    inside = (path for path in folder.rglob("*.json") if not any(p[0] == "." for p in path.relative_to(folder).parts))
    found = sorted(inside)
    if not found:
        raise FileNotFoundError(f"{folder} holds no {FILE}; {wanted}")
    rows, problems = [], []
    for path in found:
        learner = path.parent.resolve().name if path.name == FILE else path.stem
        try:
            rows += [{"learner": learner, **row} for row in marks(load(path))]
        except AnswersError as error:
            problems.append(f"{error}; {learner} was not marked")
    return pd.DataFrame(rows, columns=["learner", "lesson", "solved", "exercises", "right", "questions"]), problems
