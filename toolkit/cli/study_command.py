"""``study``: questions that take the models with known truth: which pairs, and at which order."""

from __future__ import annotations

from pathlib import Path

import typer

from toolkit.cli.model_options import ModelOptions, with_model_options
from toolkit.cli.outputs import check_folder

app = typer.Typer(help="Studies on models whose truth is known.", no_args_is_help=True)


@app.command("pairs")
@with_model_options
def pairs(
    out: Path = typer.Option(Path("results/pairs"), help="Folder of the page; made if it does not exist."),
    model: str = typer.Option("tiny-llava-grounded", help="Name or local folder of the model."),
    explainers: str | None = typer.Option(None, help="Explainers, separated by commas; default: five."),
    samples: int = typer.Option(20, min=2, help="Generated samples that are offered."),
    seed: int = typer.Option(0, min=0, help="Seed of everything random."),
    *,
    options: ModelOptions,
) -> None:
    """Do explainers that give pairs of cells and words find the pairs that decide the answer?"""
    check_folder(out)
    from toolkit.audit.explainers.map_grid import localised_samples
    from toolkit.audit.explainers.pair_recovery import GIVERS, pair_recovery
    from toolkit.explainers import EXPLAINERS
    from toolkit.reporting.study_page import pairs_page

    chosen = GIVERS if explainers is None else tuple(n.strip() for n in explainers.split(",") if n.strip())
    for name in chosen:
        EXPLAINERS.check(name)
    report = pair_recovery(
        options.load(model)[0],
        options.instructed(localised_samples(samples, seed=seed)),
        chosen,
        seed=seed,
        watch=_watch,
    )
    out.mkdir(parents=True, exist_ok=True)
    report.rows.to_csv(out / "pairs.csv", index=False)
    (out / "pairs.html").write_text(pairs_page(report), encoding="utf-8")
    typer.echo(report.table().to_string(index=False, float_format="{:.2f}".format))
    typer.echo(report.verdict())
    typer.echo(str(out / "pairs.html"))


@app.command("orders")
@with_model_options
def orders(
    out: Path = typer.Option(Path("results/orders"), help="Folder of the study; it goes on where it stopped."),
    model: str = typer.Option("tiny-llava-grounded,tiny-llava-biased", help="Models, separated by commas."),
    samples: int = typer.Option(20, min=2, help="Generated samples per model."),
    cells: int = typer.Option(10, min=2, help="Image groups: single cells and the background."),
    words: int = typer.Option(4, min=1, help="Text groups."),
    seed: int = typer.Option(0, min=0, help="Seed of the samples."),
    *,
    options: ModelOptions,
) -> None:
    """How many players does a joint effect take, and how much of it undoes itself?"""
    check_folder(out)
    from toolkit.audit.explainers.map_grid import localised_samples
    from toolkit.audit.order_study import order_study
    from toolkit.reporting.study_page import orders_page

    names = [name.strip() for name in model.split(",") if name.strip()]
    study = order_study(
        options.load(*names), options.instructed(localised_samples(samples, seed=seed)), out, n_cells=cells,
        n_words=words, watch=_watch,
    )  # fmt: skip
    (out / "orders.html").write_text(orders_page(study), encoding="utf-8")
    typer.echo(study.table().to_string(index=False, float_format="{:.2f}".format))
    typer.echo(study.verdict())
    typer.echo(str(out / "orders.html"))


def _watch(done: int, total: int) -> None:
    typer.echo(f"{done} of {total}", err=True)
