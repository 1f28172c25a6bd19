"""Explained answers as a self-contained page: verdict, maps and words side by side, numbers beside random's, curves."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw

from toolkit.datasets.sample import Sample
from toolkit.games.attribution import Attribution
from toolkit.games.target import unit_of
from toolkit.reporting.numbers import format_number
from toolkit.reporting.page import details, page, table
from toolkit.reporting.plots.curves import curves
from toolkit.reporting.plots.drawing import image_html
from toolkit.reporting.plots.maps import NOISE, overlay, png_bytes, ranked_players, tokens_html
from toolkit.stats.verdict import judge_explanation, listed
from toolkit.synergy.f_syn import SynergyScore
from toolkit.synergy.srg import InsertionDeletion
from toolkit.typing import Modality, Regions, Scores
from toolkit.vlm.partition import Partition
from toolkit.vlm.protocol import VLM, Answer

SIDE = 384
MAX_LINED = 256
"""With more cells than this the lines between them would hide the map."""

VALUES = {"probability": "probability of the answer", "nats": "value of the target, nats"}


@dataclass(frozen=True)
class Explained:
    """One explanation of an answer, with what it scores.

    Attributes:
        attribution: The explanation.
        synergy: Its signed synergistic faithfulness.
        image: Insertion and deletion of image cells.
        text: Insertion and deletion of question tokens.
        verdict: Whether it holds, in words.
    """

    attribution: Attribution
    synergy: SynergyScore
    image: InsertionDeletion
    text: InsertionDeletion
    verdict: str = ""

    def judged(self, random: Sequence[Explained]) -> Explained:
        """The same with its verdict among random orderings."""
        name, values = self.attribution.explainer, [draw.synergy.value for draw in random]
        return replace(self, verdict=judge_explanation(name, self.synergy.value, values, self.synergy.total)[1])

    @property
    def values(self) -> tuple[float, float, float]:
        """Signed F_syn, then insertion minus deletion of image cells and of words."""
        return self.synergy.value, self.image.srg.value, self.text.srg.value

    @property
    def largest(self) -> float:
        """The largest size of a score, over cells and words."""
        return float(np.abs(self.attribution.scores).max(initial=0.0))


@dataclass(frozen=True)
class Asked:
    """One model on one sample.

    Attributes:
        vlm: The model.
        sample: Picture and question as this model was asked.
        answer: What it answered.
        explained: Explanations of that answer.
        random: Random orderings of the same players, scored alike: the control.
        notes: What a reader must know first, a sentence each without a full stop.
    """

    vlm: VLM
    sample: Sample
    answer: Answer
    explained: tuple[Explained, ...]
    random: tuple[Explained, ...]
    notes: tuple[str, ...] = ()


def explain_page(path: Path, asked: Sequence[Asked]) -> Path:
    """Write the page; it needs no other file and no network.

    Args:
        path: Where to write; the suffix is .html.
        asked: One model, or several on the same picture and question.

    Raises:
        OSError: The file cannot be written.
    """
    first = asked[0]
    scales: dict[str, float] = {}
    for one in (one for each in asked for one in (*each.explained, each.random[0])):
        name = one.attribution.explainer
        scales[name] = max(scales.get(name, 0.0), one.largest)
    parts = []
    for each in asked:
        title = f"<h2>{html.escape(each.vlm.name)}</h2>" if len(asked) > 1 else "<h2>What each explainer shows</h2>"
        drawn = [_explainer(each, one, scales) for one in (*each.explained, each.random[0])]
        parts += [title, f'<div class="shown">{_picture(each)}{"".join(drawn)}</div>', _numbers(each)]
        parts += [_more(one, opened=one is each.explained[0] and len(asked) == 1) for one in each.explained]
    title = f"{first.sample.question} - {', '.join(each.answer.text for each in asked)}"
    lead = "".join(_headline(each) for each in asked) + _verdict(asked)
    heading = first.sample.question
    path.write_text(page(title, lead, heading=heading, body="\n".join(parts), kind="explain"), encoding="utf-8")
    return path


def _verdict(asked: Sequence[Asked]) -> str:
    """Does the explanation hold? One sentence per model and explainer."""
    answers = {each.answer.text for each in asked}
    said = []
    if len(asked) > 1:
        same = f"Both answer {listed(answers)}." if len(answers) == 1 else "The two models answer differently."
        said.append(f"<p>{html.escape(same)}</p>")
    for each in asked:
        of = f"<b>{html.escape(each.vlm.name)}:</b> " if len(asked) > 1 else ""
        verdicts = dict.fromkeys(one.verdict for one in each.explained)
        said += [f"<p>{of}{html.escape(verdict)}</p>" for verdict in verdicts]
    return f'<div class="verdict"><p class="note">Does the explanation hold?</p>{"".join(said)}</div>'


def _headline(each: Asked) -> str:
    answer, sample, name = each.answer, each.sample, html.escape(each.vlm.name)
    others = ", ".join(
        f"{html.escape(text)} {format_number(p)}" for text, p in answer.by_choice.items() if text != answer.text
    )
    given = f" The right answer is <b>{html.escape(sample.answer)}</b>." if sample.answer is not None else ""
    told = f" Told: &ldquo;{html.escape(sample.instruction)}&rdquo;." if sample.instruction else ""
    notes = "".join(f'<p class="note">Note: {html.escape(note)}.</p>' for note in each.notes)
    target = each.explained[0].attribution.target
    explained = f'<p class="answer">Explained is {html.escape(target)}.</p>' if target != answer.text else ""
    return (
        f'<p class="answer">{name} answers <b>{html.escape(answer.text)}</b> with probability '
        f"{format_number(answer.probability)}{f' ({others})' if others else ''}.{given}{told}</p>{explained}{notes}"
    )


def fitted(image: Image.Image, side: int = SIDE) -> Image.Image:
    """Small enough for a page; a strip keeps at least one pixel in its short direction."""
    scale = side / max(image.size)
    size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
    return image.resize(size, Image.Resampling.LANCZOS)


def seen_share(regions: Regions) -> float:
    """Share of the picture that lies in any cell, in [0, 1]; below 1 where a model crops."""
    widths, heights = regions[:, 2] - regions[:, 0], regions[:, 3] - regions[:, 1]
    return float((widths * heights).sum())


def reading_notes(answer: Answer, regions: Regions) -> list[str]:
    """What a reader must know before trusting the page, one sentence each without a full stop; usually nothing."""
    notes = []
    share, total = seen_share(regions), sum(answer.by_choice.values())
    if share < 0.99:
        notes.append(f"the model sees only the middle {100 * share:.0f} % of this picture, the rest is cropped away")
    if answer.by_choice and total < 0.5:
        notes.append(
            f"the allowed answers together have a probability of {format_number(total)}; left alone, the model would "
            "say something else, so it may not know this kind of question"
        )
    return notes


def cells_map(image: Image.Image, scores: Scores, regions: Regions, *, largest: float | None = None) -> Image.Image:
    """The map over a picture in its own shape: cells outlined, and a frame where the model sees only a part.

    Args:
        image: The picture; its size is the map's.
        scores: Shape (n_image,).
        regions: Shape (n_image, 4), fractions of the picture.
        largest: The size of the strongest colour; None takes the largest of these scores.
    """
    square = overlay(image, scores, regions, side=max(image.size), largest=largest)
    painted = square.resize(image.size, Image.Resampling.BOX).convert("RGBA")
    lines = Image.new("RGBA", image.size)
    pen = ImageDraw.Draw(lines)
    edges = np.rint(regions * [*image.size, *image.size]).astype(int) - [0, 0, 1, 1]
    if len(regions) <= MAX_LINED:
        for x0, y0, x1, y1 in edges.tolist():
            pen.rectangle((x0, y0, max(x0, x1), max(y0, y1)), outline=(60, 66, 80, 40))
    if seen_share(regions) < 0.99:
        (x0, y0), (x1, y1) = edges[:, :2].min(axis=0).tolist(), edges[:, 2:].max(axis=0).tolist()
        pen.rectangle((x0 - 2, y0 - 2, x1 + 2, y1 + 2), outline=(31, 36, 48, 255), width=2)
    return Image.alpha_composite(painted, lines).convert("RGB")


def _picture(each: Asked) -> str:
    regions, partition = each.vlm.regions(each.sample), _partition(each)
    rows, columns = (len(np.unique(regions[:, side].round(9))) for side in (1, 0))
    is_boxes = partition is None or not partition.name.startswith("segments")
    kinds = f"{rows} x {columns} cells" if is_boxes else f"{len(regions)} segments"
    caption = f"picture, {kinds}" + (", framed" if seen_share(regions) < 0.99 else "")
    alt = f"The picture: {each.sample.question}"
    return f"<div>{image_html(png_bytes(fitted(each.sample.image)), 'image/png', alt, caption=caption)}</div>"


def _partition(each: Asked) -> Partition | None:
    return each.vlm.partition(each.sample) if hasattr(each.vlm, "partition") else None


def _explainer(each: Asked, one: Explained, scales: Mapping[str, float]) -> str:
    """The map and the words of one explainer, on its one scale."""
    sample, attribution = each.sample, one.attribution
    name, scores = attribution.explainer, attribution.of("image")
    regions, partition, largest = each.vlm.regions(sample), _partition(each), scales[attribution.explainer]
    is_boxes = partition is None or not partition.name.startswith("segments")
    painted = (scores, regions) if partition is None or is_boxes else partition.painted(scores)
    drawn = cells_map(fitted(sample.image), *painted, largest=largest)
    best = ", ".join(f"{label} {value:+.3g}" for label, value in ranked_players(_labels(attribution, "image"), scores))
    control = one is each.random[0] and all(
        one.attribution.explainer != e.attribution.explainer for e in each.explained
    )
    caption = f"{name}{', the control' if control else ''}: F_syn {format_number(one.synergy.value, sign=True)}"
    words = tokens_html(sample.question, each.vlm.text_spans(sample), attribution.of("text"), largest=largest)
    nothing = '<p class="note">All scores are rounding noise; nothing is drawn.</p>' if largest < NOISE else ""
    alt = f"Attribution of the image cells by {name}; largest: {best}"
    shown = image_html(png_bytes(drawn), "image/png", alt, caption=caption)
    return f'<div>{shown}<p class="question">{words}</p>{nothing}</div>'


def _labels(attribution: Attribution, modality: Modality) -> list[str]:
    mask = attribution.players.of(modality)
    return [label for label, own in zip(attribution.players.labels, mask, strict=True) if own]


def _numbers(each: Asked) -> str:
    """Every explainer's scores beside those of random orderings."""
    names = ("F_syn, signed", "image: insertion - deletion", "words: insertion - deletion")
    rows = [
        [html.escape(one.attribution.explainer), *(format_number(value, sign=True) for value in one.values)]
        for one in each.explained
    ]
    means = np.mean([draw.values for draw in each.random], axis=0).tolist()
    rows.append([f"random, mean of {len(each.random)}", *(format_number(mean, sign=True) for mean in means)])
    total = format_number(each.explained[0].synergy.total, sign=True)
    note = (
        f"Total interaction of image and words: {total}, the same for every explainer. Orange speaks for the answer, "
        "purple against it; cells and words of one explainer share a scale, also between models."
    )
    shown = table(["explainer", *names], rows, numeric=(1, 2, 3), classes={len(rows) - 1: "control"})
    return shown + f'<p class="note">{note}</p>'


