"""Maps of many explainers on the same samples: a row per sample, a column per explainer, words coloured below.

The ground truth, where there is one, is drawn on every map: a black frame around the evidence cells and a line under
the evidence words. The maps are laid over the very picture whose cells the model sees, so a misplaced map shows.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.patches import Rectangle

from toolkit.audit.explainers.plausibility import chance, pointing
from toolkit.datasets.sample import Sample
from toolkit.explainers.base import EXPLAINERS, explain
from toolkit.explainers.oracle import evidence, has_evidence
from toolkit.games.attribution import Attribution
from toolkit.reporting.page import frame_table, page
from toolkit.reporting.plots.drawing import Drawing, image_html
from toolkit.reporting.plots.maps import centred, ink_on, overlay
from toolkit.reporting.plots.style import DIVERGING, FAINT, INK, new_figure, styled
from toolkit.stats.rank_agreement import mean_and_error
from toolkit.typing import Scores
from toolkit.vlm.protocol import VLM

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TURNS = ("scenes-existence", "scenes-choice", "scenes-mixed", "scenes-everyday")
"""The datasets that take turns where nobody names samples."""

_GAP, _LINE, _LETTERS = 0.12, 0.125, 27
"""Between cells, and per line of words, in widths of a map; letters that fit on a line."""


@dataclass(frozen=True)
class MapRow:
    """One sample with its maps.

    Attributes:
        sample: Picture, question and truth.
        answer: The model's answer, which every map explains.
        regions: Shape (n_image, 4): where the image players lie.
        spans: Character span of each text player.
        truth: Evidence of each player, in [0, 1]; None where the sample has no truth.
        maps: Attribution by explainer, in the order asked for.
        failures: Why an explainer gave none.
    """

    sample: Sample
    answer: str
    regions: Scores = field(repr=False)
    spans: tuple[tuple[int, int], ...] = field(repr=False)
    truth: Scores | None = field(repr=False)
    maps: dict[str, Attribution] = field(repr=False)
    failures: dict[str, str]


def map_row(vlm: VLM, sample: Sample, explainers: Sequence[str], *, seed: int = 0) -> MapRow:
    """Run every explainer on one sample; one that fails leaves its reason instead of a map."""
    answer = vlm.answer(sample).text
    maps: dict[str, Attribution] = {}
    failures: dict[str, str] = {}
    for explainer in explainers:
        try:
            maps[explainer] = explain(explainer, vlm, sample, target=answer, seed=seed)
        except (ValueError, RuntimeError, MemoryError) as error:
            failures[explainer] = f"{type(error).__name__}: {error}"
    truth = evidence(vlm, sample) if has_evidence(sample) else None
    return MapRow(sample, answer, vlm.regions(sample), vlm.text_spans(sample), truth, maps, failures)


def localised_samples(n: int = 12, *, seed: int = 0) -> list[Sample]:
    """Generated samples whose evidence is some of the cells and some of the words, the datasets taking turns."""
    from toolkit.scenes import load

    per_set = -(-n // len(TURNS))
    drawn = [load(name, "test", 6 * per_set, seed=seed) for name in TURNS]
    columns = [[sample for sample in samples if _points_somewhere(sample)][:per_set] for samples in drawn]
    return [sample for turn in zip(*columns, strict=True) for sample in turn][:n]


def _points_somewhere(sample: Sample) -> bool:
    truth = sample.truth
    if truth is None or not (truth.is_control and truth.evidence_boxes):
        return False
    area = sum((x1 - x0) * (y1 - y0) for x0, y0, x1, y1 in truth.evidence_boxes)
    return area < 0.4 and 0 < len(truth.evidence_words) < len(sample.question.split())


def _explainers_of(rows: Sequence[MapRow]) -> list[str]:
    return list(dict.fromkeys(explainer for row in rows for explainer in (*row.maps, *row.failures)))


def hits(rows: Sequence[MapRow]) -> pd.DataFrame:
    """Pointing game on the shown maps: share of maps whose highest cell (word) is evidence.

    Returns:
        One row each: ``explainer, image, image chance, text, text chance, n_samples``; NaN where no sample has a
        truth that points somewhere.
    """
    found = []
    for explainer in _explainers_of(rows):
        shown = [(row.maps[explainer], row.truth) for row in rows if explainer in row.maps and row.truth is not None]
        line: dict[str, float | int | str] = {"explainer": explainer}
        for modality in ("image", "text"):
            pairs = [(a.of(modality), t[a.players.of(modality)]) for a, t in shown]
            line[modality] = mean_and_error([pointing(*pair) for pair in pairs])[0]
            line[f"{modality} chance"] = mean_and_error([chance(t) for _, t in pairs])[0]
        found.append(line | {"n_samples": len(shown)})
    columns = ["explainer", "image", "image chance", "text", "text chance", "n_samples"]
    return pd.DataFrame(found, columns=columns)


def word_lines(question: str, spans: Sequence[tuple[int, int]], letters: int = _LETTERS) -> list[list[int]]:
    """Text players by line, so that no line is longer than so many letters; a longer word has its own line."""
    lines: list[list[int]] = [[]]
    used = 0
    for index, (start, stop) in enumerate(spans):
        width = stop - start + 1
        if lines[-1] and used + width > letters + 1:
            lines.append([])
            used = 0
        lines[-1].append(index)
        used += width
    return lines


def map_grid(rows: Sequence[MapRow], *, title: str = "", width: float = 1.15) -> Drawing:
    """All maps as one picture.

    Args:
        rows: One per sample, all with the same explainers.
        title: Named at the top and in the alternative text, for example the model.
        width: Inches of one map.

    Raises:
        ValueError: There are no rows.
    """
    if not rows:
        raise ValueError("no samples to draw maps of")
    explainers = _explainers_of(rows)
    depths = [1 + _LINE * (1 + len(word_lines(row.sample.question, row.spans))) + _GAP for row in rows]
    columns = 1 + len(explainers)
    with styled():
        figure = new_figure(width * (columns * (1 + _GAP) + _GAP), width * (sum(depths) + 0.5))
        axes = figure.add_subplot()
        axes.set_xlim(-_GAP, columns * (1 + _GAP))
        axes.set_ylim(sum(depths), -0.45)
        axes.set_aspect("equal")
        axes.axis("off")
        for column, name in enumerate(["picture", *explainers]):
            axes.text(column * (1 + _GAP), -0.06, name, fontsize=5.4 * width, fontweight="bold", va="bottom")
        axes.text(-_GAP, -0.28, title, fontsize=7.5 * width, fontweight="bold", va="bottom")
        for row, top in zip(rows, np.cumsum([0.0, *depths[:-1]]).tolist(), strict=True):
            _draw_row(axes, row, explainers, top, width)
    return Drawing(figure, _alt_text(rows, title))


def _draw_row(axes: Axes, row: MapRow, explainers: Sequence[str], top: float, width: float) -> None:
    image = np.asarray(row.sample.sheet.convert("RGB").resize((192, 192)))
    _place(axes, image, 0.0, top)
    _frames(axes, row, 0.0, top, FAINT)
    _words(axes, row, None, 0.0, top, width)
    right = "" if row.sample.answer is None else f" ({'right' if row.answer == row.sample.answer else 'wrong'})"
    line = top + 1 + _LINE * (0.9 + len(word_lines(row.sample.question, row.spans)))
    axes.text(0.0, line, f"says {row.answer}{right}", fontsize=4.6 * width, va="bottom")
    for column, explainer in enumerate(explainers, start=1):
        left = column * (1 + _GAP)
        if explainer in row.failures:
            axes.text(left + 0.05, top + 0.5, row.failures[explainer][:24], fontsize=4 * width, color=FAINT)
            continue
        attribution = row.maps[explainer]
        _place(axes, np.asarray(overlay(row.sample.sheet, attribution.of("image"), row.regions)), left, top)
        _frames(axes, row, left, top, INK)
        _words(axes, row, attribution.of("text"), left, top, width)


def _place(axes: Axes, image: Any, left: float, top: float) -> None:
    axes.imshow(image, extent=(left, left + 1, top + 1, top), interpolation="nearest", aspect="auto", zorder=1)
    axes.set_aspect("equal")


def _frames(axes: Axes, row: MapRow, left: float, top: float, colour: str) -> None:
    """The evidence boxes as they were generated, in fractions of the picture."""
    for x0, y0, x1, y1 in row.sample.truth.evidence_boxes if row.sample.truth else ():
        frame = (left + x0, top + y0)
        axes.add_patch(Rectangle(frame, x1 - x0, y1 - y0, fill=False, edgecolor=colour, linewidth=0.7, zorder=2))


def _words(axes: Axes, row: MapRow, scores: Scores | None, left: float, top: float, width: float) -> None:
    """Question tokens on their colours; evidence words are underlined."""
    values = np.zeros(len(row.spans)) if scores is None else centred(scores)
    truth = np.zeros(len(values)) if row.truth is None else row.truth[len(row.regions) :]
    letter = 1 / _LETTERS
    for number, line in enumerate(word_lines(row.sample.question, row.spans)):
        x, y = left, top + 1 + _LINE * (number + 0.25)
        for index in line:
            start, stop = row.spans[index]
            word = row.sample.question[start:stop]
            long = letter * len(word)
            ink = INK
            if scores is not None:
                colour = DIVERGING((values[index] + 1) / 2)
                ink = ink_on(colour)
                axes.add_patch(Rectangle((x, y), long, 0.82 * _LINE, color=colour, linewidth=0, zorder=1))
            font = {"fontsize": 4.3 * width, "family": "DejaVu Sans Mono", "color": ink}
            axes.text(x, y + 0.62 * _LINE, word, zorder=3, **font)  # type: ignore[arg-type]
            if truth[index] > 0:
                axes.plot([x, x + long], [y + 0.86 * _LINE] * 2, color=INK, linewidth=0.6, zorder=3)
            x += long + letter


def _alt_text(rows: Sequence[MapRow], title: str) -> str:
    found = hits(rows).dropna(subset=["image"]).to_dict("records")
    said = [f"{one['explainer']} {one['image']:.0%} of pictures, {one['text']:.0%} of questions" for one in found]
    failed = sorted({explainer for row in rows for explainer in row.failures})
    told = f"Maps of {len(rows)} samples by every explainer{': ' + title if title else ''}. "
    if said:
        told += "The highest score lies on the evidence: " + "; ".join(said) + ". "
    return told + (f"Without a map somewhere: {', '.join(failed)}." if failed else "")


_HITS = (
    "Share of the samples where the highest score of the image, or of the words, lies on the evidence; chance is the "
    "share of cells, or of words, that are evidence."
)


def maps_page(
    out: Path,
    models: Mapping[str, VLM],
    samples: Sequence[Sample],
    *,
    explainers: Sequence[str] | None = None,
    seed: int = 0,
    progress: Callable[[str], None] = lambda message: None,
) -> Path:
    """Write ``maps.html`` and one PNG per model, all on the same samples.

    Args:
        out: Folder; made if it does not exist.
        models: By name.
        samples: What all models are asked.
        explainers: Registry names; None takes all.
        seed: Seed of explainers that draw random numbers.
        progress: Called with a message per model.

    Returns:
        The page's path.

    Raises:
        UnknownNameError: No explainer has one of the names.
        ValueError: There are no samples.
    """
    for explainer in explainers or ():
        EXPLAINERS.check(explainer)
    explainers = list(EXPLAINERS) if explainers is None else list(explainers)
    out.mkdir(parents=True, exist_ok=True)
    parts = [
        "<p>Orange speaks for the answer, purple against it; each map is "
        "divided by its own largest score. Frames and underlined words are the evidence by construction. A map shows "
        "what the model used, so it may lie off the evidence where the model did too.</p>"
    ]
    for name, vlm in models.items():
        progress(name)
        rows = [map_row(vlm, sample, explainers, seed=seed) for sample in samples]
        drawing = map_grid(rows, title=name)
        file = drawing.save(out / f"maps-{name.replace('/', '--')}.png").name
        table = frame_table(hits(rows).rename(columns={"n_samples": "samples"}), digits=2, caption=_HITS)
        shown = f"{len(explainers)} explainers side by side; scroll to those that do not fit"
        figure = image_html(drawing.png(96), "image/png", drawing.alt, caption=shown)
        larger = f'<p><a href="{html.escape(file)}">The figure alone, larger</a></p>'
        parts.append(f"<h2>{html.escape(name)}</h2>{figure}{larger}<h3>Highest score on the evidence</h3>{table}")
    path = out / "maps.html"
    path.write_text(page("Every explainer on the same samples", body="\n".join(parts), kind="large"), encoding="utf-8")
    return path
