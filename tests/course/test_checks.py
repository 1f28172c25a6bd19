import numpy as np
import pytest

from toolkit.course import Case, ExerciseError, check
from toolkit.course.checks import difference
from toolkit.games.analytic import and_gate

CASES = [
    Case((1.0, 2.0), 3.0, "add them", "small numbers"),
    Case((np.ones(2), np.ones(2)), np.full(2, 2.0), "arrays too", "arrays"),
]


def test_a_right_function_is_solved():
    verdict = check(lambda a, b: a + b, CASES, solved="Well done.")
    assert verdict.done
    assert "Well done." in verdict._repr_html_()


def test_an_unfinished_function_is_still_open():
    def later(a, b):
        raise NotImplementedError

    verdict = check(later, CASES)
    assert not verdict.done
    assert "Still open" in verdict._repr_html_()


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda a, b: a - b, "Case 1 of 2 .small numbers.*expected 3.*\n.*\nHint: add them"),
        (lambda a, b: -(a + b), "the sign is the wrong way round"),
        (lambda a, b: None, "is there a `return`"),
        (lambda a, b: "three", "no number"),
        (lambda a, b: np.zeros(3), "returned 3 numbers, expected one number"),
        (lambda a, b: a + b if np.ndim(a) == 0 else a, "Case 2 of 2 .arrays."),
        (lambda a, b: len(a), "stopped with TypeError.*\n.*\nHint: add them"),
        (3.0, "pass its name without brackets"),
    ],
)
def test_a_wrong_function_is_told_what_is_wrong(function, message):
    with pytest.raises(ExerciseError, match=message):
        check(function, CASES)


def test_the_notebook_shows_the_message_without_the_stack():
    with pytest.raises(ExerciseError) as caught:
        check(lambda a, b: 0.0, CASES)
    lines = caught.value._render_traceback_()
    assert lines[0] == "Not yet."
    assert not any("Traceback" in line for line in lines)


def test_a_dictionary_is_shown_whole_with_short_numbers():
    case = Case(({"a": 1 / 3, "b": 2.0, "long name": 1e-9 + 0.1, "another long name": 0.25},), 1.0, "think")
    with pytest.raises(ExerciseError, match="'another long name': 0.25") as caught:
        check(lambda v: 0.0, [case])
    assert "'a': 0.333333" in str(caught.value)


def test_texts_are_compared_as_texts():
    assert difference("synergy", "synergy", 1e-9) == ""
    assert "expected 'synergy'" in difference("redundancy", "synergy", 1e-9)
    assert difference(("a", "b"), ["a", "b"], 1e-9) == ""


def test_a_crash_names_the_line_of_the_learner():
    def broken(a, b):
        total = a + b
        return total.missing

    with pytest.raises(ExerciseError, match=r"stopped at its line 3, `return total.missing`, with AttributeError"):
        check(broken, CASES)
    with pytest.raises(ExerciseError, match=r"Your function stopped with TypeError"):
        check(max, [Case((1.0, "b"), 3.0, "add them")])


def test_a_crash_below_the_function_names_its_call():
    def broken(a, b):
        return np.linalg.inv(np.zeros((2, 3)))

    with pytest.raises(ExerciseError, match=r"at its line 2, `return np.linalg.inv"):
        check(broken, CASES)


def test_long_arrays_are_shown_by_their_beginning_and_games_by_their_players():
    with pytest.raises(ExerciseError) as caught:
        check(lambda v: 0.0, [Case((np.full((50, 2, 10), 0.25),), 1.0, "think")])
    assert "array of shape (50, 2, 10) that begins with 0.25, 0.25, 0.25" in str(caught.value)
    assert len(str(caught.value)) < 200
    with pytest.raises(ExerciseError, match="a game of the players cell 0, word 0"):
        check(lambda game: 0.0, [Case((and_gate(),), 1.0, "think")])


def test_a_sign_that_was_right_before_is_not_called_wrong():
    with pytest.raises(ExerciseError) as caught:
        check(lambda x: 1.0, [Case((1,), 1.0, "think"), Case((2,), -1.0, "think again")])
    assert "sign" not in str(caught.value)


def test_a_wrong_number_of_parameters_is_said_and_nothing_else():
    with pytest.raises(ExerciseError, match=r"takes 1 parameter, \(a\); it is called with 2: \(1, 2\)") as caught:
        check(lambda a: a, [Case((1, 2), 3, "Think of the gate.")])
    assert "begins with `def`" in str(caught.value)
    assert "gate" not in str(caught.value)
