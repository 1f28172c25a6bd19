"""MMStar: questions chosen so that the picture is needed (Chen et al. 2024, arXiv 2403.20330)."""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.datasets.hub import LETTER_INSTRUCTION, decode, rows
from toolkit.datasets.loading import Request
from toolkit.datasets.own_question import read_choices
from toolkit.datasets.sample import Sample

COLUMNS = ("index", "question", "image", "answer", "category", "meta_info")
FOUR = ("A", "B", "C", "D")


def samples(request: Request) -> Iterator[Sample]:
    """The question with its options inside; the answer is the letter.

    The letters are read off the question; where its options are not marked in a known way they are the four letters
    that the dataset promises.
    """
    for row in rows(request, COLUMNS):
        name = f"mmstar-{row['index']}"
        decoded = decode(row, name, request.on_unreadable)
        if decoded is None:
            continue
        read = read_choices(row["question"])
        letters = read if read is not None and row["answer"] in read else FOUR
        yield Sample(
            id=name,
            image=decoded[0],
            question=row["question"].strip(),
            instruction=LETTER_INSTRUCTION,
            choices=letters,
            answer=row["answer"].strip(),
            image_id=decoded[1],
            dataset=request.name,
            category=row["category"],
        )
