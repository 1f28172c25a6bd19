"""RePOPE: is there an object in a photograph? POPE with its annotation errors mended (arXiv 2504.15707)."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator

from toolkit.datasets.hub import Row, decode, field_text, rows
from toolkit.datasets.instructions import YES_NO, make_instruction
from toolkit.datasets.load import DatasetRequest
from toolkit.datasets.sample import Sample

COLUMNS = ("image", "image_id", "question", "answer", "category")
_PREFIX = "repope-"


def samples(request: DatasetRequest) -> Iterator[Sample]:
    """The questions of one subset, or of all three without repetitions; asked as POPE is in the common harness."""
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
        image_id = str(row["image_id"])
        question = field_text(row, "question", f"repope-{image_id}")
        name = f"repope-{image_id}-{hashlib.sha256(question.encode()).hexdigest()[:8]}"
        decoded = decode(row, name, request.on_unreadable)
        if decoded is not None:
            yield Sample(
                id=name,
                image=decoded[0],
                question=question,
                instruction=make_instruction("pope", YES_NO),
                choices=YES_NO,
                answer=_answer(row, name),
                image_id=image_id,
                dataset=request.name,
                category=row["category"],
            )


def _answer(row: Row, name: str) -> str:
    """The row's yes or no, however it is written.

    Raises:
        ValueError: It is neither.
    """
    said = field_text(row, "answer", name)
    answer = said.strip(" \t\r\n.!\"'").lower()
    if answer not in YES_NO:
        raise ValueError(f"{name}: the answer is {said!r}; expected yes or no")
    return answer
