"""CV-Bench: counting, relation, depth and distance in photographs (Tong et al. 2024, arXiv 2406.16860)."""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.datasets.choices import parse_answer
from toolkit.datasets.hub import decode, field_text, rows
from toolkit.datasets.instructions import make_instruction
from toolkit.datasets.letters import LETTERS
from toolkit.datasets.load import DatasetRequest
from toolkit.datasets.sample import Sample

COLUMNS = ("image", "idx", "type", "task", "choices", "answer", "prompt")


def samples(request: DatasetRequest) -> Iterator[Sample]:
    """The dataset's own prompt, options inside; the answer is the letter."""
    for row in rows(request, COLUMNS):
        name = f"cv-bench-{row['type']}-{row['idx']}"
        n = len(row["choices"] or ())
        if not 2 <= n <= len(LETTERS):
            raise ValueError(f"{name} has {n} options; expected 2 to {len(LETTERS)}")
        letters = tuple(LETTERS[:n])
        answer = parse_answer(field_text(row, "answer", name), letters)
        if answer is None:
            raise ValueError(f"{name}: the answer {row['answer']!r} is none of the letters {letters}")
        decoded = decode(row, name, request.on_unreadable)
        if decoded is not None:
            yield Sample(
                id=name,
                image=decoded[0],
                question=field_text(row, "prompt", name),
                instruction=make_instruction("cv-bench", letters),
                choices=letters,
                answer=answer,
                image_id=decoded[1],
                dataset=request.name,
                category=row["task"],
            )
