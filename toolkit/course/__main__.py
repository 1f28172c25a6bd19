"""Build, hand out and mark the course: ``python -m toolkit.course build``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from toolkit.course import badges as badge
from toolkit.course.build import build_all

app = typer.Typer(add_completion=False, no_args_is_help=True, help="Build, hand out and mark the course.")
Folder = Annotated[Path, typer.Option(help="Folder with src/, in a checkout.")]


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Report wrong input in one line, without a traceback."""
    try:
        yield
    except (ValueError, OSError) as error:
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
def handout(
    wheels: Annotated[Path, typer.Option(help="Folder with the toolkit's wheel, and others for offline machines.")],
    out: Annotated[Path, typer.Option(help="The zip.")],
    notebooks: Folder = Path("notebooks"),
) -> None:
    """Write one zip for a class: lessons without solutions and sources, and the wheels."""
    from toolkit.course.handout import handout as write

    with one_line_errors():
        typer.echo(write(notebooks, wheels, out))


@app.command()
def mark(folder: Annotated[Path, typer.Argument(help="NAME/my_answers.json or NAME.json, one per learner.")]) -> None:
    """Count what each learner solved, lesson by lesson, and write FOLDER/marks.csv."""
    from toolkit.course.mark import mark as marks

    with one_line_errors():
        table, problems = marks(folder)
        table.to_csv(folder / "marks.csv", index=False)
    sums = table.groupby("learner")[["solved", "exercises", "right", "questions"]].sum()
    typer.echo(sums.to_string() if len(table) else "nothing could be marked")
    typer.echo(f"lesson by lesson: {folder / 'marks.csv'}")
    for problem in problems:
        typer.echo(f"error: {problem}", err=True)
    if problems:
        raise typer.Exit(1)


@app.command()
def nbgrader(
    course: Annotated[Path, typer.Argument(help="A course folder of nbgrader.")], notebooks: Folder = Path("notebooks")
) -> None:
    """Write the lessons as source assignments of nbgrader."""
    from toolkit.course.nbgrader import write_assignments

    with one_line_errors():
        written = write_assignments(notebooks, course)
    typer.echo(f"{len(written)} assignments in {course / 'source'}")


@app.command()
def architecture(notebooks: Folder = Path("notebooks")) -> None:
    """Draw the picture of the architecture's page."""
    from toolkit.course.architecture import architecture as draw

    typer.echo(draw().save(notebooks / "images" / "architecture.png"))


if __name__ == "__main__":
    app()
