"""What was counted, ``data/robustness.json``, and the page that shows it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
COUNTS = ROOT / "data" / "robustness.json"
PAGE = ROOT / "notebooks" / "site" / "robustness.md"


def recorded(name: str) -> list[dict[str, Any]]:
    """The rows of one table."""
    found: list[dict[str, Any]] = json.loads(COUNTS.read_text(encoding="utf-8")).get(name, [])
    return found


def record(name: str, rows: Sequence[Mapping[str, Any]]) -> None:
    """Replace one table of the counts, and the page."""
    known = json.loads(COUNTS.read_text(encoding="utf-8")) if COUNTS.exists() else {}
    COUNTS.write_text(json.dumps({**known, name: list(rows)}, indent=1) + "\n", encoding="utf-8")
    PAGE.write_text(page(), encoding="utf-8")


def page() -> str:
    """The page of the counts that are there."""
    known = json.loads(COUNTS.read_text(encoding="utf-8"))
    text = Path(__file__).with_name("page.md").read_text(encoding="utf-8")
    return text.format(**{name: _table(known.get(name, [])) for name in ("kills", "calls", "mutations", "scaling")})


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    if not rows:
        return "Not run yet."
    head = list(rows[0])
    body = [[f"{row[name]:,}" if isinstance(row[name], int) else str(row[name]) for name in head] for row in rows]
    lines = [head, ["---"] * len(head), *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
