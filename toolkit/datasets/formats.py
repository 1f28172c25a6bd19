"""Question files of other tools, read as lines of our own folder format.

* ``metadata.csv`` of an ImageFolder (Hugging Face datasets): ``file_name`` and ``question``; further columns of ours.
* ``*.tsv`` of VLMEvalKit (open-compass/VLMEvalKit, docs/en/Development.md): ``index``, ``question``, ``image`` in
  base64 (or the index of the row that has it) or ``image_path``; optional ``hint``, ``A``, ``B``, ..., ``answer``,
  ``category``.
* ``*.json`` of LLaVA (haotian-liu/LLaVA, docs/Finetune_Custom_Data.md) and ShareGPT: a list of objects with ``image``
  and ``conversations`` of ``from`` and ``value``, or ``messages`` of ``role`` and ``content``; the first question and
  its answer are read.
* ``*.jsonl`` of lmms-eval (``--log_samples``): ``doc_id``, ``target``, and ``input`` or the question in ``doc``. The
  file holds no images: they lie beside it as ``images/DOC_ID.png`` or ``.jpg``.
"""

from __future__ import annotations

import base64
import binascii
import csv
import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import pandas as pd

from toolkit.datasets.choices import parse_answer
from toolkit.datasets.letters import LETTERS
from toolkit.datasets.own_question import PLACEHOLDER, read_choices, without_placeholders

Entry: TypeAlias = Mapping[str, object]
"""One question in our own columns; ``image`` is a path inside the folder, or the bytes of an encoded image."""

_SHORT = 64
"""VLMEvalKit takes a shorter text in the column ``image`` for the index of another row."""


def reader_of(listing: Path) -> Callable[[Path], Iterator[tuple[int, Entry]]]:
    """What reads a file of another tool: numbered lines, or rows where a line is none.

    Raises:
        ValueError: No known format ends so.
    """
    readers = {"metadata.csv": _image_folder, ".tsv": _vlmevalkit, ".json": _conversations, ".jsonl": _lmms_eval}
    found = readers.get(listing.name) or readers.get(listing.suffix)
    if found is None:
        raise ValueError(f"{str(listing)!r} is no file of questions; expected metadata.csv, *.tsv, *.json or *.jsonl")
    return found


def _image_folder(listing: Path) -> Iterator[tuple[int, Entry]]:
    with listing.open(encoding="utf-8-sig", newline="") as file:
        table = csv.DictReader(file)
        _need(table.fieldnames or [], ("file_name", "question"), f"{listing}, line 1")
        for row in table:
            answer = row.get("answer") or ""
            answer = answer if row.get("choices") else _matched(answer, row["question"] or "")
            yield table.line_num, _ours({**row, "image": row["file_name"], "answer": answer})


def _vlmevalkit(listing: Path) -> Iterator[tuple[int, Entry]]:
    try:
        table = pd.read_csv(listing, sep="\t", dtype=str, keep_default_na=False, encoding="utf-8-sig")
    except pd.errors.ParserError as error:
        raise ValueError(f"{listing} is no table divided by tabs: {error}") from error
    _need(list(table.columns), ("index", "question"), f"{listing}, line 1")
    image = "image" if "image" in table.columns else "image_path"
    _need(list(table.columns), (image,), f"{listing}, line 1")
    images = dict(zip(table["index"], table[image], strict=True))
    for number, values in enumerate(table.to_dict("records"), start=2):
        row = {str(name): str(value) for name, value in values.items()}
        where = f"{listing}, row {number}"
        data = row[image]
        if image == "image" and len(data) <= _SHORT and data in images:
            data = images[data]
        letters = [letter for letter in LETTERS if row.get(letter, "") not in ("", "nan")]
        hint = row.get("hint", "").removeprefix("nan")
        options = [f"{letter}. {row[letter]}" for letter in letters]
        question = "\n".join(part for part in (hint, row["question"], *options) if part)
        entry: dict[str, object] = {**row, "id": row["index"], "question": question, "image": data}
        if image == "image":
            entry["image"] = _decoded(data, where)
        entry["answer"] = row.get("answer", "") if letters else _matched(row.get("answer", ""), question)
        yield number, _ours({**entry, "choices": letters})


