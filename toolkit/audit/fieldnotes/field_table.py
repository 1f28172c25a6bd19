"""The table of families and behaviours: measure it, keep it, read the one that is shipped."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.paths import data_path

if TYPE_CHECKING:
    import pandas as pd

    from toolkit.audit.fieldnotes.measured_notes import Note

FILE = "notes.csv"
"""The shipped table is ``fieldnotes/notes.csv`` among the data."""


def fieldnotes(
    families: Iterable[str] | None = None,
    behaviours: Iterable[str] | None = None,
    *,
    report: Callable[[str], object] = lambda line: None,
) -> pd.DataFrame:
    """What the installed transformers does, measured on tiny random models of its own classes.

    Each note is a value of the behaviour's documented set, ``error: ...`` where the probe raised, or, for a family
    that the installed version lacks, ``no such family``. Half a minute on one core for the whole table.

    Args:
        families: Names such as ``"Qwen2.5-VL"``; without, all of them.
        behaviours: Names such as ``"masked_word_in_generate"``; without, all of them.
        report: Gets each family's name when its turn comes.

    Returns:
        One row per note: transformers, torch, date, family, behaviour, value, size (the largest difference of a
        logit, where logits spread by about 1; missing without one).

    Raises:
        UnknownNameError: A family or a behaviour is not in the table.

    Source: measured; the behaviours and what they mean for an explanation are in ``notebooks/site/field_notes.md``.

    Example:
        >>> rows = fieldnotes(["LLaVA"], ["masked_word_in_forward", "masked_word_in_generate"])
        >>> list(rows.value)
        ['gap kept', 'renumbered']
    """
    from toolkit.audit.fieldnotes.measured_notes import measured_notes
    from toolkit.audit.fieldnotes.probes import BEHAVIOURS
    from toolkit.audit.fieldnotes.tiny_families import FAMILIES

    chosen = _known(families, FAMILIES, "family")
    return as_frame(measured_notes(chosen, _known(behaviours, BEHAVIOURS, "behaviour"), report))


def _known(names: Iterable[str] | None, all_names: Iterable[str], kind: str) -> list[str]:
    from toolkit.registry import UnknownNameError

    known = list(all_names)
    wanted = known if names is None else [names] if isinstance(names, str) else list(names)
    if unknown := [name for name in wanted if name not in known]:
        raise UnknownNameError(kind, unknown[0], known)
    return wanted


def as_frame(notes: Iterable[Note]) -> pd.DataFrame:
    """The notes as rows."""
    import pandas as pd

    return pd.DataFrame([asdict(note) for note in notes])


def shipped_fieldnotes() -> pd.DataFrame:
    """The table that travels with the toolkit: the same columns, for each version of transformers that was measured.

    Raises:
        FileNotFoundError: The data are not there.
    """
    return read_fieldnotes(data_path("fieldnotes", FILE))


def read_fieldnotes(file: Path) -> pd.DataFrame:
    """A table as ``write_fieldnotes`` left it."""
    import pandas as pd

    return pd.read_csv(file, dtype={"transformers": str, "torch": str}, keep_default_na=False, na_values={"size": [""]})


def write_fieldnotes(rows: pd.DataFrame, file: Path) -> pd.DataFrame:
    """Write rows to a file, where they replace those of the same version and family; returns all rows of the file."""
    import pandas as pd

    if file.exists():
        old = read_fieldnotes(file)
        keys = ["transformers", "family"]
        again = old.set_index(keys).index.isin(rows.set_index(keys).index)
        rows = pd.concat([old[~again], rows], ignore_index=True)
    rows.to_csv(file, index=False, lineterminator="\n")
    return rows


def changes(rows: pd.DataFrame) -> pd.DataFrame:
    """Notes whose value differs between the versions in the rows: one column per version, one row per note."""
    from packaging.version import Version

    wide = rows.pivot(index=["family", "behaviour"], columns="transformers", values="value")
    versions = sorted(set(rows["transformers"].astype(str)), key=Version)
    wide = wide[versions].fillna("no such family")
    return wide[wide.nunique(axis=1) > 1]
