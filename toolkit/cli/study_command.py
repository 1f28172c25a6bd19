"""``study``: questions that take the models with known truth: pairs, orders, masking and dose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Protocol

import typer

from toolkit.cli.model_options import ModelOptions, with_model_options
from toolkit.cli.names import names_of
from toolkit.cli.outputs import check_folder

if TYPE_CHECKING:
    import pandas as pd


class Study(Protocol):
    """Rows and a verdict."""

    @property
    def rows(self) -> pd.DataFrame:
        """What was measured."""

    def verdict(self) -> str:
        """What the rule says."""


app = typer.Typer(help="Studies on models whose truth is known.", no_args_is_help=True)


@app.command("pairs")
@with_model_options
def pairs(
    out: Path = typer.Option(Path("results/pairs"), help="Folder of the study; it goes on where it stopped."),
    model: str = typer.Option("tiny-llava-grounded", help="Models, separated by commas."),
    explainers: str | None = typer.Option(None, help="Explainers, separated by commas; default: five."),
    samples: int = typer.Option(20, min=2, help="Generated samples that are offered to each model."),
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

    chosen = GIVERS if explainers is None else tuple(names_of("--explainers", explainers))
    for name in chosen:
        EXPLAINERS.check(name)
    report = pair_recovery(
        options.load(*names_of("--model", model)),
        options.instructed(localised_samples(samples, seed=seed)),
        chosen,
        seed=seed,
        folder=out,
        watch=_watch,
    )
    _finish(out, "pairs", report, report.table(), pairs_page(report))


@app.command("orders")
@with_model_options
def orders(
    out: Path = typer.Option(Path("results/orders"), help="Folder of the study; it goes on where it stopped."),
    model: str = typer.Option(
        "tiny-llava-grounded,tiny-llava-biased,tiny-llava-shortcut", help="Models, separated by commas."
    ),
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

    names = names_of("--model", model)
    study = order_study(
        options.load(*names), options.instructed(localised_samples(samples, seed=seed)), out, n_cells=cells,
        n_words=words, watch=_watch,
    )  # fmt: skip
    _finish(out, "orders", study, study.table(), orders_page(study))


@app.command("masking")
@with_model_options
def masking(
    out: Path = typer.Option(Path("results/masking"), help="Folder of the study; it goes on where it stopped."),
    model: str = typer.Option("tiny-llava-grounded", help="Name or local folder of the model."),
    samples: int = typer.Option(12, min=2, help="Generated samples that are asked."),
    fills: str | None = typer.Option(None, help="What removed cells look like, separated by commas; default: eight."),
    seed: int = typer.Option(0, min=0, help="Seed of the samples."),
    *,
    options: ModelOptions,
) -> None:
    """Where a metric ranks the evidence no higher than chance: is it the metric, or what fills removed cells?"""
    check_folder(out)
    from toolkit.audit.explainers.map_grid import localised_samples
    from toolkit.audit.masking_study import FILLS, masking_study
    from toolkit.datasets.baselines import BASELINES
    from toolkit.reporting.study_page import masking_page

    chosen = FILLS if fills is None else tuple(names_of("--fills", fills))
    for name in chosen:
        BASELINES.check(name)
    offered = options.instructed(localised_samples(3 * samples, seed=seed))
    study = masking_study(options.load(model)[0], offered, out, n=samples, fills=chosen, watch=_watch)
    _finish(out, "masking", study, study.gaps(), masking_page(study))


@app.command("dose")
@with_model_options
def dose(
    out: Path = typer.Option(Path("results/dose"), help="Folder of the study; it goes on where it stopped."),
    model: str = typer.Option("tiny-llava-grounded,tiny-llava-biased", help="The grounded and the biased twin."),
    explainers: str | None = typer.Option(None, help="Explainers, separated by commas; default: five."),
    samples: int = typer.Option(6, min=2, help="Generated samples that are asked."),
    seed: int = typer.Option(0, min=0, help="Seed of everything random."),
    *,
    options: ModelOptions,
) -> None:
    """Does what explainers say of pairs shrink with the interaction, between a grounded model and its biased twin?"""
    check_folder(out)
    from toolkit.audit.dose_study import EXPLAINERS as USUAL
    from toolkit.audit.dose_study import dose_study
    from toolkit.audit.explainers.map_grid import localised_samples
    from toolkit.explainers import EXPLAINERS
    from toolkit.reporting.study_page import dose_page

    names = names_of("--model", model)
    if len(names) != 2:
        raise typer.BadParameter(f"expected a grounded model and its biased twin, got {model!r}", param_hint="--model")
    chosen = USUAL if explainers is None else tuple(names_of("--explainers", explainers))
    for name in chosen:
        EXPLAINERS.check(name)
    grounded, biased = options.load(*names)
    offered = options.instructed(localised_samples(3 * samples, seed=seed))
    study = dose_study(grounded, biased, offered, out, n=samples, explainers=chosen, seed=seed, watch=_watch)
    _finish(out, "dose", study, study.table(), dose_page(study))


def _finish(out: Path, name: str, study: Study, table: pd.DataFrame, page: str) -> None:
    """Write rows and page, and say the verdict."""
    study.rows.to_csv(out / f"{name}.csv", index=False)
    (out / f"{name}.html").write_text(page, encoding="utf-8")
    typer.echo(table.to_string(index=False, float_format="{:.2f}".format))
    typer.echo(study.verdict())
    typer.echo(str(out / f"{name}.html"))


def _watch(done: int, total: int) -> None:
    typer.echo(f"{done} of {total}", err=True)