def _conversations(listing: Path) -> Iterator[tuple[int, Entry]]:
    for number, entry in enumerate(_json(listing.read_text(encoding="utf-8-sig"), str(listing), list), start=1):
        where = f"{listing}, entry {number}"
        turns = entry.get("conversations") or entry.get("messages") if isinstance(entry, dict) else None
        if not isinstance(turns, list) or not all(isinstance(turn, dict) for turn in turns):
            raise ValueError(f"{where}: expected an object with conversations, a list of turns")
        said = [(turn.get("from") or turn.get("role"), turn.get("value") or turn.get("content")) for turn in turns]
        asked = [text for who, text in said if who in ("human", "user")]
        answered = [text for who, text in said if who in ("gpt", "assistant")]
        images = entry.get("image") or entry.get("images") or []
        images = [images] if isinstance(images, str) else images
        if not images or not all(isinstance(image, str) for image in images):
            raise ValueError(f"{where}: it has {len(images)} images, expected paths of one or several; remove it")
        if not asked or not isinstance(asked[0], str):
            raise ValueError(f"{where}: nobody asks; expected a turn of 'human' or 'user'")
        question = asked[0].replace(PLACEHOLDER, " ").strip()
        if len(images) > 1:
            try:
                question = without_placeholders(asked[0], len(images))
            except ValueError as error:
                raise ValueError(f"{where}: {error}") from error
        answer = _matched(_text(answered[0], f"{where}: the answer"), question) if answered else ""
        entry_id = _text(entry.get("id"), f"{where}: id") or str(number)
        yield number, _ours({"id": entry_id, "image": images[0], "question": question,
                             "answer": answer, "further_images": list(images[1:])})  # fmt: skip


def _lmms_eval(listing: Path) -> Iterator[tuple[int, Entry]]:
    for number, line in enumerate(listing.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        where = f"{listing}, line {number}"
        entry = _json(line, where, dict)
        _need(entry, ("doc_id", "target"), where)
        doc = entry.get("doc") if isinstance(entry.get("doc"), dict) else {}
        question = doc.get("question") or entry.get("input")
        if not isinstance(question, str):
            raise ValueError(f"{where}: it has no question; expected input, or doc with question")
        question = question.replace(PLACEHOLDER, " ").strip()
        doc_id = _text(entry["doc_id"], f"{where}: doc_id")
        if not doc_id:
            raise ValueError(f"{where}: doc_id is empty; expected the number of the sample, which names its image")
        found = [f"images/{doc_id}{end}" for end in (".png", ".jpg", ".jpeg", ".webp")]
        image = next((name for name in found if (listing.parent / name).is_file()), found[0])
        yield number, _ours({"id": doc_id, "image": image, "question": question,
                             "answer": _matched(_text(entry["target"], f"{where}: target"), question)})  # fmt: skip


def _ours(entry: Mapping[str, Any]) -> dict[str, object]:
    """Our own columns of an entry, those that are not empty."""
    known = ("image", "question", "choices", "answer", "id", "category", "further_images")
    return {name: entry[name] for name in known if entry.get(name)}


def _text(value: object, what: str) -> str:
    """A text or a number as a text; nothing of null.

    Raises:
        ValueError: Something else.
    """
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float) or value != value:  # NaN is not itself
        raise ValueError(f"{what} must be one text, got {json.dumps(value)[:80]}")
    return str(value)


def _matched(answer: str, question: str) -> str:
    """The choice that a written answer means, where the question has choices; else the answer."""
    choices = read_choices(question)
    return (parse_answer(answer, choices) if choices else None) or answer.strip()


def _need(names: Any, needed: tuple[str, ...], where: str) -> None:
    missing = [name for name in needed if name not in names]
    if missing:
        raise ValueError(f"{where}: {', '.join(missing)} is missing; it has {', '.join(map(str, names)) or 'nothing'}")


def _json(text: str, where: str, kind: type) -> Any:
    try:
        found = json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{where}: not JSON: {error}") from error
    if not isinstance(found, kind):
        raise ValueError(f"{where}: expected a {kind.__name__}, got {type(found).__name__}")
    return found


def _decoded(data: str, where: str) -> bytes:
    try:
        return base64.b64decode(data.partition(",")[2] if data.startswith("data:") else data, validate=True)
    except binascii.Error as error:
        raise ValueError(f"{where}: the image is not base64 ({error}); expected the bytes of an image file") from error
