"""Explained answers as a self-contained page: verdict, maps and words side by side, numbers beside random's, curves."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from toolkit.datasets.image_file import png_bytes
from toolkit.datasets.sample import Sample
from toolkit.datasets.sheet import boxes_on_sheet
from toolkit.games.attribution import Attribution, InteractionAttribution
from toolkit.games.target import unit_of
from toolkit.reporting.cells_map import ONE_IMAGE, canvas, cells_map, seen_share
from toolkit.reporting.numbers import format_number
from toolkit.reporting.page import details, page, table
from toolkit.reporting.pair_map import pair_map_html, pair_maps
from toolkit.reporting.plots.curves import curves
from toolkit.reporting.plots.drawing import image_html
from toolkit.reporting.plots.maps import NOISE, ranked_players, tokens_html
from toolkit.stats.verdict import judge_explanation, listed
from toolkit.synergy.f_syn import SynergyScore
from toolkit.synergy.srg import InsertionDeletion
from toolkit.typing import Modality, Regions
from toolkit.vlm.partition import Partition
from toolkit.vlm.protocol import VLM, Answer

N_RANKED = 8
"""Players of each kind in a table."""

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
        moved: How much the map moves under changes that should not matter: ``change, rho, top``.
    """

    attribution: Attribution
    synergy: SynergyScore
    image: InsertionDeletion
    text: InsertionDeletion
    verdict: str = ""
    moved: pd.DataFrame | None = None

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
        noun = "segments" if _segments(each) else "cells"
        parts += [_pairs(each, one.attribution) for one in each.explained]
        parts += [_not_converged(one.attribution) for one in each.explained]
        parts += [_more(one, noun, opened=one is each.explained[0] and len(asked) == 1) for one in each.explained]
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
    told = f" Told: &ldquo;{html.escape(sample.instruction.rstrip('.'))}&rdquo;." if sample.instruction else ""
    notes = "".join(f'<p class="note">Note: {html.escape(note)}.</p>' for note in each.notes)
    target = each.explained[0].attribution.target
    explained = f'<p class="answer">Explained is {html.escape(target)}.</p>' if target != answer.text else ""
    return (
        f'<p class="answer">{name} answers <b>{html.escape(answer.text)}</b> with probability '
        f"{format_number(answer.probability)}{f' ({others})' if others else ''}.{given}{told}</p>{explained}{notes}"
    )


def reading_notes(
    answer: Answer, regions: Regions, partition: Partition | None = None, *, boxes: Regions = ONE_IMAGE
) -> list[str]:
    """What a reader must know before trusting the page, one sentence each without a full stop; usually nothing."""
    notes = []
    share, total = seen_share(regions, boxes), sum(answer.by_choice.values())
    if share < 0.99:
        which = "this picture" if len(boxes) == 1 else "these pictures"
        notes.append(f"the model sees only the middle {100 * share:.0f} % of {which}, the rest is cropped away")
    if answer.by_choice and total < 0.5:
        notes.append(
            f"the allowed answers together have a probability of {format_number(total)}; left alone, the model would "
            "say something else, so it may not know this kind of question"
        )
    asked = None if partition is None else partition.n_segments_asked
    if partition is not None and asked is not None and partition.players.n_image < asked:
        notes.append(
            f"{asked} segments were asked for and {partition.players.n_image} found; what is smaller than an image "
            "token is no segment of its own"
        )
    return notes


def _picture(each: Asked) -> str:
    regions = each.vlm.regions(each.sample)
    rows, columns = (len(np.unique(regions[:, side].round(9))) for side in (1, 0))
    kinds = f"{len(regions)} segments" if _segments(each) else f"{rows} x {columns} cells"
    n, boxes = len(each.sample.images), boxes_on_sheet(each.sample.images)
    which = "picture"
    if n > 1:
        which, kinds = f"pictures 1 to {n}", kinds if _segments(each) else f"{len(regions)} cells together"
    if seen_share(regions, boxes) < 0.99:
        kinds += "; the frame shows what the model sees"
    alt = f"The {which}: {each.sample.question}"
    return f"<div>{image_html(png_bytes(canvas(each.sample)), 'image/png', alt, caption=f'{which}, {kinds}')}</div>"


def partition_of(vlm: VLM, sample: Sample) -> Partition | None:
    """How the sample's tokens are grouped into players; None where the model is not one of ours."""
    return vlm.partition(sample) if hasattr(vlm, "partition") else None


def _segments(each: Asked) -> Partition | None:
    """The players where they are segments, else None."""
    found = partition_of(each.vlm, each.sample)
    return None if found is None or found.n_segments_asked is None else found


