"""An answer of many words, explained word by word: the numbers, and the parts of a page or a widget that show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from toolkit.datasets.image_file import png_bytes
from toolkit.datasets.sample import Sample
from toolkit.datasets.sheet import boxes_on_sheet
from toolkit.explainers.base import ExplainerLike, explain
from toolkit.games.attribution import Attribution
from toolkit.games.target import unit_of
from toolkit.redundancy.word_origins import WordOrigin, word_origins
from toolkit.reporting.cells_map import canvas, cells_map
from toolkit.reporting.numbers import format_number
from toolkit.reporting.page import table, text
from toolkit.reporting.plots.drawing import image_html
from toolkit.reporting.plots.maps import ranked_players, tokens_html
from toolkit.synergy.evaluate import evaluate_all
from toolkit.synergy.score import Score
from toolkit.vlm.answer_parts import AnswerPart, Per
from toolkit.vlm.model import LoadedVLM

METRICS = ("f-syn", "f-syn-paper", "srg-image", "srg-text", "total-interaction")
SIDE = 300


@dataclass(frozen=True)
class ExplainedPart:
    """One part of an answer with all that is known of it.

    Attributes:
        part: The part.
        value: v(all): a probability, or nats of a sentence.
        attribution: The explanation.
        scores: Metrics of the explanation, by name.
        origin: Where a word or token comes from; None of a sentence.
    """

    part: AnswerPart
    value: float
    attribution: Attribution
    scores: dict[str, Score]
    origin: WordOrigin | None


def explain_answer(
    explainer: ExplainerLike,
    vlm: LoadedVLM,
    sample: Sample,
    answer: str | None = None,
    *,
    per: Per = "word",
    baseline: str = "blur",
    steps: int = 10,
    seed: int = 0,
) -> tuple[ExplainedPart, ...]:
    """Explain the whole answer, and each of its words or tokens: one game each, all from the same rows.

    Args:
        explainer: A registry name, an explainer object or a function.
        vlm: The model.
        sample: The image and question.
        answer: The answer that is forced; None takes the model's own.
        per: ``"word"`` or ``"token"``; ``"sentence"`` explains the whole alone.
        baseline: What a removed image cell looks like.
        steps: Steps K of the metrics.
        seed: Seed of everything random.

    Raises:
        TargetError: An answer that cannot be split, or that the explainer cannot explain as a whole.

    Example:
        >>> import toolkit
        >>> from toolkit.reporting.explained_answer import explain_answer
        >>> vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
        >>> sample = toolkit.load_samples("scenes-existence", n=1)[0]
        >>> [str(one.part.target) for one in explain_answer("random", vlm, sample, "yes")]
        ['mean of log-probabilities of "yes"', 'word 1 of "yes"']
    """
    whole = vlm.answer_parts(sample, answer, per="sentence")
    origins = () if per == "sentence" else word_origins(vlm, sample, answer, per=per, baseline=baseline, seed=seed)
    found = []
    for part, origin in [(whole[0], None), *((origin.part, origin) for origin in origins)]:
        game = vlm.game(sample, target=part.target, baseline=baseline)
        attribution = explain(explainer, vlm, sample, target=part.target, baseline=baseline, seed=seed)
        (scores,) = evaluate_all(game, [attribution], steps, metrics=METRICS)
        value = float(game(np.ones((1, game.players.n), dtype=np.bool_))[0])
        found.append(ExplainedPart(part, value, attribution, scores, origin))
    return tuple(found)


def lit(one: ExplainedPart, sample: Sample, vlm: LoadedVLM, *, side: int = SIDE) -> tuple[bytes, str, str]:
    """What lights up for one part: the map as PNG, what it shows in words, and the coloured question as HTML."""
    scores = one.attribution.of("image")
    painted, places = vlm.partition(sample).painted(scores)
    drawn = cells_map(canvas(sample, side), painted, places, boxes=boxes_on_sheet(sample.images))
    labels = [name for name, own in zip(one.attribution.players.labels, one.attribution.players.of("image"),
                                        strict=True) if own]  # fmt: skip
    best = ", ".join(f"{name} {value:+.3g}" for name, value in ranked_players(labels, scores, n=3))
    question = tokens_html(sample.question, vlm.text_spans(sample), one.attribution.of("text"))
    few = drawn.quantize(128)  # there is one map per word
    return png_bytes(few), f"Attribution of the image cells for {one.part.text!r}; largest: {best}", question


def summary(one: ExplainedPart) -> str:
    """One part in a sentence, plain text."""
    kind = "P" if unit_of(one.part.target) == "probability" else "mean log P per token"
    said = [f"{kind} = {format_number(one.value)}", f"F_syn {_number(one.scores['f-syn'])}"]
    if one.origin is not None:
        low, high = (format_number(end, sign=True) for end in (one.origin.low, one.origin.high))
        said.append(f"from the image {format_number(one.origin.image, sign=True)} ({low} to {high})")
        said.append(f"from the question {format_number(one.origin.question, sign=True)}")
        said.append(f"without both {format_number(one.origin.prior)}")
    return "; ".join(said)


def clickable(found: Sequence[ExplainedPart], sample: Sample, vlm: LoadedVLM) -> str:
    """The answer as buttons, one of which is pressed, by mouse or arrow keys: its map and question stand below.

    Plain HTML and CSS: radio buttons without a script. Printed, all parts stand below each other.
    """
    pieces = []
    for number, one in enumerate(found):
        data, alt, question = lit(one, sample, vlm)
        checked = " checked" if number == min(1, len(found) - 1) else ""
        name = "the whole answer" if one.origin is None else one.part.text
        pieces.append(
            f'<input type="radio" name="part" id="part{number}"{checked}>'
            f'<label for="part{number}"{"" if one.origin else " class=whole"}>{text(name)}</label>'
            f'<div class="panel"><p><b>{text(name)}</b>: {text(summary(one))}</p><div class="row">'
            f'{image_html(data, "image/png", alt)}<p class="question">{question}</p></div></div>'
        )
    return f'<div class="say" role="radiogroup" aria-label="Parts of the answer">{"".join(pieces)}</div>'


def parts_table(found: Sequence[ExplainedPart]) -> str:
    """All parts and their numbers; what is not scored has its reason below."""
    head = ("part", "value", "from the image", "95 %", "from the question", "without both", *METRICS)
    rows, reasons = [], set()
    for one in found:
        origin = one.origin
        split = ("–",) * 4 if origin is None else (
            format_number(origin.image, sign=True),
            f"{format_number(origin.low, sign=True)} to {format_number(origin.high, sign=True)}",
            format_number(origin.question, sign=True), format_number(origin.prior),
        )  # fmt: skip
        name = "the whole answer, mean log-probability" if origin is None else one.part.text
        rows.append([text(name), format_number(one.value), *split, *(_number(one.scores[m]) for m in METRICS)])
        reasons |= {score.reason for score in one.scores.values() if score.reason}
    below = "".join(f'<p class="note">–: {text(reason)}.</p>' for reason in sorted(reasons))
    return table(head, rows, numeric=range(1, len(head))) + below


def _number(score: Score) -> str:
    return "–" if score.reason else format_number(score.value, sign=True)
