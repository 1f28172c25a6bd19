"""``sanity``: do the explainers' maps depend on the model, its answers and the question?"""

from __future__ import annotations

from pathlib import Path

import typer

from toolkit.cli.model_options import ModelOptions, with_model_options
from toolkit.cli.names import names_of
from toolkit.cli.outputs import check_folder


@with_model_options
def sanity(
    out: Path = typer.Option(Path("results/sanity"), help="Folder of the page; made if it does not exist."),
    model: str = typer.Option("tiny-llava-grounded", help="Name, local folder or hub id of the model."),
    biased: str = typer.Option("tiny-llava-biased", help="Its twin with a language prior; '' for none."),
    explainers: str | None = typer.Option(None, help="Explainers, separated by commas; default: eleven."),
    samples: int = typer.Option(12, min=2, help="Samples whose maps are compared."),
    probe: int = typer.Option(60, min=20, help="Questions that say when the copy has unlearnt its answers."),
    seed: int = typer.Option(0, min=0, help="Seed of everything random."),
    *,
    options: ModelOptions,
) -> None:
    """Destroy the model, its answers or the question, and see which maps do not notice."""
    check_folder(out)
    import toolkit
    from toolkit.audit.explainers.map_grid import localised_samples
    from toolkit.audit.explainers.sanity_report import JUDGED, sanity_report
    from toolkit.explainers import EXPLAINERS

    chosen = JUDGED if explainers is None else tuple(names_of("--explainers", explainers))
    for name in chosen:
        EXPLAINERS.check(name)
    asked = [s for d in ("scenes-existence", "scenes-choice") for s in toolkit.load_samples(d, n=probe // 2, seed=seed)]
    grounded, *twin = options.load(*filter(None, (model, biased)))
    report = sanity_report(
        grounded,
        options.instructed(localised_samples(samples, seed=seed)),
        options.instructed(asked),
        biased=twin[0] if twin else None,
        explainers=chosen,
        seed=seed,
        progress=lambda message: typer.echo(message, err=True),
    )
    page = report.write(out)
    typer.echo(report.summary().to_string(float_format="{:+.2f}".format))
    typer.echo(report.sentence())
    typer.echo(str(page))