def _explainer(each: Asked, one: Explained, scales: Mapping[str, float]) -> str:
    """The map and the words of one explainer, on its one scale."""
    sample, attribution = each.sample, one.attribution
    name, scores = attribution.explainer, attribution.of("image")
    image, segments, largest = canvas(sample), _segments(each), scales[attribution.explainer]
    labels, boxes = _labels(attribution, "image"), boxes_on_sheet(sample.images)
    if segments is None:
        drawn = cells_map(image, scores, each.vlm.regions(sample), largest=largest, boxes=boxes)
    else:
        owners = segments.player_of[: len(segments.token_regions)]
        named = [labels.index(label) for label, _ in ranked_players(labels, scores, n=N_RANKED)]
        drawn = cells_map(image, *segments.painted(scores), largest=largest, owners=owners, named=named, boxes=boxes)
    best = ", ".join(f"{label} {value:+.3g}" for label, value in ranked_players(labels, scores))
    is_control = one is each.random[0] and name not in {shown.attribution.explainer for shown in each.explained}
    control = f", the control, 1 of {len(each.random)}" if is_control else ""
    caption = f"{name}{control}: F_syn {format_number(one.synergy.value, sign=True)}"
    words = tokens_html(sample.question, each.vlm.text_spans(sample), attribution.of("text"), largest=largest)
    nothing = '<p class="note">All scores are rounding noise; nothing is drawn.</p>' if largest < NOISE else ""
    alt = f"Attribution of the image by {name}; largest: {best}"
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
        f"Total interaction, what image and words do together: {total}, the same for every explainer. F_syn is its "
        "mean over a growing share k of each, best first: the sooner the right parts meet, the nearer to the total. "
        "Insertion - deletion: mean value as the best parts come, minus that as they go. Orange and a solid line speak "
        "for the answer, purple and a dotted line against it; the colours of one explainer share a scale."
    )
    shown = table(["explainer", *names], rows, numeric=(1, 2, 3), classes={len(rows) - 1: "control"})
    return shown + f'<p class="note">{note}</p>'


def _more(one: Explained, noun: str, *, opened: bool) -> str:
    """Ranked players and curves of one explainer, folded unless it is the only thing to see."""
    attribution = one.attribution
    cost = f"{attribution.n_evaluations} forward and {attribution.n_gradients} backward passes"
    tables = _ranked(attribution, "image", noun) + _ranked(attribution, "text", "words")
    body = f'<div class="row">{tables}</div>{_curves(one, noun)}'
    body += _uncertainty(one.moved)
    return details(f"{html.escape(attribution.explainer)}: ranks and curves ({cost})", body, open_=opened)


def _pairs(each: Asked, found: Attribution) -> str:
    """What cells and words do together, where the explainer says so and its players are cells."""
    if not isinstance(found, InteractionAttribution) or _segments(each):
        return ""
    sample, regions, spans = each.sample, each.vlm.regions(each.sample), each.vlm.text_spans(each.sample)
    where = (canvas(sample), found, regions, sample.question, spans)
    note = (
        "Point at a word, or reach it with the Tab key, to see its cells, and at a cell to see its words. Orange: both "
        "together speak for the answer more than each alone; purple: less."
    )
    return (
        f"<h3>Which cells work together with which words? ({html.escape(found.explainer)})</h3><p>{note}</p>"
        f"{pair_map_html(*where)}{details('All words side by side', pair_maps(*where).html())}"
    )


def _not_converged(attribution: Attribution) -> str:
    """What a map of an integral that did not converge is worth."""
    if attribution.details.get("converged", 1):
        return ""
    name, steps = html.escape(attribution.explainer), attribution.details.get("steps")
    gap = format_number(attribution.convergence_delta or 0.0)
    return (
        f'<p class="note">Note: {name} has not converged after {steps} steps: the scores should add up to the change '
        f"of probability, and miss it by {gap}. The map is no integral of its path yet.</p>"
    )


_CHANGED = {
    "seed": "another seed", "baseline": "another baseline", "shift": "the image moved by 2 % of its width",
    "paraphrase": "the question worded otherwise",
}  # fmt: skip


def _uncertainty(found: pd.DataFrame | None) -> str:
    """The map beside those of the same answer after changes that should not matter."""
    if found is None:
        return (
            '<p class="note">How sure is this map? <code>--uncertainty</code> explains the answer again after '
            "changes that should not matter.</p>"
        )
    rows = "".join(
        f'<tr><td>{_CHANGED[str(row["change"])]}</td><td class="n">{format_number(row["rho"], sign=True)}</td>'
        f"<td>{'yes' if row['top'] else 'no'}</td></tr>"
        for row in found.to_dict("records")
    )
    return (
        "<h3>How sure is this map?</h3><p>The same answer explained again after changes that should not matter. A rank "
        "correlation of 1 is the same order of cells, 0 another map altogether. A steady map need not be faithful.</p>"
        '<table><tr><th scope="col">change</th><th scope="col" class="n">rank correlation of cells</th>'
        f'<th scope="col">same highest cell</th></tr>{rows}</table>'
    )


def _ranked(attribution: Attribution, modality: Modality, noun: str) -> str:
    """The strongest players of a modality; what is rounding noise beside the strongest of all is left out."""
    least = max(NOISE, 1e-3 * float(np.abs(attribution.scores).max(initial=0.0)))
    found = ranked_players(_labels(attribution, modality), attribution.of(modality), n=N_RANKED)
    rows = [[html.escape(name), format_number(value, 4, sign=True)] for name, value in found if abs(value) >= least]
    if not rows:
        return f"<p>None of the {noun} has a score beyond rounding noise.</p>"
    return table([noun.capitalize(), "attribution"], rows, numeric=(1,))


def _curves(one: Explained, noun: str) -> str:
    probabilities = np.concatenate([[*part.insertion, *part.deletion] for part in (one.image, one.text)])
    drawn = [
        curves(part.fractions, {"insertion": part.insertion, "deletion": part.deletion}, title=title,
               limits=_limits(probabilities), ylabel=VALUES[unit_of(one.attribution.target)])
        for part, title in ((one.image, noun), (one.text, "words"))
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
