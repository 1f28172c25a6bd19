"""``explain --per``: an answer of many words, part by part, on one page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import typer

from toolkit.cli.outputs import on_one_line
from toolkit.datasets.sample import Sample
from toolkit.explainers.base import ExplainerLike
from toolkit.reporting.answer_page import answer_page, how_it_was_made
from toolkit.reporting.explained_answer import explain_answer, summary
from toolkit.vlm.answer_parts import check_per
from toolkit.vlm.model import LoadedVLM


def explain_parts(
    out: Path,
    vlm: LoadedVLM,
    sample: Sample,
    explainer: ExplainerLike,
    *,
    per: str,
    given: str | None,
    max_tokens: int,
    baseline: str,
    steps: int,
    seed: int,
    notes: Sequence[str] = (),
) -> None:
    """Have the model write, or take what it is to say, explain every part and write the page."""
    sample = vlm.asked(sample)
    own = None if given is not None else vlm.answer(sample, max_tokens=max_tokens)
    parts = explain_answer(
        explainer, vlm, sample, given if own is None else own.text, per=check_per(per), baseline=baseline, steps=steps,
        seed=seed,
    )  # fmt: skip
    answer_page(out, sample, vlm, parts, answer=own, notes=notes)
    whole, *rest = parts
    typer.echo(f"{vlm.name}: {on_one_line(whole.part.text)} ({how_it_was_made(own, whole.part.tokens[1])}); {out}")
    for one in rest:
        typer.echo(f"{on_one_line(one.part.text)}: {summary(one)}")
