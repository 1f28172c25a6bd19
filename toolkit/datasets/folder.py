"""Your own pictures and questions: a folder with ``questions.csv`` or ``questions.jsonl``.

Columns: ``image`` (path inside the folder) and ``question``; optional ``choices`` (a list in JSONL, ``red|blue`` in
CSV), ``answer``, ``id``, ``category`` and ``further_images`` (paths of the images that stand behind the first, a list
in JSONL, ``b.png|c.png`` in CSV); all of them texts. Or one question file of another tool, see
``toolkit.datasets.formats``; ``folder:`` may name that file itself.
"""

from __future__ import annotations

import csv
import difflib
import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path

from PIL import Image

from toolkit.arguments import as_path
from toolkit.datasets.formats import Entry, reader_of
from toolkit.datasets.hub import subset
from toolkit.datasets.image_file import ImageError, ImageSource, decode_image
from toolkit.datasets.load import DatasetRequest
from toolkit.datasets.own_question import load_image_question
from toolkit.datasets.sample import Sample

REQUIRED = ("image", "question")
OPTIONAL = ("choices", "answer", "id", "category", "further_images")
_FILES = ("questions.csv", "questions.jsonl")
_OTHERS = ("metadata.csv", "*.tsv", "*.json", "*.jsonl")
"""Names of other tools' files, which are looked for where there is none of ours."""


def samples(request: DatasetRequest) -> Iterator[Sample]:
    """One sample per line of the question file; every error names the file and the line.

    Raises:
        FileNotFoundError: The folder, its question file or a picture is missing.
        ValueError: A line is not valid.
    """
    named = as_path("the folder", request.name.removeprefix("folder:"))
    listing = named if named.is_file() else _listing(named)
    folder = listing.parent
    lines = _read(listing)
    for index in subset(request, len(lines)):
        number, entry = lines[index]
        try:
            sample = _sample(folder, entry, number, named.name)
        except ImageError as error:
            if request.on_unreadable is None:
                raise ImageError(f"{listing}, line {number}: {error}") from error
            request.on_unreadable(_id(entry, number), str(error))
        except FileNotFoundError as error:
            raise FileNotFoundError(f"{listing}, line {number}: {error}") from error
        except ValueError as error:
            raise ValueError(f"{listing}, line {number}: {error}") from error
        else:
            yield sample


def images_of_samples(request: DatasetRequest) -> list[int]:
    """How many images each sample of the request has, by its question file alone: no image is opened.

    Raises:
        FileNotFoundError: The folder or its question file is missing.
        ValueError: A line is not valid, or more samples are asked for than there are.
    """
    named = as_path("the folder", request.name.removeprefix("folder:"))
    lines = _read(named if named.is_file() else _listing(named))
    found = []
    for number, entry in (lines[i] for i in subset(request, len(lines))):
        try:
            found.append(1 + len(_texts_of(entry, "further_images") or ()))
        except ValueError as error:
            raise ValueError(f"{named}, line {number}: {error}") from error
    return found


def _listing(folder: Path) -> Path:
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {str(folder)!r}")
    found = [folder / name for name in _FILES if (folder / name).is_file()]
    found = found or sorted(path for pattern in _OTHERS for path in folder.glob(pattern))
    if len(found) != 1:
        what = " and ".join(path.name for path in found[:3]) or "none"
        raise FileNotFoundError(
            f"{str(folder)!r} needs one of {' or '.join(_FILES)} (or of {', '.join(_OTHERS)}); there is {what}"
            + ("; name one, folder:FILE" if found else "")
        )
    if not found[0].resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"{str(found[0])!r} is a link out of the folder; put the file itself there")
    return found[0]


def _read(listing: Path) -> list[tuple[int, Entry]]:
    """All lines of the question file with their numbers.

    Raises:
        ValueError: It is not UTF-8, not a table, or a line is not valid.
    """
    lines = []
    try:
        for line in _lines(listing):
            lines.append(line)
    except UnicodeDecodeError as error:
        where = f"byte 0x{error.object[error.start]:02x} at {error.start}"
        raise ValueError(f"{listing} is not UTF-8 text ({where}); save it as UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{listing}, line {len(lines) + 2} is not CSV: {error}") from error
    return lines


