"""``my_answers.json``: what a learner solved, answered and predicted, kept beside the notebooks for the teacher."""

from __future__ import annotations

import inspect
import json
import sys
from collections.abc import Callable
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import Any, TypeAlias

from toolkit.course.checks import ExerciseError, Verdict
from toolkit.widgets.prediction import Prediction

FILE = "my_answers.json"
KINDS = ("exercises", "quiz", "predictions")
Checker: TypeAlias = Callable[[Callable[..., Any]], Verdict]


class AnswersError(ValueError):
    """A file of answers that cannot be read; the message says which and what to do."""


def load(path: Path) -> dict[str, dict[str, Any]]:
    """The answers in a file: ``exercises``, ``quiz`` and ``predictions``, each by name.

    Raises:
        AnswersError: It is no file of answers.
    """
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise AnswersError(f"{path} cannot be read ({error}); move it away and answer again") from error
    kinds = [found.get(kind) for kind in KINDS] if isinstance(found, dict) else [None]
    if not all(isinstance(named, dict) and all(isinstance(entry, dict) for entry in named.values()) for named in kinds):
        raise AnswersError(f"{path} is no file of answers: expected {', '.join(KINDS)}, each by name; move it away")
    return dict(found)


def keep(kind: str, name: str, entry: dict[str, Any], *, first: bool = False) -> str:
    """Put an answer into the file in the current folder of a notebook; elsewhere nothing is kept.

    A later answer takes the place of an earlier one, unless the first is wanted, and tries are counted.

    Returns:
        "", or a sentence for the learner where it could not be kept: the lesson goes on.
    """
    if "ipykernel.kernelapp" not in sys.modules:
        return ""
    path = Path(FILE)
    try:
        answers = load(path) if path.exists() else {kind: {} for kind in KINDS}
        if first and name in answers[kind]:
            return ""
        tries = answers[kind].get(name, {}).get("tries", 0) + 1
        answers[kind][name] = {**entry, "tries": tries}
        text = json.dumps(answers, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
        fresh = path.with_suffix(".tmp")
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except (OSError, AnswersError) as error:
        return f" This answer was not kept for your teacher: {error}."
    return ""


def exercise(checker: Checker) -> Checker:
    """Let a checker keep what it found, under its lesson and name, with the learner's code."""

    @wraps(checker)
    def keeping(function: Callable[..., Any]) -> Verdict:
        put = partial(keep, "exercises", key(checker))
        try:
            verdict = checker(function)
        except ExerciseError:
            put({"solved": False, "code": _code(function)})
            raise
        if not verdict.done:
            return verdict
        return replace(verdict, message=verdict.message + put({"solved": True, "code": _code(function)}))

    return keeping


def key(checker: Callable[..., Any]) -> str:
    """The name under which an exercise is kept: ``00 accuracy`` of ``lesson_00.check_accuracy``."""
    return f"{checker.__module__.rpartition('_')[2]} {checker.__name__.removeprefix('check_')}"


def _code(function: Any) -> str:
    """The learner's code, or what stands there instead of a function."""
    try:
        return inspect.getsource(function)
    except (OSError, TypeError):
        return repr(function)[:200]


def predict(question: str, truth: float, explain: str) -> Prediction:
    """Ask for a number before it is shown, and keep the first guess.

    Args:
        question: One number answers it.
        truth: That number, as it was measured.
        explain: Said once a guess is there.
    """
    kept = partial(keep, "predictions", question, first=True)
    return Prediction(question, truth, explain, on_guess=lambda guess: kept({"guess": guess, "truth": float(truth)}))
