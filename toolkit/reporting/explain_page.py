"""One explained answer as a self-contained page: picture, map, words, ranked players, curves and numbers."""

from __future__ import annotations

import html
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw

from toolkit.datasets.sample import Sample
from toolkit.games.attribution import Attribution
from toolkit.reporting.numbers import format_number
from toolkit.reporting.page import page
from toolkit.reporting.plots.curves import curves
from toolkit.reporting.plots.drawing import image_html
from toolkit.reporting.plots.maps import overlay, png_bytes, ranked_players, tokens_html
from toolkit.synergy.f_syn import SynergyScore
from toolkit.synergy.srg import InsertionDeletion
from toolkit.typing import Regions, Scores
from toolkit.vlm.partition import Partition
from toolkit.vlm.protocol import VLM, Answer

SIDE = 384
MAX_LINED = 256
"""With more cells than this the lines between them would hide the map."""


def explain_page(
    path: Path,
    sample: Sample,
    vlm: VLM,
    *,
    answer: Answer,
    attribution: Attribution,
    synergy: SynergyScore,
    image: InsertionDeletion,
    text: InsertionDeletion,
) -> Path:
    """Write the page; it needs no other file and no network.

    Args:
        path: Where to write; the suffix is .html.
        sample: The picture and question, with the instruction with which the model was asked.
        vlm: The model that answered.
        answer: Its answer.
        attribution: The explanation of that answer.
        synergy: Signed synergistic faithfulness of the explanation.
        image: Insertion and deletion of image cells.
        text: Insertion and deletion of question tokens.

    Raises:
        OSError: The file cannot be written.
    """
    title = f"{sample.question} - {answer.text}"
    parts = [
        _headline(sample, vlm, answer, attribution),
        *(f'<p class="note">Note: {html.escape(note)}.</p>' for note in reading_notes(answer, vlm.regions(sample))),
        _pictures(sample, vlm, attribution),
        _words(sample, vlm, attribution),
        _tables(attribution),
        _numbers(synergy, image, text),
        _curves(synergy, image, text),
    ]
    lead, *body = parts
    path.write_text(page(title, lead, heading=sample.question, body="\n".join(body), kind="explain"), encoding="utf-8")
    return path


def _headline(sample: Sample, vlm: VLM, answer: Answer, attribution: Attribution) -> str:
    others = ", ".join(
        f"{html.escape(name)} {format_number(p)}" for name, p in answer.by_choice.items() if name != answer.text
    )
    given = f" The right answer is <b>{html.escape(sample.answer)}</b>." if sample.answer is not None else ""
    told = f" Told: &ldquo;{html.escape(sample.instruction)}&rdquo;." if sample.instruction else ""
    return (
        f'<p class="answer">{html.escape(vlm.name)} answers <b>{html.escape(answer.text)}</b> with probability '
        f"{format_number(answer.probability)}{f' ({others})' if others else ''}.{given}{told}</p>"
        f'<p class="note">Explained by {html.escape(attribution.explainer)}, for the answer '
        f"&ldquo;{html.escape(attribution.target)}&rdquo;, with {attribution.n_evaluations} forward and "
        f"{attribution.n_gradients} backward passes. Orange speaks for the answer, purple against it.</p>"
    )


def _fitted(image: Image.Image) -> Image.Image:
    """Small enough for a page; a strip keeps at least one pixel in its short direction."""
    scale = SIDE / max(image.size)
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


def cells_map(image: Image.Image, scores: Scores, regions: Regions) -> Image.Image:
    """The map over a picture in its own shape: cells outlined, and a frame where the model sees only a part.

    Args:
        image: The picture; its size is the map's.
        scores: Shape (n_image,).
        regions: Shape (n_image, 4), fractions of the picture.
    """
    square = overlay(image, scores, regions, side=max(image.size))
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


def _pictures(sample: Sample, vlm: VLM, attribution: Attribution) -> str:
    image, regions = _fitted(sample.image), vlm.regions(sample)
    scores = attribution.of("image")
    partition: Partition | None = vlm.partition(sample) if hasattr(vlm, "partition") else None
    is_boxes = partition is None or not partition.name.startswith("segments")
    drawn = cells_map(image, *((scores, regions) if partition is None or is_boxes else partition.painted(scores)))
    labels = [label for label, kind in zip(attribution.players.labels, attribution.players.modality, strict=True)
              if kind == "image"]  # fmt: skip
    best = ", ".join(f"{label} {value:+.3g}" for label, value in ranked_players(labels, scores, n=3))
    rows, columns = (len(np.unique(regions[:, side].round(9))) for side in (1, 0))
    kinds = f"{rows} x {columns} cells" if is_boxes else f"{len(regions)} segments"
    caption = f"its {kinds}" + (", framed" if seen_share(regions) < 0.99 else "")
    return (
        '<div class="row seen">'
        + image_html(png_bytes(image), "image/png", f"The picture: {sample.question}", caption="picture")
        + image_html(png_bytes(drawn), "image/png", f"Attribution of the image cells; largest: {best}", caption=caption)
        + "</div>"
    )


def _words(sample: Sample, vlm: VLM, attribution: Attribution) -> str:
    coloured = tokens_html(sample.question, vlm.text_spans(sample), attribution.of("text"))
    return f'<h2>The words</h2><p class="question">{coloured}</p>'


def _tables(attribution: Attribution) -> str:
    tables = []
    for modality, caption in (("image", "Image cells"), ("text", "Words")):
        mask = attribution.players.of("image" if modality == "image" else "text")
        labels = [label for label, own in zip(attribution.players.labels, mask, strict=True) if own]
        rows = "".join(
            f'<tr><td>{html.escape(label)}</td><td class="n">{format_number(value, 4, sign=True)}</td></tr>'
            for label, value in ranked_players(labels, attribution.scores[mask], n=8)
        )
        tables.append(
            f'<table><caption>{caption}, largest first</caption><tr><th scope="col">player</th>'
            f'<th scope="col" class="n">attribution</th></tr>{rows}</table>'
        )
    return f'<h2>Ranked</h2><div class="row">{"".join(tables)}</div>'


def _numbers(synergy: SynergyScore, image: InsertionDeletion, text: InsertionDeletion) -> str:
    rows = [
        ("synergistic faithfulness, signed", synergy.value, "above 0: picture and words work together"),
        ("total interaction of the sample", synergy.total, "the same for every explainer"),
        ("image: insertion minus deletion", image.srg.value, "larger: the cells found first matter more"),
        ("words: insertion minus deletion", text.srg.value, "larger: the words found first matter more"),
    ]
    cells = "".join(
        f'<tr><td>{name}</td><td class="n">{format_number(value, sign=True)}</td><td>{note}</td></tr>'
        for name, value, note in rows
    )
    return f"<h2>Does the explanation hold?</h2><table>{cells}</table>"


def _curves(synergy: SynergyScore, image: InsertionDeletion, text: InsertionDeletion) -> str:
    drawn = [
        curves(part.fractions, {"insertion": part.insertion, "deletion": part.deletion}, title=title)
        for part, title in ((image, "image cells"), (text, "words"))
    ]
    sides = {"insertion side": synergy.insertion, "deletion side": synergy.deletion, "signed F_syn": synergy.curve}
    drawn.append(curves(synergy.fractions, sides, ylabel="interaction", title="picture and words together"))
    return f'<h2>Curves</h2><div class="row">{"".join(figure.html() for figure in drawn)}</div>'
