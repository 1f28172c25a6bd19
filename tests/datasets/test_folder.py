"""Your own folder of pictures and questions; every error names the file and the line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from PIL import Image

import toolkit
from toolkit.datasets import ImageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.png"):
        Image.new("RGB", (5, 4), "red" if name == "a.png" else "blue").save(tmp_path / name)
    return tmp_path


def load(folder: Path, n: int | None = None, **options: object):
    return toolkit.load_samples(f"folder:{folder}", n=n, **options)  # type: ignore[arg-type]


def csv(folder: Path, *lines: str, header: str = "image,question,choices,answer") -> None:
    (folder / "questions.csv").write_text("\n".join([header, *lines]) + "\n", encoding="utf-8")


def test_csv(folder: Path) -> None:
    csv(folder, "a.png,is it red ?,,yes", 'b.png,"what color, please ?",red | blue,blue')
    first, second = load(folder)
    assert (first.choices, first.answer, first.id) == (("yes", "no"), "yes", "line-2")
    assert (second.question, second.choices, second.answer) == ("what color, please ?", ("red", "blue"), "blue")
    assert second.dataset == f"folder:{folder.name}"
    assert first.image_id != second.image_id


def test_further_images(folder: Path) -> None:
    Image.new("RGB", (9, 3), "green").save(folder / "c.png")
    header = "image,further_images,question"
    csv(folder, "a.png,b.png|c.png,are they alike ?", "a.png,,is it red ?", header=header)
    several, one = load(folder)
    assert [image.size for image in several.images] == [(5, 4), (5, 4), (9, 3)]
    assert [image.getpixel((0, 0)) for image in several.images] == [(255, 0, 0), (0, 0, 255), (0, 128, 0)]
    assert one.further_images == ()
    assert several.image_id != one.image_id
    (folder / "questions.csv").unlink()
    entry = {"image": "b.png", "further_images": ["a.png"], "question": "<image>\n<image> are they alike ?"}
    (folder / "questions.jsonl").write_text(json.dumps(entry))
    (listed,) = load(folder)
    assert listed.question == "are they alike ?"
    assert [image.getpixel((0, 0)) for image in listed.images] == [(0, 0, 255), (255, 0, 0)]


@pytest.mark.parametrize(
    ("further", "question", "message"),
    [
        (["c.png"], "is it ?", r"line 1: image 2 of 2: there is no picture '.*c\.png'"),
        (["../a.png"], "is it ?", r"line 1: the image '../a\.png' lies outside the folder"),
        ([3], "is it ?", r"line 1: further_images must be a list of texts, got \[3\]"),
        (["b.png"], "<image> is it ?", "line 1: the question has 1 <image> and there are 2 images; write one for each"),
        (["b.png"], "<image> or <image> ?", "line 1: words stand between or before the <image> of the question"),
    ],
)
def test_further_images_that_do_not_fit_say_why(folder: Path, further: list, question: str, message: str) -> None:
    entry = {"image": "a.png", "further_images": further, "question": question}
    (folder / "questions.jsonl").write_text(json.dumps(entry))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load(folder)


def test_csv_of_a_spreadsheet_with_byte_order_mark(folder: Path) -> None:
    (folder / "questions.csv").write_text("image,question\na.png,is it red ?\n", encoding="utf-8-sig")
    assert load(folder)[0].question == "is it red ?"


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("image;question", "line 1: the columns are divided by ';', expected commas"),
        ("image\tquestion", r"line 1: the columns are divided by '\\t', expected commas"),
        ("image,question,question", "line 1: the column 'question' is there twice; keep one of the two"),
    ],
)
def test_a_header_that_is_no_list_of_columns_says_why(folder: Path, header: str, message: str) -> None:
    csv(folder, "a.png,is it red ?,is it blue ?", header=header)
    with pytest.raises(ValueError, match=message):
        load(folder)


def test_jsonl(folder: Path) -> None:
    entries = [
        {"image": "a.png", "question": "is it red ?", "id": "x", "category": "colour"},
        {"image": "b.png", "question": "what color ?", "choices": ["red", "blue"], "answer": "blue"},
    ]
    (folder / "questions.jsonl").write_text("\n\n".join(map(json.dumps, entries)))
    first, second = load(folder)
    assert (first.id, first.category, first.answer) == ("x", "colour", None)
    assert (second.choices, second.id) == (("red", "blue"), "line-3")


def test_a_seeded_subset(folder: Path) -> None:
    csv(folder, *(f"a.png,is it {word} ?,," for word in "one two three four five six".split()))
    assert len(load(folder, n=3)) == 3
    with pytest.raises(ValueError, match="has 6 samples, 7 were asked for"):
        load(folder, n=7)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("gone.png,is it ?,,", r"questions\.csv, line 2: there is no picture"),
        ("a.png,,,", r"line 2: the question is empty"),
        ("a.png,what ?,red|blue,green", "line 2: the answer 'green' is not among"),
        ("a.png,what ?,red,", "line 2: choices must be at least two"),
        ("../a.png,is it ?,,", "line 2: the image '../a.png' lies outside the folder"),
        ("a.png,is it ?", "questions.csv, line 2: got 2 cells, expected 4"),
        ("a.png,is it ?,,,more", 'line 2: got 5 cells, expected 4; put a text that has commas into "quotes"'),
    ],
)
def test_a_bad_line_is_named(folder: Path, line: str, message: str) -> None:
    csv(folder, line)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load(folder)


def test_unreadable_picture_raises_or_is_reported(folder: Path) -> None:
    (folder / "bad.png").write_bytes(b"no picture")
    csv(folder, "bad.png,is it ?,,", "a.png,is it ?,,")
    with pytest.raises(ImageError, match=r"line 2: .*bad\.png"):
        load(folder)
    reported: dict[str, str] = {}
    assert len(load(folder, on_unreadable=reported.__setitem__)) == 1
    assert list(reported) == ["line-2"]


def test_unknown_column_is_suggested(folder: Path) -> None:
    csv(folder, "a.png,is it ?,yes", header="image,question,anwser")
    with pytest.raises(ValueError, match="unknown column 'anwser'. Did you mean 'answer'"):
        load(folder)


def test_missing_column(folder: Path) -> None:
    csv(folder, "a.png", header="image")
    with pytest.raises(ValueError, match="line 1: the columns question are missing"):
        load(folder)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "line 1: not JSON"),
        ("[1]", "line 1: expected an object, got list"),
        ('{"image": "a.png", "question": "is it ?", "choices": 3}', "line 1: choices must be a list of texts, got 3"),
        ('{"image": "a.png", "question": "?", "choices": [1, 2]}', r"line 1: choices must be a list of texts, got \[1"),
        ('{"image": "a.png", "question": null}', r"questions\.jsonl, line 1: question must be a text, got null$"),
        ('{"image": null, "question": "is it ?"}', "line 1: image must be a text, got null"),
        ('{"image": "a.png", "question": 3}', 'line 1: question must be a text, got 3; write "3"'),
        ('{"image": "a.png", "question": ["a"]}', r"line 1: question must be a text, got \[\"a\"\]"),
        ('{"image": "a.png", "question": "is it ?", "answer": 3}', 'line 1: answer must be a text, got 3; write "3"'),
        ('{"image": "a.png", "question": "is it ?", "id": 3}', "line 1: id must be a text, got 3"),
        ('{"image": "a.png", "question": "is it ?", "category": 3}', "line 1: category must be a text, got 3"),
    ],
)
def test_bad_jsonl(folder: Path, text: str, message: str) -> None:
    (folder / "questions.jsonl").write_text(text)
    with pytest.raises(ValueError, match=message):
        load(folder)


def test_what_is_left_out_may_be_null(folder: Path) -> None:
    entry = {"image": "a.png", "question": "is it ?", "answer": None, "id": None, "category": None, "choices": None}
    (folder / "questions.jsonl").write_text(json.dumps(entry))
    (sample,) = load(folder)
    assert (sample.id, sample.answer, sample.category, sample.choices) == ("line-1", None, "", ("yes", "no"))


def test_a_listing_in_another_encoding_is_named(folder: Path) -> None:
    (folder / "questions.csv").write_bytes("image,question\na.png,caf\u00e9 ?\n".encode("latin-1"))
    with pytest.raises(ValueError, match=r"questions\.csv is not UTF-8 text \(byte 0xe9 at 24\); save it as UTF-8"):
        load(folder)


def test_a_listing_that_is_no_table_is_named(folder: Path) -> None:
    (folder / "questions.csv").write_text("image,question\na.png," + "x" * 200_000 + "\n")
    with pytest.raises(ValueError, match=r"questions\.csv, line 2 is not CSV: field larger than field limit"):
        load(folder)


def test_double_ids(folder: Path) -> None:
    csv(folder, "a.png,is it ?,x", "b.png,is it ?,x", header="image,question,id")
    with pytest.raises(ValueError, match="two samples with the id 'x'"):
        load(folder)


def test_no_questions(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match="there is none"):
        load(folder)
    csv(folder)
    with pytest.raises(ValueError, match="has no samples"):
        load(folder)
    (folder / "questions.jsonl").write_text("")
    with pytest.raises(FileNotFoundError, match="there is questions.csv and questions.jsonl; name one"):
        load(folder)
    with pytest.raises(FileNotFoundError, match="no folder"):
        load(folder / "gone")


@pytest.mark.parametrize("name", ["id", "category", "answer", "question"])
def test_half_a_character_is_refused_where_it_stands(folder: Path, name: str) -> None:
    entry = {"image": "a.png", "question": "is it red ?", name: "x\ud800"}
    (folder / "questions.jsonl").write_text(json.dumps(entry) + "\n")
    with pytest.raises(ValueError, match=rf"line 1: {name} has half a character \(U\+D800\); remove it"):
        load(folder)


def test_half_a_character_among_the_choices_is_refused(folder: Path) -> None:
    entry = {"image": "a.png", "question": "is it red ?", "choices": ["x", "\ud800"]}
    (folder / "questions.jsonl").write_text(json.dumps(entry) + "\n")
    with pytest.raises(ValueError, match=r"line 1: a choice has half a character \(U\+D800\); remove it"):
        load(folder)


def test_lines_nested_without_end_are_named(folder: Path) -> None:
    (folder / "questions.jsonl").write_text("[" * 100_000 + "\n")
    with pytest.raises(ValueError, match="line 1: not JSON"):
        load(folder)


def test_a_listing_that_is_a_link_out_of_the_folder_is_not_read(folder: Path, tmp_path_factory) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere") / "secret.csv"
    elsewhere.write_text("user,password\n")
    (folder / "questions.csv").symlink_to(elsewhere)
    with pytest.raises(ValueError, match="is a link out of the folder; put the file itself there") as caught:
        load(folder)
    assert "password" not in str(caught.value)


def test_an_image_that_is_a_pipe_is_not_waited_for(folder: Path) -> None:
    os.mkfifo(folder / "pipe.png")
    csv(folder, "pipe.png,is it red ?", header="image,question")
    with pytest.raises(ValueError, match="line 2: .*pipe.png' is a pipe or a device"):
        load(folder)
