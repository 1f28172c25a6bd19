"""Quizzes that explain every wrong answer, readable without a front end."""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import ipywidgets as w

from toolkit.course.my_answers import keep
from toolkit.widgets.base_widget import BaseWidget, column, on_change, status_html

STYLE = """<style>
.toolkit-quiz .widget-radio-box label { display: flex; flex-direction: row-reverse; justify-content: flex-end;
  align-items: flex-start; gap: 4px; height: auto; line-height: 1.4; white-space: normal; }
.toolkit-quiz .widget-radio-box input { flex: 0 0 auto; margin-top: 2px; }
</style>"""
"""Lets long answers wrap; ipywidgets gives them one line each and lets them overlap where the window is narrow."""


@dataclass(frozen=True)
class Option:
    """One answer.

    Attributes:
        text: The answer.
        why: Why it is right, or what the reader who chose it has mixed up.
        right: Whether it is the right one.
    """

    text: str
    why: str
    right: bool = False


@dataclass(frozen=True)
class Question:
    """A question with one right answer.

    Raises:
        ValueError: Not exactly one option is right, two options read the same, or one has no explanation.
    """

    text: str
    options: tuple[Option, ...]

    def __post_init__(self) -> None:
        if sum(option.right for option in self.options) != 1:
            raise ValueError(f"the question {self.text!r} needs exactly one right option")
        if len({option.text for option in self.options}) < len(self.options):
            raise ValueError(f"the question {self.text!r} has the same option twice")
        if not all(option.why.strip() for option in self.options):
            raise ValueError(f"every option of {self.text!r} needs an explanation")


def feedback(question: Question, answer: str | None) -> str:
    """What to say to an answer, as HTML; "" while nothing is chosen."""
    for option in question.options:
        if option.text == answer:
            colour, verdict = ("#009E73", "Right.") if option.right else ("#B34700", "Not quite.")
            return (
                f'<div style="border-left:4px solid {colour};padding:2px 10px"><b>{verdict}</b> '
                f"{html.escape(option.why)}</div>"
            )
    return ""


def correct(questions: Sequence[Question], answers: Sequence[str | None]) -> int:
    """How many answers are right."""
    right = [next(option.text for option in question.options if option.right) for question in questions]
    return sum(answer == text for answer, text in zip(answers, right, strict=True))


class Quiz(BaseWidget):
    """Questions with answers to choose from; each choice is answered at once.

    Args:
        questions: At least one.
    """

    def __init__(self, questions: Sequence[Question]) -> None:
        if not questions:
            raise ValueError("a quiz needs at least one question")
        self.questions = list(questions)
        self.answers, self.replies, parts = [], [], []
        for number, question in enumerate(self.questions, 1):
            asked = w.HTML(f'<div style="line-height:1.4"><b>{number}. {html.escape(question.text)}</b></div>')
            answer = w.RadioButtons(
                options=[option.text for option in question.options],
                value=None,
                description=f"Answer {number}",
                style={"description_width": "initial"},
                layout={"width": "max-content", "max_width": "100%"},
            )
            answer.add_class("toolkit-quiz")
            reply = w.HTML()
            on_change(answer, partial(self._reply, number - 1))
            self.answers.append(answer)
            self.replies.append(reply)
            parts.append(column(asked, answer, reply))
        self.score = w.HTML(self._score())
        self.box = w.VBox([w.HTML(STYLE, layout={"height": "0", "margin": "0"}), *parts, self.score])

    def _reply(self, index: int) -> None:
        question, chosen = self.questions[index], self.answers[index].value
        kept = keep("quiz", question.text, {"answer": chosen})
        self.replies[index].value = status_html(feedback(question, chosen) + html.escape(kept))
        self.score.value = self._score()

    def _score(self) -> str:
        answers = [answer.value for answer in self.answers]
        given = sum(answer is not None for answer in answers)
        return f"<p>{correct(self.questions, answers)} of {len(answers)} right, {given} answered.</p>"

    def static(self) -> str:
        """All questions, options and explanations; the explanations are folded."""
        parts = []
        for number, question in enumerate(self.questions, 1):
            options = "".join(f"<li>{html.escape(option.text)}</li>" for option in question.options)
            notes = "".join(
                f"<li>{'<b>Right:</b> ' if o.right else ''}{html.escape(o.text)}: {html.escape(o.why)}</li>"
                for o in question.options
            )
            parts.append(
                f"<p><b>{number}. {html.escape(question.text)}</b></p><ol type='a'>{options}</ol>"
                f"<details><summary>Answers to question {number}</summary><ol type='a'>{notes}</ol></details>"
            )
        return "".join(parts)
