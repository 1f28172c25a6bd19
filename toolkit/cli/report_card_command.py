"""``report-card``: one page about one explainer, beside others."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import typer

from toolkit.cli.model_options import ModelOptions, with_model_options
from toolkit.cli.outputs import check_page


@with_model_options
def report_card(
    explainer: str = typer.Argument(help="my_module:my_explainer, importable from here, or a registered name."),
    out: Path = typer.Option(Path("report-card.html"), help="The page to write."),
    grounded: str = typer.Option("tiny-llava-grounded", help="A model that looks."),
    biased: str = typer.Option("tiny-llava-biased", help="Its twin that answers from the words; '' for none."),
    dataset: list[str] = typer.Option(["scenes-existence", "scenes-choice"], help="Datasets with ground truth."),
    samples: int = typer.Option(6, min=1, help="Samples per dataset."),
    beside: list[str] = typer.Option([], help="Explainers to compare with; default: controls and three classics."),
    seed: int = typer.Option(0, min=0, help="Seed of everything random."),
    *,
    options: ModelOptions,
) -> None:
    """Judge an explainer beside others, in one page.

    Validity, faithfulness, plausibility and cost; exit with 1 where a check fails.
    """
    check_page(out)
    import toolkit
    from toolkit.audit.explainers.report_card import BESIDE
    from toolkit.audit.explainers.report_card import report_card as judge
    from toolkit.explainers.plugin import load_explainer

    sys.path.insert(0, os.getcwd())
    try:
        found = load_explainer(explainer)
    except (ValueError, LookupError):
        raise
    except Exception as error:  # whatever a module of somebody else does when it is imported
        raise ValueError(f"cannot use {explainer!r}: {type(error).__name__}: {error}") from error
    models = dict(zip(("grounded", "biased"), options.load(*filter(None, (grounded, biased))), strict=False))
    chosen = [sample for name in dataset for sample in toolkit.load_samples(name, split="test", n=samples)]
    card = judge(found, models, options.instructed(chosen), beside=beside or BESIDE, seed=seed)
    card.write(out)
    typer.echo(card.to_text())
    typer.echo(f"\n{out}")
    if not card.passed:
        raise typer.Exit(1)
