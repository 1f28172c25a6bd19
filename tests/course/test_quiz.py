import pytest

from toolkit.course import Option, Question, Quiz

RIGHT, WRONG = Option("blue", "It is.", right=True), Option("red", "That is the other one.")
QUESTION = Question("Which?", (WRONG, RIGHT))


def test_each_answer_is_explained_and_counted():
    quiz = Quiz([QUESTION, QUESTION])
    assert "0 of 2 right, 0 answered" in quiz.score.value
    quiz.answers[0].value = "red"
    assert "Not quite" in quiz.replies[0].value
    assert "That is the other one." in quiz.replies[0].value
    quiz.answers[0].value = "blue"
    assert "Right." in quiz.replies[0].value
    assert "1 of 2 right, 1 answered" in quiz.score.value
    assert quiz.replies[1].value == ""


def test_the_static_form_holds_every_option_and_explanation():
    page = Quiz([QUESTION]).static()
    assert all(text in page for text in ("Which?", "blue", "red", "It is.", "That is the other one.", "<details>"))


@pytest.mark.parametrize(
    "options",
    [(WRONG, WRONG), (RIGHT, Option("green", "Also?", right=True)), (RIGHT, RIGHT), (RIGHT, Option("red", " "))],
)
def test_a_malformed_question_is_refused(options):
    with pytest.raises(ValueError, match="Which"):
        Question("Which?", options)


def test_an_empty_quiz_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        Quiz([])
