"""RePOPE: is there an object in a photograph? POPE with its annotation errors mended (arXiv 2504.15707)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from toolkit.datasets.hub import Row, decode, rows
from toolkit.datasets.loading import Request
from toolkit.datasets.own_question import YES_NO
from toolkit.datasets.sample import Sample

COLUMNS = ("image", "image_id", "question", "answer", "category")
_PREFIX = "repope-"


def samples(request: Request) -> Iterator[Sample]:
    """The questions of one subset, or of all three without repetitions; the question is asked as it is."""
    subset = request.name.removeprefix(_PREFIX) if request.name.startswith(_PREFIX) else None
    asked: set[tuple[str, str]] = set()

    def keep(row: Row) -> bool:
        if subset is not None and row["category"] != subset:
            return False
        pair = (str(row["image_id"]), row["question"])
        new = pair not in asked
        asked.add(pair)
        return new

    for row in rows(request, COLUMNS, keep):
        image_id, question = str(row["image_id"]), row["question"].strip()
        name = f"repope-{image_id}-{hashlib.sha256(question.encode()).hexdigest()[:8]}"
        decoded = decode(row, name, request.on_unreadable)
        if decoded is not None:
            yield Sample(
                id=name,
                image=decoded[0],
                question=question,
                choices=YES_NO,
                answer=row["answer"].strip().lower(),
                image_id=image_id,
                dataset=request.name,
                category=row["category"],
            )
