"""The application: its commands, its version, and what an error looks like."""

from __future__ import annotations

import sys
from pathlib import Path

import typer

import toolkit
from toolkit.cli import benchmark_command as benchmark
from toolkit.cli import datasets_command as datasets
from toolkit.cli import diagnose_command as diagnose
from toolkit.cli import dial_command as dial
from toolkit.cli import explain_command as explain
from toolkit.cli import explainers_command as explainers
from toolkit.cli import maps_command as maps
from toolkit.cli import models_command as models
from toolkit.cli import sanity_command as sanity
from toolkit.cli import study_command as study
from toolkit.cli import train_command as train
from toolkit.cli import validate_command as validate
from toolkit.cli.doctor_command import doctor
from toolkit.cli.errors import OneLineErrors
from toolkit.cli.fieldnotes_command import fieldnotes
from toolkit.cli.report_card_command import report_card
from toolkit.cli.store_command import store

app = typer.Typer(
    name="toolkit",
    help="How much of a vision-language model's answer comes from picture and words together?",
    cls=OneLineErrors,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)


def _version(*, wanted: bool) -> None:
    if wanted:
        typer.echo(toolkit.__version__)
        raise typer.Exit


@app.callback()
def options(
    debug: bool = typer.Option(False, "--debug", help="Show the traceback of an error."),
    version: bool = typer.Option(
        False, "--version", callback=lambda value: _version(wanted=value), is_eager=True, help="Show the version."
    ),
) -> None:
    """How much of a vision-language model's answer comes from picture and words together?"""


app.command("doctor")(doctor)
app.command("store")(store)
app.command("models")(models.models)
app.command("explainers")(explainers.explainers)
app.command("datasets")(datasets.datasets)
app.command("explain")(explain.explain)
app.command("maps", short_help="Draw the maps of every explainer on the same samples.")(maps.maps)
app.command("sanity", short_help="See which maps notice that the model was destroyed.")(sanity.sanity)
app.command("dial", short_help="See what changes when the language prior grows.")(dial.dial)
app.command("diagnose")(diagnose.diagnose)
app.command("train")(train.train)
app.command("validate")(validate.validate)
app.command("report-card")(report_card)
app.command("fieldnotes", short_help="See what transformers does to an explanation.")(fieldnotes)
app.add_typer(study.app, name="study")
app.add_typer(benchmark.app, name="benchmark")


def main() -> None:
    """Run the command line, under the name that it was called by."""
    called = Path(sys.argv[0]).stem
    app(prog_name="python -m toolkit" if called == "__main__" else called)
