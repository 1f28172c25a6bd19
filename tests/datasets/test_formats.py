"""Question files of other tools become the same samples as our own; what is wrong with them is one sentence."""

from __future__ import annotations

import base64
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import toolkit
from toolkit.datasets import ImageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    for name in ("a.png", "images/7.png"):
        Image.new("RGB", (5, 4), "red").save(tmp_path / name)
    return tmp_path


def load(where: Path, **options: object):
    return toolkit.load_samples(f"folder:{where}", n=None, **options)  # type: ignore[arg-type]


def encoded(colour: str = "red") -> str:
    buffer = io.BytesIO()
    Image.fromarray(np.random.default_rng(len(colour)).integers(0, 255, (40, 50, 3), dtype=np.uint8)).save(
        buffer, "PNG"
    )
    return base64.b64encode(buffer.getvalue()).decode()


def tsv(folder: Path, *rows: dict[str, str]) -> Path:
    names = list(dict.fromkeys(name for row in rows for name in row))
    lines = ["\t".join(names), *("\t".join(row.get(name, "") for name in names) for row in rows)]
    path = folder / "bench.tsv"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def test_an_image_folder_with_metadata(folder: Path) -> None:
    (folder / "metadata.csv").write_text("file_name,question,answer,label\na.png,is it red ?,Yes,3\n")
    [sample] = load(folder)
    assert (sample.question, sample.choices, sample.answer) == ("is it red ?", ("yes", "no"), "yes")
    assert sample.dataset == f"folder:{folder.name}"


def test_a_table_of_vlmevalkit(folder: Path) -> None:
    path = tsv(
        folder,
        {"index": "11", "image": encoded(), "question": "What is it ?", "A": "a dog", "B": "a cat", "C": "nan",
         "answer": "B", "category": "animals", "hint": "Look."},
        {"index": "12", "image": "11", "question": "is it red ?", "answer": "No"},
    )  # fmt: skip
    first, second = load(path)
    assert first.question == "Look.\nWhat is it ?\nA. a dog\nB. a cat"
    assert (first.choices, first.answer, first.id, first.category) == (("A", "B"), "B", "11", "animals")
    assert (second.choices, second.answer) == (("yes", "no"), "no")
    assert first.image.size == (50, 40)
    assert first.image_id == second.image_id
    assert [sample.id for sample in load(folder)] == ["11", "12"]
    assert first.dataset == "folder:bench.tsv"


def test_a_table_with_paths_and_one_that_lacks_a_column(folder: Path) -> None:
    [sample] = load(tsv(folder, {"index": "1", "image_path": "a.png", "question": "what color ?", "answer": "red"}))
    assert (sample.choices, sample.answer) == (None, "red")
    with pytest.raises(ValueError, match=r"bench\.tsv, line 1: index is missing; it has image, question"):
        load(tsv(folder, {"image": encoded(), "question": "what ?"}))
    with pytest.raises(ValueError, match="row 2: the image is not base64"):
        load(tsv(folder, {"index": "1", "image": "?" * 80, "question": "what ?"}))
    broken = base64.b64encode(b"no image" * 20).decode()
    with pytest.raises(ImageError, match="line 2: the image is not a picture of a known format"):
        load(tsv(folder, {"index": "1", "image": broken, "question": "what ?"}))
    skipped: list[str] = []
    table = tsv(folder, {"index": "1", "image": broken, "question": "what ?"}, {"index": "2", "image": encoded(),
                "question": "what ?"})  # fmt: skip
    assert [s.id for s in load(table, on_unreadable=lambda name, reason: skipped.append(name))] == ["2"]
    assert skipped == ["1"]


@pytest.mark.parametrize("form", ["llava", "sharegpt"])
def test_conversations(folder: Path, form: str) -> None:
    asked, answered = "<image>\nIs it red?", "Yes, it is red."
    entry = {
        "llava": {"id": "x1", "image": "a.png", "conversations": [{"from": "human", "value": asked},
                                                                 {"from": "gpt", "value": answered}]},
        "sharegpt": {"images": ["a.png"], "messages": [{"role": "user", "content": asked},
                                                       {"role": "assistant", "content": answered}]},
    }[form]  # fmt: skip
    (folder / "data.json").write_text(json.dumps([entry]))
    [sample] = load(folder)
    assert (sample.question, sample.choices, sample.answer) == ("Is it red?", ("yes", "no"), "yes")
    assert sample.id == ("x1" if form == "llava" else "1")


