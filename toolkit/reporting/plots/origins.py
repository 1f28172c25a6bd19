"""A bar per word of an answer: how much of its probability came from the image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from toolkit.redundancy.word_origins import WordOrigin
from toolkit.reporting.numbers import format_number
from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.style import DIVERGING, FAINT, INK, one_chart


def origins(found: Sequence[WordOrigin]) -> Drawing:
    """Bars from zero with the interval of the image's share, and a mark at the probability without image and question.

    Raises:
        ValueError: No words.
    """
    if not found:
        raise ValueError("there are no words to draw; ask word_origins for those of an answer")
    words = [word.part.text for word in found]
    shares = np.array([word.image for word in found])
    places = np.arange(len(found))
    with one_chart(6.4, 1.1 + 0.27 * len(found)) as (figure, axes):
        colours = [DIVERGING(0.95 if share > 0 else 0.05) for share in shares]
        axes.barh(places, shares, height=0.6, color=colours)
        for word, place in zip(found, places, strict=True):
            axes.plot([word.low, word.high], [place, place], color=INK, linewidth=1.6)
        axes.plot([word.prior for word in found], places, "D", color="none", markeredgecolor=FAINT, markersize=5,
                  label="without image and question")  # fmt: skip
        axes.plot([word.probability for word in found], places, "o", color=FAINT, markersize=5, label="with both")
        axes.axvline(0, color=FAINT, linewidth=0.8)
        axes.set_yticks(places, words)
        axes.set_ylim(len(found) - 0.4, -0.6)
        axes.set_xlabel("probability: bars are what the image adds (95 % interval)")
        axes.grid(visible=False, axis="y")
        figure.legend(loc="outside lower center", ncols=2)
    said = "; ".join(
        f"{word.part.text} {format_number(word.image, sign=True)} ({format_number(word.low)} to "
        f"{format_number(word.high)}) of {format_number(word.probability)}"
        for word in found
    )
    return Drawing(figure, f"What the image adds to the probability of each word, with 95 % intervals: {said}.")
