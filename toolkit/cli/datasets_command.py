"""``datasets``: list the datasets."""

from __future__ import annotations

from toolkit.cli.table import show


def datasets() -> None:
    """List the datasets with size, licence and pinned revision."""
    from toolkit.datasets import DATASETS

    rows = [
        (name, "endless" if entry.size is None else f"{entry.size:,}", entry.origin, entry.revision[:12] or "-",
         entry.licence, entry.description)
        for name, entry in ((name, DATASETS[name]) for name in DATASETS)
    ]  # fmt: skip
    rows.append(("folder:PATH", "-", "yours", "-", "-", "your pictures, with questions.csv or questions.jsonl"))
    show(("name", "samples", "origin", "revision", "licence", "description"), rows)