def test_a_conversation_about_several_images(folder: Path) -> None:
    turns = [{"from": "human", "value": "<image>\n<image>\nAre they alike?"}, {"from": "gpt", "value": "Yes."}]
    entry = {"id": "x1", "images": ["a.png", "images/7.png"], "conversations": turns}
    (folder / "data.json").write_text(json.dumps([entry]))
    [sample] = load(folder)
    assert (sample.question, sample.answer, len(sample.images)) == ("Are they alike?", "yes", 2)
    turns[0]["value"] = "<image> is it like <image>?"
    (folder / "data.json").write_text(json.dumps([entry]))
    with pytest.raises(ValueError, match="entry 1: words stand between"):
        load(folder)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"a": 1}, "expected a list, got dict"),
        ([{"image": "a.png"}], "entry 1: expected an object with conversations"),
        (
            [{"conversations": [{"from": "human", "value": "what?"}]}],
            "entry 1: it has 0 images, expected paths of one or several",
        ),
        ([{"image": "a.png", "conversations": [{"from": "gpt", "value": "red"}]}], "entry 1: nobody asks"),
        ([{"image": "../a.png", "conversations": [{"from": "human", "value": "what?"}]}], "lies outside the folder"),
        ([{"image": "b.png", "conversations": [{"from": "human", "value": "what?"}]}], "there is no picture"),
    ],
)
def test_conversations_that_are_none(folder: Path, content: object, message: str) -> None:
    (folder / "data.json").write_text(json.dumps(content))
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        load(folder)


def test_samples_of_lmms_eval(folder: Path) -> None:
    lines = [{"doc_id": 7, "target": "Yes", "input": "<image>is it red ?", "filtered_resps": ["yes"]}]
    path = folder / "20260101_samples_pope.jsonl"
    path.write_text("\n".join(map(json.dumps, lines)))
    [sample] = load(folder)
    assert (sample.id, sample.question, sample.answer) == ("7", "is it red ?", "yes")
    path.write_text(json.dumps({"doc_id": 8, "target": "4", "doc": {"question": "how many ?"}}))
    with pytest.raises(FileNotFoundError, match=r"line 1: there is no picture .*images/8\.png"):
        load(folder)
    path.write_text(json.dumps({"doc_id": 8, "target": "4"}))
    with pytest.raises(ValueError, match="line 1: it has no question; expected input"):
        load(folder)


NOT_TEXT = [(["a", "b"], r'\["a", "b"\]'), ({"a": 1}, r'\{"a": 1\}'), (True, "true"), (float("nan"), "NaN")]


def write_conversation(folder: Path, entry_id: object, answer: object) -> None:
    turns = [{"from": "human", "value": "what ?"}, {"from": "gpt", "value": answer}]
    (folder / "data.json").write_text(json.dumps([{"id": entry_id, "image": "a.png", "conversations": turns}]))


def write_logged(folder: Path, doc_id: object, target: object) -> None:
    (folder / "logged.jsonl").write_text(json.dumps({"doc_id": doc_id, "target": target, "input": "what ?"}))


@pytest.mark.parametrize("write", [write_conversation, write_logged])
def test_an_answer_of_null_is_none_and_other_values_than_one_text_are_refused(folder: Path, write) -> None:
    write(folder, 7, None)
    assert [(sample.id, sample.answer) for sample in load(folder)] == [("7", None)]
    write(folder, 7, 4)
    assert load(folder)[0].answer == "4"
    for value, found in NOT_TEXT:
        write(folder, 7, value)
        with pytest.raises(ValueError, match=rf"(line|entry) 1: .* must be one text, got {found}"):
            load(folder)


def test_an_identity_of_null_is_the_place_in_the_list_or_refused_where_it_names_an_image(folder: Path) -> None:
    write_conversation(folder, None, "red")
    assert load(folder)[0].id == "1"
    (folder / "data.json").unlink()
    write_logged(folder, None, "red")
    with pytest.raises(ValueError, match="line 1: doc_id is empty; expected the number of the sample"):
        load(folder)


def test_two_files_must_be_told_apart(folder: Path) -> None:
    tsv(folder, {"index": "1", "image_path": "a.png", "question": "what color ?"})
    (folder / "data.json").write_text("[]")
    with pytest.raises(FileNotFoundError, match=r"bench\.tsv and data\.json; name one, folder:FILE"):
        load(folder)
    (folder / "notes.txt").write_text("")
    with pytest.raises(ValueError, match="no file of questions"):
        load(folder / "notes.txt")
