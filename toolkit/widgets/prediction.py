"""Predict first: a question that a number answers; the truth and its explanation come after the guess."""

from __future__ import annotations

import html
import math
from collections.abc import Callable

import ipywidgets as w

from toolkit.widgets.base_widget import BaseWidget, button, column, on_click, row, status_html


def parse_guess(text: str) -> float:
    """A number as learners write it: ``0.7``, ``.7``, ``0,7``, ``70 %``, ``70%``.

    Raises:
        ValueError: It is none.

    Example:
        >>> from toolkit.widgets.prediction import parse_guess
        >>> parse_guess("70 %"), parse_guess("0,7")
        (0.7, 0.7)
    """
    written = text.strip().replace(",", ".")
    try:
        number = float(written.removesuffix("%")) / (100 if written.endswith("%") else 1)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise ValueError(f"expected a number such as 0.7 or 70 %, got {text!r}")
    return number


def distance(guess: float, truth: float) -> str:
    """How far off a guess is, in words.

    Example:
        >>> from toolkit.widgets.prediction import distance
        >>> distance(0.5, 0.75)
        'You said 0.5; it is 0.75. Your guess was 0.25 too low.'
    """
    off = abs(round(guess, 2) - round(truth, 2))
    verdict = f"{off:.2g} too {'low' if guess < truth else 'high'}" if off >= 0.005 else "right to two digits"
    return f"You said {guess:.3g}; it is {round(truth, 2):g}. Your guess was {verdict}."


class Prediction(BaseWidget):
    """Asks for a number, then says how far off it was and uncovers the explanation.

    Args:
        question: One number answers it.
        truth: That number, in the unit that the question names.
        explain: What to say once there is a guess.
        on_guess: Told of every guess; what it returns is shown as well.

    Raises:
        ValueError: The truth is no finite number.

    Example:
        >>> from toolkit.widgets import Prediction
        >>> asked = Prediction("Which share of tosses shows heads?", 0.5, "A coin has no memory.")
        >>> asked.guess.value = "0.7"
        >>> asked.submit.click()
        >>> "0.2 too high" in asked.reply.value, "no memory" in asked.reply.value
        (True, True)
    """

    def __init__(
        self, question: str, truth: float, explain: str, *, on_guess: Callable[[float], str] | None = None
    ) -> None:
        if not math.isfinite(truth):
            raise ValueError(f"the truth must be a finite number, got {truth}")
        self.question, self.truth, self.explain = question, float(truth), explain
        self.on_guess = on_guess
        self.guess = w.Text(
            description="My prediction",
            placeholder="0.5 or 50 %",
            style={"description_width": "initial"},
            layout={"width": "220px", "max_width": "100%"},
        )
        self.submit = button("Show what it is")
        self.reply = w.HTML()
        on_click(self.submit, self._show, self.reply, named=False)
        asked = w.HTML(f'<div style="line-height:1.4"><b>Predict.</b> {html.escape(question)}</div>')
        self.box = column(asked, row(self.guess, self.submit), self.reply)

    def _show(self) -> None:
        guess = parse_guess(self.guess.value)
        kept = self.on_guess(guess) if self.on_guess else ""
        said = f"<b>{html.escape(distance(guess, self.truth))}</b> {html.escape(self.explain + kept)}"
        self.reply.value = status_html(said)

    def static(self) -> str:
        """The question; number and explanation are folded."""
        return (
            f"<p><b>Predict.</b> {html.escape(self.question)}</p><details><summary>What it is</summary>"
            f"<p>{round(self.truth, 2):g}. {html.escape(self.explain)}</p></details>"
        )
