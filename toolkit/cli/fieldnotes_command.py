"""``fieldnotes``: what the installed transformers does where an explanation touches it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import typer

from toolkit.cli.outputs import check_folder
from toolkit.cli.table import show

if TYPE_CHECKING:
    import pandas as pd


def fieldnotes(
    out: Path | None = typer.Option(None, help="Folder for notes.csv and field_notes.md; other versions' rows stay."),
    families: str = typer.Option("", help="Only these, such as LLaVA,Qwen2.5-VL."),
    against: str = typer.Option("", help="Another version of transformers, such as 4.57.6: shows what differs."),
) -> None:
    """Measure what transformers does with masks, caches, hooks and embeddings, family by family.

    Tiny random models of transformers' own classes; half a minute for the whole table. --against fetches the other
    version with pip into a temporary folder, asks it the same and says what differs.
    """
    if out is not None:
        check_folder(out)
    import pandas as pd
    import transformers

    from toolkit.audit.fieldnotes.field_table import as_frame, changes, write_fieldnotes
    from toolkit.audit.fieldnotes.field_table import fieldnotes as measure
    from toolkit.audit.fieldnotes.notes_page import notes_page
    from toolkit.audit.fieldnotes.other_version import notes_of_version

    chosen = [name.strip() for name in families.split(",") if name.strip()] or None
    rows = measure(chosen, report=_say)
    other = as_frame(notes_of_version(against, dict.fromkeys(rows.family), _say)) if against else None
    both = rows if other is None else pd.concat([rows, other], ignore_index=True)
    differing = None if other is None else changes(both[both.behaviour != "family"])
    if differing is None:
        show(("family", "behaviour", "seen", "size"), [_line(note) for note in rows.itertuples()])
    else:
        notes = [(*index, *map(str, row)) for index, row in zip(differing.index, differing.to_numpy(), strict=True)]
        show(("family", "behaviour", *differing.columns), notes)
    _count(both)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        kept = write_fieldnotes(both, out / "notes.csv")
        page = out / "field_notes.md"
        page.write_text(notes_page(kept, transformers.__version__), encoding="utf-8")
        typer.echo(str(page))


def _say(line: str) -> None:
    typer.echo(line, err=True)


def _line(note: object) -> tuple[str, ...]:
    family, behaviour, value, size = (getattr(note, name) for name in ("family", "behaviour", "value", "size"))
    return family, behaviour, value, "" if size is None or size != size else f"{size:.2g}"


def _count(rows: pd.DataFrame) -> None:
    """How many notes, families and errors there are, and which families are absent."""
    for version, part in rows.groupby("transformers", sort=False):
        absent = list(part[part.behaviour == "family"].family)
        n_errors = int(part.value.str.startswith("error:").sum())
        skipped = f"; not in this version ({len(absent)}): {', '.join(absent)}" if absent else ""
        n_families = part.family.nunique() - len(absent)
        typer.echo(
            f"transformers {version}: {len(part) - len(absent)} notes of {n_families} families, "
            f"{n_errors} of them errors{skipped}"
        )
