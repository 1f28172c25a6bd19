"""The embedded world as small parquet files with a card, readable by the library ``datasets``."""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.datasets.sample import Sample
from toolkit.extras import need
from toolkit.scenes.generator import FAMILIES, default_strength, load

if TYPE_CHECKING:
    from datasets import Dataset

_CARD = """---
license: mit
task_categories: [visual-question-answering]
language: [en]
size_categories: [n<1K]
pretty_name: Scenes, the embedded world of the Synergy Toolkit
configs:
{configs}
---

# Scenes

Generated pictures of coloured objects on a 6 x 6 grid, with questions whose whole truth is known. Each row holds the
picture (PNG, 384 x 384), the question, its format instruction, the allowed answers, the right one, and the truth: the
gate by construction, the boxes and words that decide the answer, the answer that the folklore of the world favours, and
the Bayes value of each corner coalition (probability of the right answer given both, the image alone, the question
alone, or neither) under the generating distribution, in closed form.

These files hold the first {n} test samples (seed 0) of each family; `toolkit.load_samples(name, split=..., n=...)`
generates the same ones and as many more as you like. Written by `python -m toolkit.scenes.export`.

| config | prior strength | rows |
|---|---|---|
{rows}
"""


def _row(sample: Sample) -> dict[str, object]:
    truth = sample.truth
    if truth is None:
        raise ValueError(f"sample {sample.id!r} has no truth; only generated samples can be exported")
    png = io.BytesIO()
    sample.image.save(png, format="PNG", optimize=True)
    return {
        "id": sample.id, "image": {"bytes": png.getvalue(), "path": None}, "question": sample.question,
        "instruction": sample.instruction, "choices": list(sample.choices or ()), "answer": sample.answer,
        "family": truth.family, "gate": truth.gate, "evidence_boxes": [list(box) for box in truth.evidence_boxes],
        "evidence_words": list(truth.evidence_words), "prior_answer": truth.prior_answer,
        **{f"bayes_{corner}": value for corner, value in vars(truth.bayes).items()},
    }  # fmt: skip


def to_dataset(samples: list[Sample]) -> Dataset:
    """Generated samples as a ``datasets.Dataset`` with typed columns.

    Raises:
        ValueError: A sample has no ground truth.
        ModuleNotFoundError: The library datasets is not installed (extra ``datasets``).
    """
    need("datasets", "a table of the embedded world")
    from datasets import Dataset, Features, Image, List, Value

    number, text = Value("float64"), Value("string")
    columns = {
        **dict.fromkeys(("id", "question", "instruction", "answer", "family", "gate", "prior_answer"), text),
        **dict.fromkeys(("bayes_both", "bayes_image", "bayes_text", "bayes_empty"), number), "image": Image(),
        "choices": List(text), "evidence_boxes": List(List(number)), "evidence_words": List(Value("int64")),
    }  # fmt: skip
    return Dataset.from_list([_row(sample) for sample in samples], features=Features(columns))


def export(folder: Path, *, n: int = 12) -> list[Path]:
    """Write one parquet file per family and the card.

    Args:
        folder: Where to; made if missing.
        n: Test samples per family.

    Returns:
        The parquet files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    paths, rows, configs = [], [], []
    for name in FAMILIES:
        samples = load(name, split="test", n=n)
        path = folder / f"{name}.parquet"
        to_dataset(samples).to_parquet(path)
        paths.append(path)
        rows.append(f"| {name} | {default_strength(name):g} | {n} |")
        configs.append(f"- config_name: {name}\n  data_files:\n  - split: test\n    path: {path.name}")
    card = _CARD.format(configs="\n".join(configs), rows="\n".join(rows), n=n)
    (folder / "README.md").write_text(card, encoding="utf-8")
    return paths


if __name__ == "__main__":
    export(Path("data/scenes"))
