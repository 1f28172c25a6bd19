"""Measure the notes of the table; run as a program it prints them as JSON, which is how another version is asked."""

from __future__ import annotations

import datetime
import json
import logging
import sys
import warnings
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass

import torch

from toolkit.audit.fieldnotes.probes import BEHAVIOURS
from toolkit.audit.fieldnotes.tiny_families import FAMILIES, is_known


@dataclass(frozen=True)
class Note:
    """One statement about one family in one version of transformers.

    Attributes:
        transformers: The version.
        torch: The version of torch.
        date: The day of the measurement.
        family: Name of the family.
        behaviour: Name of the behaviour.
        value: A value of the behaviour's documented set, ``error: ...`` or ``no such family``.
        size: Largest difference of a logit, or a number that the value names; None without one.
    """

    transformers: str
    torch: str
    date: str
    family: str
    behaviour: str
    value: str
    size: float | None


def measured_notes(
    families: Iterable[str], behaviours: Iterable[str], report: Callable[[str], object] = lambda line: None
) -> list[Note]:
    """The notes of some families and behaviours; a family that the installed transformers lacks gives one note.

    Args:
        families: Names of the table.
        behaviours: Names of the table.
        report: Gets each family's name when its turn comes.
    """
    import transformers

    versions = transformers.__version__, torch.__version__.split("+")[0], datetime.date.today().isoformat()
    wanted, notes = list(behaviours), []
    for name in families:
        report(name)
        if not is_known(FAMILIES[name]):
            notes.append(Note(*versions, name, "family", "no such family", None))
            continue
        notes += [Note(*versions, name, behaviour, *_seen(name, behaviour)) for behaviour in wanted]
    return notes


def _seen(family: str, behaviour: str) -> tuple[str, float | None]:
    """What the probe saw, or the text of the error that it raised; the random state is as it was afterwards."""
    level = logging.root.manager.disable
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        torch.manual_seed(0)
        try:
            value, size = BEHAVIOURS[behaviour].probe(FAMILIES[family])
        except Exception as error:
            return f"error: {type(error).__name__}: {' '.join(str(error).split())}"[:160], None
        finally:
            logging.disable(level)
    return value, None if size is None else float(f"{size:.3g}")


if __name__ == "__main__":
    chosen = [name for name in sys.argv[1].split(",") if name in FAMILIES]
    found = measured_notes(chosen, BEHAVIOURS, lambda name: print(name, file=sys.stderr, flush=True))  # noqa: T201
    sys.stdout.write(json.dumps([asdict(note) for note in found]))