def _more(one: Explained, *, opened: bool) -> str:
    """Ranked players and curves of one explainer, folded unless it is the only thing to see."""
    attribution = one.attribution
    cost = f"{attribution.n_evaluations} forward and {attribution.n_gradients} backward passes"
    body = f'<div class="row">{_ranked(attribution, "image")}{_ranked(attribution, "text")}</div>{_curves(one)}'
    return details(f"{html.escape(attribution.explainer)}: ranked players and curves ({cost})", body, open_=opened)


def _ranked(attribution: Attribution, modality: Modality) -> str:
    """The strongest players of a modality; what is rounding noise beside the strongest of all is left out."""
    least = max(NOISE, 1e-3 * float(np.abs(attribution.scores).max(initial=0.0)))
    found = ranked_players(_labels(attribution, modality), attribution.of(modality), n=8)
    rows = [[html.escape(name), format_number(value, 4, sign=True)] for name, value in found if abs(value) >= least]
    if not rows:
        return f"<p>No {'image cell' if modality == 'image' else 'word'} has a score beyond rounding noise.</p>"
    return table(["Image cells" if modality == "image" else "Words", "attribution"], rows, numeric=(1,))


def _curves(one: Explained) -> str:
    probabilities = np.concatenate([[*part.insertion, *part.deletion] for part in (one.image, one.text)])
    drawn = [
        curves(part.fractions, {"insertion": part.insertion, "deletion": part.deletion}, title=title,
               limits=_limits(probabilities), ylabel=VALUES[unit_of(one.attribution.target)])
        for part, title in ((one.image, "image cells"), (one.text, "words"))
    ]  # fmt: skip
    sides = {
        "insertion side": one.synergy.insertion, "deletion side": one.synergy.deletion,
        "signed F_syn": one.synergy.curve,
    }  # fmt: skip
    together = np.concatenate(list(sides.values()))
    drawn.append(curves(one.synergy.fractions, sides, ylabel="interaction", title="picture and words together",
                        limits=_limits(together)))  # fmt: skip
    return f'<div class="row">{"".join(figure.html() for figure in drawn)}</div>'


def _limits(values: ArrayLike) -> tuple[float, float]:
    """Ends of an axis that never magnify: at least a tenth from end to end."""
    low, high = float(np.min(values)), float(np.max(values))
    room = max(0.05 * (high - low), (0.1 - (high - low)) / 2)
    return low - room, high + room
