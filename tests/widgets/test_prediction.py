import pytest

from toolkit.widgets import Prediction
from toolkit.widgets.prediction import distance, parse_guess


def ask(**options):
    return Prediction("How much?", 0.75, "Because <b>.", **options)


@pytest.mark.parametrize("text", ["0.7", " .7", "0,7", "70%", "70 %"])
def test_a_number_is_read_as_learners_write_it(text):
    assert parse_guess(text) == pytest.approx(0.7)


@pytest.mark.parametrize("text", ["", "much", "nan", "inf", "1.2.3"])
def test_what_is_no_number_is_refused_and_uncovers_nothing(text):
    asked = ask()
    asked.guess.value = text
    asked.submit.click()
    assert "expected a number such as 0.7 or 70 %" in asked.reply.value
    assert "0.75" not in asked.reply.value


@pytest.mark.parametrize(("guess", "words"), [(0.5, "0.25 too low"), (1.0, "0.25 too high"), (0.7512, "right to two")])
def test_the_distance_is_said_with_its_side(guess, words):
    assert words in distance(guess, 0.75)


def test_the_explanation_comes_after_the_guess_and_is_escaped():
    told = []
    asked = ask(on_guess=lambda guess: told.append(guess) or " Kept.")
    assert asked.reply.value == ""
    asked.guess.value = "0.5"
    asked.submit.click()
    assert told == [0.5]
    assert "0.25 too low" in asked.reply.value
    assert "Because &lt;b&gt;. Kept." in asked.reply.value


def test_the_static_form_folds_the_truth():
    question, folded = ask().static().split("<details>")
    assert "How much?" in question
    assert "0.75" not in question
    assert "0.75. Because" in folded


def test_a_truth_that_is_no_number_is_refused():
    with pytest.raises(ValueError, match="finite"):
        Prediction("How much?", float("nan"), "")
