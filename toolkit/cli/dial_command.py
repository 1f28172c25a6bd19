"""``dial``: what changes when a model's language prior grows."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from toolkit.cli.outputs import check_folder
from toolkit.cli.table import show

if TYPE_CHECKING:
    import pandas as pd


def dial(
    out: Path = typer.Option(Path("results/dial"), help="Folder of the figures; made if it does not exist."),
    grounded: str = typer.Option("tiny-llava-grounded", help="A model that looks."),
    biased: str = typer.Option("tiny-llava-biased", help="Its twin that answers from the words."),
    samples: int = typer.Option(12, min=3, help="Samples with localised evidence, and as many of everyday objects."),
    train_steps: int = typer.Option(
        0, min=0, help="Train each model in between for so many steps, half a second each; 0 mixes the twins instead."
    ),
    seed: int = typer.Option(0, min=0, help="Seed of the samples and of everything random."),
) -> None:
    """Measure redundancy, rankings and scores of models between a grounded twin and its biased one."""
    check_folder(out)
    import toolkit
    from toolkit.audit.bias.bias_sweep import bias_sweep
    from toolkit.audit.bias.twins_mixed import STRENGTHS, check_twins, mixed_twins
    from toolkit.audit.bias.twins_trained import between
    from toolkit.audit.metrics.study import StudySize, eligible, shared_samples
    from toolkit.scenes.training.recipes import RECIPES

    if train_steps:
        RECIPES.check(grounded)
    first, second = toolkit.load_vlm(grounded), toolkit.load_vlm(biased)
    check_twins(first, second)
    if train_steps:
        models = between(grounded, second, STRENGTHS, out / "models", steps=train_steps, report=_every(50))
        source = (
            f"The models in between are {grounded}, trained on for {train_steps} steps in a world of that prior "
            f"strength; the ends are {grounded} and {biased}."
        )
    else:
        models = mixed_twins(first, second, STRENGTHS)
        source = (
            f"The models in between are mixtures: with probability s the answer comes from {biased}, else from "
            f"{grounded}; both ends are the trained models."
        )
    asked = eligible(first, shared_samples(StudySize(controls=samples, ranking=1), seed=seed), samples)
    found = bias_sweep(
        models,
        asked,
        everyday=toolkit.load_samples("scenes-everyday", n=samples, seed=seed),
        source=source,
        seed=seed,
        progress=lambda message: typer.echo(message, err=True),
    )
    page = found.write(out, grounded.removesuffix("-grounded").replace("/", "--"))
    wide = found.wide()
    show(("prior strength", *(f"{s:g}" for s in wide.columns)), [_line(name, row) for name, row in wide.iterrows()])
    typer.echo(str(page))


def _line(name: object, row: pd.Series[float]) -> tuple[str, ...]:
    return str(name), *(f"{value:+.3f}" for value in row)


def _every(n: int) -> Callable[[str, int, int], None]:
    def report(name: str, done: int, total: int) -> None:
        if done % n == 0 or done == total:
            typer.echo(f"{name}: {done} of {total} steps", err=True)

    return report
