"""``explainers``: list the explainers."""

from __future__ import annotations

from toolkit.cli.table import show


def explainers() -> None:
    """List the explainers with cost, needs and reference."""
    from toolkit.explainers import EXPLAINERS, get_explainer

    found = [get_explainer(name) for name in EXPLAINERS]
    rows = [(e.name, ", ".join(sorted(e.needs)) or "-", e.cost, e.reference) for e in found]
    show(("name", "needs", "cost", "reference"), rows)
