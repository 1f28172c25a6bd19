"""An answer of many words as a self-contained page: press a word, and image and question light up."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from toolkit.datasets.sample import Sample
from toolkit.datasets.sheet import boxes_on_sheet
from toolkit.reporting.explain_page import reading_notes
from toolkit.reporting.explained_answer import ExplainedPart, clickable, parts_table
from toolkit.reporting.numbers import format_number
from toolkit.reporting.page import page, text
from toolkit.reporting.plots.origins import origins
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.protocol import Answer

FEW = 4
"""The largest shares that the figure's caption names."""


def how_it_was_made(answer: Answer | None, n_tokens: int) -> str:
    """Whether the model wrote the answer, how, how long it is, and whether it was cut; plain text."""
    if answer is None:
        return f"given to the model and forced token by token ({n_tokens} tokens); the model did not write it"
    if answer.decoding == "choice":
        return f"the most probable of the allowed answers ({n_tokens} tokens)"
    end = "cut there, before the model ended it" if answer.is_cut else "ended by the model"
    return f"written by the model, greedily, {n_tokens} tokens, {end}"


def answer_page(
    path: Path,
    sample: Sample,
    vlm: LoadedVLM,
    found: Sequence[ExplainedPart],
    *,
    answer: Answer | None,
    notes: Sequence[str] = (),
) -> Path:
    """Write the page; it needs no other file, no script and no network.

    Args:
        path: Where to write; the suffix is .html.
        sample: The image and question, with the instruction with which the model was asked.
        vlm: The model.
        found: The parts, the whole answer first, as ``explain_answer`` gives them.
        answer: What the model said, or None where the answer was given to it.
        notes: What a reader must know of the model, plain text.

    Raises:
        OSError: The file cannot be written.
    """
    whole, *words = found
    n_tokens = whole.part.tokens[1]
    told = f" Told: &ldquo;{text(sample.instruction)}&rdquo;." if sample.instruction else ""
    notes = [
        *notes,
        *(() if answer is None else reading_notes(answer, vlm.regions(sample), boxes=boxes_on_sheet(sample.images))),
    ]
    lead = (
        f'<p class="answer">{text(vlm.name)}: <b>{text(whole.part.text)}</b></p>'
        f'<p class="note">The answer is {how_it_was_made(answer, n_tokens)}. Mean log-probability per token '
        f"{format_number(whole.value)} nats.{told} Explained by {text(whole.attribution.explainer)}; orange speaks for "
        "the word, purple against it.</p>" + "".join(f'<p class="note">Note: {text(one)}.</p>' for one in notes)
    )
    body = [
        "<h2>Press a word</h2><p>Each word is explained by a game of its own: the probability of the word behind the "
        "words before it, which are forced. Move with the arrow keys.</p>",
        clickable(found, sample, vlm),
    ]
    if words:
        drawn = origins([one.origin for one in words if one.origin is not None])
        body += [
            "<h2>Which words came from the image?</h2>"
            "<p>The bar is what the image adds to a word's probability: its Shapley value among the question's words, "
            "with a 95 % interval over random orders. A word that is probable and whose bar is near 0 was said without "
            "the image, which is what a hallucinated word looks like; so do words that grammar demands.</p>",
            drawn.html(),
        ]
    body += ["<h2>All numbers</h2>", parts_table(found)]
    title = f"{sample.question} - {whole.part.text}"
    path.write_text(page(title, lead, heading=sample.question, body="\n".join(body), kind="explain"), encoding="utf-8")
    return path
