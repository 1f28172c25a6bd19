"""MMStar: questions chosen so that the picture is needed (Chen et al. 2024, arXiv 2403.20330)."""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.datasets.hub import decode, field_text, rows
from toolkit.datasets.instructions import make_instruction
from toolkit.datasets.letters import read_letters
from toolkit.datasets.load import DatasetRequest
from toolkit.datasets.sample import Sample

COLUMNS = ("index", "question", "image", "answer", "category", "meta_info")
FOUR = ("A", "B", "C", "D")


def samples(request: DatasetRequest) -> Iterator[Sample]:
    """The question with its options inside; the answer is the letter.

    The letters are read off the question; where its options are not marked in a known way they are the four letters
    that the dataset promises.
    """
    for row in rows(request, COLUMNS):
        name = f"mmstar-{row['index']}"
        decoded = decode(row, name, request.on_unreadable)
        if decoded is None:
            continue
        question, answer = field_text(row, "question", name), field_text(row, "answer", name)
        read = read_letters(question)
        letters = read if read is not None and answer in read else FOUR
        if answer not in letters:
            raise ValueError(f"{name}: the answer {answer!r} is none of the letters {letters}")
        yield Sample(
            id=name,
            image=decoded[0],
            question=question,
            instruction=make_instruction("mmstar", letters),
            choices=letters,
            answer=answer,
            image_id=decoded[1],
            dataset=request.name,
            category=row["category"],
        )
