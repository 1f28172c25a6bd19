"""Build the notebooks of the course: ``python -m toolkit.course build``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from toolkit.course import badges as badge
from toolkit.course.build import build_all

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Build the notebooks of the course.")
Folder = Annotated[Path, typer.Option(help="Folder with src/, in a checkout.")]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Report wrong input in one line, without a traceback."""
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None


@app.command()
def build(notebooks: Folder = Path("notebooks")) -> None:
    """Write the student notebooks and the solutions from their sources."""
    with one_line_errors():
        changed = build_all(notebooks)
    typer.echo(f"{len(changed)} notebooks written" if changed else "all notebooks are up to date")


@app.command()
def badges(
    repository: Annotated[str, typer.Argument(help="owner/name on GitHub; '' removes the badges.")],
    tag: Annotated[str | None, typer.Option(help="Tag that the links point at.")] = None,
    notebooks: Folder = Path("notebooks"),
) -> None:
    """Point every badge and the set-up of Colab at a repository, and rebuild."""
    with one_line_errors():
        setting = badge.Repository(repository, tag or badge.read(notebooks).tag)
        badge.write(notebooks, setting)
        build_all(notebooks)
    readme = notebooks.parent / "README.md"
    if readme.exists():
        readme.write_text(badge.put_into(readme.read_text(encoding="utf-8"), setting.badges()), encoding="utf-8")
    if setting.name:
        typer.echo(f"badges point at {setting.name} at {setting.tag}")
    else:
        typer.echo("no repository was named, so there are no badges now; make badges REPO=owner/name sets them")


@app.command()
def architecture(notebooks: Folder = Path("notebooks")) -> None:
    """Draw the picture of the architecture's page."""
    from toolkit.course.architecture import architecture as draw

    typer.echo(draw().save(notebooks / "images" / "architecture.png"))


if __name__ == "__main__":
    app()
