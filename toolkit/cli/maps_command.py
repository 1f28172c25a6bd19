"""``maps``: every explainer on the same samples, for each model, as one page to look at."""

from __future__ import annotations

from pathlib import Path

import typer

from toolkit.cli.model_options import ModelOptions, with_model_options
from toolkit.cli.names import names_of
from toolkit.cli.outputs import check_folder


@with_model_options
def maps(
    out: Path = typer.Option(Path("results/maps"), help="Folder of the page; made if it does not exist."),
    models: str | None = typer.Option(
        None, help="Models, separated by commas; default: the embedded grounded ones that are installed."
    ),
    explainers: str | None = typer.Option(None, help="Explainers, separated by commas; default: all."),
    samples: int = typer.Option(12, min=1, help="Samples, the same for all models."),
    seed: int = typer.Option(0, min=0, help="Seed of the samples and of explainers that draw random numbers."),
    *,
    options: ModelOptions,
) -> None:
    """Draw the maps of every explainer on the same generated samples, with the evidence framed."""
    check_folder(out)
    from toolkit.audit.explainers.map_grid import localised_samples, maps_page
    from toolkit.audit.validation import embedded_models
    from toolkit.explainers import EXPLAINERS

    chosen = None if explainers is None else names_of("--explainers", explainers)
    for name in chosen or ():
        EXPLAINERS.check(name)
    grounded = [name for name in embedded_models() if name.endswith("-grounded")]
    asked = grounded if models is None else names_of("--models", models)
    if not asked:
        raise ValueError("no embedded grounded model is installed; name one: --models tiny-llava-grounded")
    found = dict(zip(asked, options.load(*asked), strict=True))
    page = maps_page(
        out, found, options.instructed(localised_samples(samples, seed=seed)), explainers=chosen, seed=seed,
        progress=lambda message: typer.echo(message, err=True),
    )  # fmt: skip
    typer.echo(str(page))