def _lines(listing: Path) -> Iterator[tuple[int, Entry]]:
    if listing.name not in _FILES:
        yield from reader_of(listing)(listing)
        return
    if listing.suffix == ".csv":
        with listing.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            _check_header(table.fieldnames or [], f"{listing}, line 1")
            for row in table:
                if None in row or None in row.values():
                    due = len(table.fieldnames or [])
                    there = sum(value is not None for key, value in row.items() if key is not None)
                    there += len(row.get(None) or ())  # where DictReader puts the rest
                    raise ValueError(
                        f"{listing}, line {table.line_num}: got {there} cells, expected {due}; "
                        'put a text that has commas into "quotes"'
                    )
                yield table.line_num, {key: value for key, value in row.items() if value.strip()}
        return
    for number, line in enumerate(listing.read_text(encoding="utf-8-sig").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            entry = json.loads(line)
        except (json.JSONDecodeError, RecursionError) as error:
            raise ValueError(f"{listing}, line {number}: not JSON: {error}; write one object per line") from error
        if not isinstance(entry, dict):
            raise ValueError(f"{listing}, line {number}: expected an object, got {type(entry).__name__}")
        _check_columns(entry, f"{listing}, line {number}")
        _check_texts(entry, f"{listing}, line {number}")
        yield number, entry


def _check_header(names: Sequence[str], where: str) -> None:
    """Refuse a first line that is no list of known columns, each once.

    Raises:
        ValueError: It is divided by something else than commas, or a column is unknown, missing or there twice.
    """
    if len(names) == 1 and (other := next((mark for mark in ";\t" if mark in names[0]), None)):
        raise ValueError(f"{where}: the columns are divided by {other!r}, expected commas; save it with commas")
    twice = [name for i, name in enumerate(names) if name in names[:i]]
    if twice:
        raise ValueError(f"{where}: the column {twice[0]!r} is there twice; keep one of the two")
    _check_columns(names, where)


def _check_columns(names: Collection[str], where: str) -> None:
    known = (*REQUIRED, *OPTIONAL)
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else ""
            raise ValueError(f"{where}: unknown column {name!r}.{hint} Known: {', '.join(known)}")
    missing = [name for name in REQUIRED if name not in names]
    if missing:
        raise ValueError(f"{where}: the columns {', '.join(missing)} are missing")


def _check_texts(entry: Entry, where: str) -> None:
    """Refuse what is no text where a text belongs; JSON has numbers and null, CSV has only texts."""
    for name in (*REQUIRED, "answer", "id", "category"):
        value = entry.get(name)
        if isinstance(value, str) or (value is None and name not in REQUIRED):
            _check_characters(value, f"{where}: {name}")
            continue
        cure = "" if value is None else f'; write "{value}"'
        got = "null" if value is None else json.dumps(value)
        raise ValueError(f"{where}: {name} must be a text, got {got}{cure if isinstance(value, int | float) else ''}")


def _check_characters(value: object, where: str) -> None:
    """Refuse half a character, which JSON can hold and no file, table or tokenizer can.

    Raises:
        ValueError: The text has a lone surrogate.
    """
    try:
        str(value).encode()
    except UnicodeEncodeError as error:
        raise ValueError(f"{where} has half a character (U+{ord(error.object[error.start]):04X}); remove it") from None


def _id(entry: Entry, number: int) -> str:
    return str(entry.get("id") or f"line-{number}")


def _sample(folder: Path, entry: Entry, number: int, name: str) -> Sample:
    images: list[ImageSource] = [_image(folder, entry.get("image", ""))]
    images += [_image(folder, path) for path in _texts_of(entry, "further_images") or ()]
    choices = _texts_of(entry, "choices")
    for choice in choices or ():
        _check_characters(choice, "a choice")
    asked = load_image_question(
        images if len(images) > 1 else images[0],
        str(entry.get("question", "")),
        choices=choices,
        answer=None if entry.get("answer") is None else str(entry["answer"]).strip(),
    )
    return Sample(
        id=_id(entry, number),
        image=asked.image,
        further_images=asked.further_images,
        question=asked.question,
        instruction=asked.instruction,
        choices=asked.choices,
        answer=asked.answer,
        image_id=asked.image_id,
        dataset=f"folder:{name}",
        category=str(entry.get("category") or ""),
    )


def _texts_of(entry: Entry, column: str) -> list[str] | None:
    """A list of texts, which CSV divides by ``|``."""
    found = entry.get(column)
    if isinstance(found, str):
        found = [text.strip() for text in found.split("|")]
    if found is not None and not (isinstance(found, list) and all(isinstance(text, str) for text in found)):
        raise ValueError(f"{column} must be a list of texts, got {found!r}")
    return found


def _image(folder: Path, image: object) -> Path | Image.Image:
    """The image's path, or the image itself where its bytes stand in the question file."""
    if isinstance(image, bytes):
        return decode_image(image, "the image")
    path = folder / str(image)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise ValueError(f"the image {str(image)!r} lies outside the folder")
    return path
