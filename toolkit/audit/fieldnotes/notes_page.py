"""The table as a page: what was asked, which family does what, what it means, and what differs between versions."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING

from packaging.version import Version

from toolkit.audit.fieldnotes.field_table import changes
from toolkit.audit.fieldnotes.probes import BEHAVIOURS
from toolkit.paths import data_path

if TYPE_CHECKING:
    import pandas as pd

_HEAD = """# Field notes

What transformers' vision-language models do where an explanation touches them: measured on tiny random models of \
transformers' own classes, never guessed. Each statement is about transformers alone, without the toolkit. Made by \
`make fieldnotes`; the notes are in `data/fieldnotes/notes.csv`. Logits of the tiny models spread by about 1, so a \
difference of 0.5 is another answer. [Before you trust a map](before_you_trust_a_map.md) makes checks of them.
"""


def consequences() -> dict[str, dict[str, str]]:
    """Of each behaviour: what it ``means`` for an explanation, what is done ``here``, and the ``test`` that holds that.

    Raises:
        FileNotFoundError: The data are not there.
    """
    with data_path("fieldnotes", "consequences.csv").open(encoding="utf-8", newline="") as file:
        return {name: row for row in csv.DictReader(file) for name in row["behaviours"].split()}


def notes_page(rows: pd.DataFrame, version: str) -> str:
    """The page in Markdown.

    Args:
        rows: The table, with as many versions of transformers as were measured.
        version: The one that the page is about; others are compared with it.
    """
    own = rows[rows.transformers == version]
    first = own.iloc[0]
    lines = [_HEAD, f"transformers {version}, torch {first.torch}, measured on {first.date}."]
    absent = list(own[own.behaviour == "family"].family)
    if absent:
        lines.append(f"Not in this version ({len(absent)}): {', '.join(absent)}.")
    for name in BEHAVIOURS:
        notes = own[own.behaviour == name]
        lines += _section(name, notes) if len(notes) else []
    lines += _compared(rows, version)
    return "\n".join(lines) + "\n"


def _section(name: str, notes: pd.DataFrame) -> list[str]:
    """One behaviour: its question, who does what, and what follows from it."""
    behaviour, follows = BEHAVIOURS[name], consequences()[name]
    table = [
        f"| {_escaped(str(value))} | {behaviour.values.get(str(value), '')} | {_families(part)} |"
        for value, part in notes.groupby("value", sort=False)
    ]
    return [
        f"\n## {name.replace('_', ' ')}\n\n{behaviour.question}.\n",
        "| seen | that is | families (size of the difference) |\n| --- | --- | --- |",
        *table,
        f"\n**What it means.** {follows['means']}",
        f"\n**The toolkit.** {follows['here']} (`{follows['test'].split('::')[-1]}`)",
    ]


def _families(notes: pd.DataFrame) -> str:
    """Names, each with its size where it is one that counts."""
    sizes = [float(size) for size in notes["size"].astype(float)]
    shown = zip(notes["family"], notes["value"], sizes, strict=True)
    return ", ".join(
        f"{name} ({size:.2g})" if value != "exact" and size == size else name for name, value, size in shown
    )


def _escaped(text: str) -> str:
    return text.replace("|", "\\|")


def _compared(rows: pd.DataFrame, version: str) -> list[str]:
    """What differs between the versions, side by side; families that one of them lacks are named once."""
    versions = sorted(set(rows.transformers), key=Version)
    if len(versions) < 2:
        return []
    lines = ["\n## Between versions\n"]
    lacking = rows[rows.behaviour == "family"]
    lines += [f"transformers {note.transformers} has no {note.family}.\n" for note in lacking.itertuples()]
    known = rows[~rows.family.isin(lacking.family)]
    wide = changes(known)
    for other in versions:
        n = int((wide[other] != wide[version]).sum())
        lines += [f"transformers {other}: {n} notes differ from {version}.\n"] if other != version else []
    lines += [f"| behaviour | families | {' | '.join(versions)} |", "| --- " * (2 + len(versions)) + "|"]
    wide = wide.reset_index().sort_values(["behaviour", "family"], key=lambda part: part.map(_place(part)))
    for keys, part in wide.groupby(["behaviour", *versions], sort=False):
        name, *seen = map(str, keys if isinstance(keys, tuple) else (keys,))
        alike = ", ".join(part["family"])
        lines.append(f"| {name.replace('_', ' ')} | {alike} | {' | '.join(map(_escaped, seen))} |")
    return lines


def _place(part: pd.Series[str]) -> dict[str, int]:
    """Each name's place in the table's order."""
    from toolkit.audit.fieldnotes.tiny_families import FAMILIES

    order = list(BEHAVIOURS) if part.name == "behaviour" else list(FAMILIES)
    return {name: place for place, name in enumerate(order)}
