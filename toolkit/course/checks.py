"""Exercise checkers: run the learner's function on cases with known answers, and explain what is wrong."""

from __future__ import annotations

import html
import inspect
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

FEW = 12
"""Longest array that is shown whole."""


class ExerciseError(Exception):
    """The learner's function is not right yet; the message says where and gives a hint."""

    def _render_traceback_(self) -> list[str]:
        """In a notebook: the message alone, without the checker's own stack."""
        return ["Not yet.", *str(self).splitlines()]


@dataclass(frozen=True)
class Case:
    """One call of the learner's function and what it must return.

    Attributes:
        arguments: Positional arguments.
        expected: The right answer: a number, an array, a text, or a list of them.
        hint: What to think about if this case fails.
        name: What the case is, in words; shown with the error.
    """

    arguments: tuple[Any, ...]
    expected: Any
    hint: str
    name: str = ""


@dataclass(frozen=True)
class Verdict:
    """What a checker found.

    Attributes:
        done: Whether the exercise is solved; False where it has not been begun.
        message: For the learner.
    """

    done: bool
    message: str = field(repr=False)

    def _repr_html_(self) -> str:
        colour, sign = ("#009E73", "Solved") if self.done else ("#8C6D31", "Still open")
        return (
            f'<div role="status" style="border-left:4px solid {colour};padding:4px 10px"><b>{sign}.</b> '
            f"{html.escape(self.message)}</div>"
        )


def call(function: Callable[..., Any], arguments: tuple[Any, ...]) -> Any:
    """Call the learner's function; its own mistakes are reported as such.

    Raises:
        NotImplementedError: The exercise has not been begun.
        ExerciseError: The function raised something else.
    """
    try:
        return function(*arguments)
    except NotImplementedError:
        raise
    except Exception as error:
        raise ExerciseError(
            f"Your function stopped{where(function, error)} with {type(error).__name__}: {error}\n"
            f"It was called with {short_repr(arguments)}."
        ) from error


def parameters(function: Callable[..., Any], arguments: tuple[Any, ...]) -> str:
    """What is wrong with the number of parameters, or "" where the function can be called."""
    try:
        signature = inspect.signature(function)
    except ValueError:  # some built-in functions have none
        return ""
    try:
        signature.bind(*arguments)
    except TypeError:
        taken, given = len(signature.parameters), len(arguments)
        return (
            f"Your function takes {taken} parameter{'s' * (taken != 1)}, {signature}; it is called with {given}: "
            f"{short_repr(arguments)}.\nHint: leave the line that begins with `def` as it was given."
        )
    return ""


def where(function: Callable[..., Any], error: Exception) -> str:
    """Where in the learner's function an exception left it, or "" where that is not known."""
    code = getattr(function, "__code__", None)
    if code is None:
        return ""
    found = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == code.co_filename]
    if not found or found[-1].lineno is None or not found[-1].line:
        return ""
    return f" at its line {found[-1].lineno - code.co_firstlineno + 1}, `{found[-1].line}`,"


def short_repr(value: Any) -> str:
    """A value as a learner reads it: short, numbers rounded to six digits."""
    if isinstance(value, np.ndarray) and value.size > FEW:
        first = ", ".join(map(short_repr, value.ravel()[:3].tolist()))
        return f"array of shape {value.shape} that begins with {first}"
    if isinstance(value, np.ndarray):
        return f"array {' '.join(np.array2string(value, precision=6).split())} of shape {value.shape}"
    if hasattr(value, "players"):
        return f"a game of the players {', '.join(value.players.labels)}"
    if isinstance(value, float | np.floating):
        return f"{float(value):.6g}"
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key!r}: {short_repr(item)}" for key, item in value.items()) + "}"
    if isinstance(value, tuple | list):
        inside = ", ".join(short_repr(item) for item in value)
        return f"({inside})" if isinstance(value, tuple) else f"[{inside}]"
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def counted(values: np.ndarray[Any, Any]) -> str:
    """How many numbers there are: ``one number``, ``5 numbers``, ``an array of shape (2, 10)``."""
    if values.ndim == 0:
        return "one number"
    return f"{len(values)} numbers" if values.ndim == 1 else f"an array of shape {values.shape}"


def difference(got: Any, expected: Any, tolerance: float, *, mirrored: bool = True) -> str:
    """What is wrong with an answer, or "" if it is right.

    Args:
        got: The answer.
        expected: The right answer.
        tolerance: Largest absolute difference.
        mirrored: Whether to name a wrong sign; misleading once the sign was right in another case.
    """
    if got is None:
        return "it returned None; is there a `return`?"
    if isinstance(expected, str | bool) or (isinstance(expected, list) and expected and isinstance(expected[0], str)):
        value = list(got) if isinstance(expected, list) and not isinstance(got, str) else got
        return "" if value == expected else f"it returned {short_repr(got)}, expected {short_repr(expected)}."
    try:
        number, right = np.asarray(got, dtype=np.float64), np.asarray(expected, dtype=np.float64)
    except (TypeError, ValueError):
        return f"it returned {short_repr(got)}, which is no number and no array of numbers."
    if number.shape != right.shape:
        return f"it returned {counted(number)}, expected {counted(right)}."
    if np.allclose(number, right, rtol=0, atol=tolerance, equal_nan=True):
        return ""
    if mirrored and right.size and np.allclose(number, -right, rtol=0, atol=tolerance):
        return f"it returned {short_repr(got)}, expected {short_repr(expected)}: the sign is the wrong way round."
    return f"it returned {short_repr(got)}, expected {short_repr(expected)}."


def check(function: Callable[..., Any], cases: Sequence[Case], *, tolerance: float = 1e-9, solved: str = "") -> Verdict:
    """Try a function on cases in order and stop at the first that fails.

    Args:
        function: The learner's.
        cases: From the simplest to the most demanding.
        tolerance: Largest absolute difference.
        solved: Said when all cases pass.

    Returns:
        A verdict: solved, or still open where the function raises NotImplementedError.

    Raises:
        ExerciseError: A case fails.
    """
    if not callable(function):
        raise ExerciseError(f"Expected your function, got {short_repr(function)}; pass its name without brackets.")
    problem = parameters(function, cases[0].arguments)
    if problem:
        raise ExerciseError(problem)
    signed = False
    for number, case in enumerate(cases, 1):
        try:
            got = call(function, case.arguments)
        except NotImplementedError:
            return Verdict(done=False, message="Write the function above, run its cell, then run this one again.")
        except ExerciseError as error:
            raise ExerciseError(f"{error}\nHint: {case.hint}") from error.__cause__
        wrong = difference(got, case.expected, tolerance, mirrored=not signed)
        if wrong:
            name = f" ({case.name})" if case.name else ""
            raise ExerciseError(
                f"Case {number} of {len(cases)}{name}: {wrong}\n"
                f"It was called with {short_repr(case.arguments)}.\nHint: {case.hint}"
            )
        signed = signed or (not isinstance(case.expected, str | list) and bool(np.any(case.expected)))
    return Verdict(done=True, message=solved or f"All {len(cases)} cases are right.")
