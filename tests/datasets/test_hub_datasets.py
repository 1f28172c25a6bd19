"""RePOPE, CV-Bench and MMStar from small parquet files with the published columns and types; no network."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from support.hub_cache import COMMIT, put_into_cache, use_cache

import toolkit
from toolkit.datasets import DATASETS, ImageError
from toolkit.datasets.hub import DatasetUnavailableError, unpinned_note
from toolkit.datasets.letters import LETTERS


@pytest.fixture(autouse=True)
def _own_cache(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path_factory.mktemp("datasets"))


def png(colour: str, mode: str = "RGB") -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (8, 6), colour).convert(mode).save(buffer, "PNG")
    return buffer.getvalue()


def write(path: Path, rows: list[dict[str, Any]], features: datasets.Features) -> None:
    datasets.Dataset.from_list(rows, features=features).to_parquet(path)


@pytest.fixture
def repope(tmp_path: Path) -> Path:
    """The struct of bytes and path has no feature type, as on the hub."""
    rows = []
    for number, colour in enumerate(("red", "blue"), start=1):
        for category in ("random", "popular", "adversarial"):
            for thing, answer in (("dog", "yes"), (f"{category} cat", "no")):
                rows.append(
                    {
                        "image": {"bytes": png(colour), "path": f"{number}.png"},
                        "image_id": f"{number:012d}",
                        "question": f"Is there a {thing} in the image?",
                        "answer": answer,
                        "category": category,
                    }
                )
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "repope-00000-of-00001.parquet")
    return tmp_path


@pytest.fixture
def cv_bench(tmp_path: Path) -> Path:
    text = datasets.Value("string")
    features = datasets.Features(
        {
            "idx": datasets.Value("int64"),
            "type": text,
            "task": text,
            "image": datasets.Image(),
            "question": text,
            "choices": datasets.List(text),
            "answer": text,
            "prompt": text,
            "filename": text,
            "source": text,
            "source_dataset": text,
            "source_filename": text,
            "target_class": text,
            "target_size": datasets.Value("int64"),
            "bbox": datasets.List(datasets.List(datasets.Value("float64"))),
        }
    )
    for kind, task, choices, answer in (
        ("2D", "Count", ["3", "2", "1", "0"], "(C)"),
        ("3D", "Depth", ["table", "chair"], "(A)"),
    ):
        listed = " ".join(f"({letter}) {choice}" for letter, choice in zip("ABCD", choices, strict=False))
        row = {name: None for name in features} | {
            "idx": 7,
            "type": kind,
            "task": task,
            "image": {"bytes": png("green"), "path": None},
            "question": "Which one?",
            "choices": choices,
            "answer": answer,
            "prompt": f"Which one? Select from the following choices.\n{listed}",
        }
        write(tmp_path / f"test_{kind.lower()}.parquet", [row], features)
    return tmp_path


MMSTAR_FEATURES = datasets.Features(
    {
        "index": datasets.Value("int64"),
        "question": datasets.Value("string"),
        "image": datasets.Image(),
        "answer": datasets.Value("string"),
        "category": datasets.Value("string"),
        "l2_category": datasets.Value("string"),
        "meta_info": {name: datasets.Value("string") for name in ("source", "split", "image_path")},
    }
)


def mmstar_row(index: int, **changes: Any) -> dict[str, Any]:
    return {
        "index": index,
        "question": f"Which relation ({index})?\nOptions: A: on the book., B: beneath, C: beside, D: inside",
        "image": {"bytes": png("red", "L"), "path": None},
        "answer": "B",
        "category": "coarse perception",
        "l2_category": "image scene and topic",
        "meta_info": {"source": "MMBench", "split": "val", "image_path": "a.png"},
    } | changes


@pytest.fixture
def mmstar(tmp_path: Path) -> Path:
    write(tmp_path / "mmstar.parquet", [mmstar_row(index) for index in range(12)], MMSTAR_FEATURES)
    return tmp_path


def test_repope_union_has_no_question_twice(repope: Path) -> None:
    samples = toolkit.load_samples("repope", n=None, source=repope)
    asked = [(sample.image_id, sample.question) for sample in samples]
    assert len(asked) == len(set(asked)) == 8  # dog once and three cats, on two pictures
    assert samples[0].question == "Is there a dog in the image?"
    assert (samples[0].choices, samples[0].answer) == (("yes", "no"), "yes")
    assert samples[0].instruction == "Answer the question using a single word or phrase."
    assert samples[0].image.mode == "RGB"
    assert samples[0].image.getpixel((0, 0)) == (255, 0, 0)


def test_repope_subset(repope: Path) -> None:
    samples = toolkit.load_samples("repope-popular", n=None, source=repope)
    assert {sample.category for sample in samples} == {"popular"}
    assert len(samples) == 4
    union = {sample.id for sample in toolkit.load_samples("repope", n=None, source=repope)}
    assert {sample.id for sample in samples} <= union


def test_cv_bench_asks_the_datasets_prompt(cv_bench: Path) -> None:
    two, three = toolkit.load_samples("cv-bench", n=None, source=cv_bench)
    assert two.question == "Which one? Select from the following choices.\n(A) 3 (B) 2 (C) 1 (D) 0"
    assert (two.choices, two.answer, two.category) == (("A", "B", "C", "D"), "C", "Count")
    assert (three.choices, three.answer) == (("A", "B"), "A")
    note = "Note: You only need to respond with {} without providing any additional information.\n\n{{question}}"
    assert (two.instruction, three.instruction) == (note.format("A, B, C, D"), note.format("A, B"))
    assert (two.id, three.id) == ("cv-bench-2D-7", "cv-bench-3D-7")
    assert two.image_id == three.image_id  # the same picture is one cluster


def test_mmstar(mmstar: Path) -> None:
    sample = toolkit.load_samples("mmstar", n=None, source=mmstar)[3]
    assert sample.id == "mmstar-3"
    assert (sample.choices, sample.answer, sample.category) == (("A", "B", "C", "D"), "B", "coarse perception")
    assert sample.image.mode == "RGB"
    assert sample.instruction == "Answer with the option's letter from the given choices directly"


def repope_file(folder: Path, **changes: Any) -> Path:
    row = {
        "image": {"bytes": png("red"), "path": None},
        "image_id": "7",
        "question": "Is it?",
        "answer": "yes",
        "category": "random",
    }
    pq.write_table(pa.Table.from_pylist([row | changes]), folder / "repope.parquet")
    return folder


@pytest.mark.parametrize("answer", ["Yes.", " YES ", "yes", '"Yes"\n'])
def test_a_yes_is_a_yes_however_it_is_written(tmp_path: Path, answer: str) -> None:
    (sample,) = toolkit.load_samples("repope", n=None, source=repope_file(tmp_path, answer=answer))
    assert sample.answer == "yes"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": "maybe"}, r"repope-7-[0-9a-f]{8}: the answer is 'maybe'; expected yes or no"),
        ({"answer": None}, r"repope-7-[0-9a-f]{8}: the answer is None; expected a text"),
        ({"answer": 1}, r"repope-7-[0-9a-f]{8}: the answer is 1; expected a text"),
        ({"question": None}, "repope-7: the question is None; expected a text"),
        ({"question": " "}, "repope-7: the question is ' '; expected a text"),
    ],
)
def test_a_row_that_is_no_question_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        toolkit.load_samples("repope", n=None, source=repope_file(tmp_path, **changes))


def test_ten_options_are_ten_letters(tmp_path: Path) -> None:
    question = "Which one?\n" + "\n".join(f"{letter}. thing {n}" for n, letter in enumerate(LETTERS[:10]))
    write(tmp_path / "mmstar.parquet", [mmstar_row(0, question=question, answer="J")], MMSTAR_FEATURES)
    (sample,) = toolkit.load_samples("mmstar", n=None, source=tmp_path)
    assert (sample.choices, sample.answer) == (tuple(LETTERS[:10]), "J")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"answer": "E"}, r"mmstar-0: the answer 'E' is none of the letters \('A', 'B', 'C', 'D'\)"),
        ({"question": None}, "mmstar-0: the question is None; expected a text"),
    ],
)
def test_a_bad_row_of_mmstar_is_named(tmp_path: Path, changes: dict[str, Any], message: str) -> None:
    write(tmp_path / "mmstar.parquet", [mmstar_row(0, **changes)], MMSTAR_FEATURES)
    with pytest.raises(ValueError, match=message):
        toolkit.load_samples("mmstar", n=None, source=tmp_path)


@pytest.mark.parametrize("n", [1, 27])
def test_cv_bench_with_too_few_or_too_many_options_is_named(cv_bench: Path, n: int) -> None:
    row = pq.read_table(cv_bench / "test_2d.parquet").to_pylist()[0] | {"choices": ["x"] * n}
    features = datasets.Features.from_arrow_schema(pq.read_schema(cv_bench / "test_2d.parquet"))
    write(cv_bench / "test_2d.parquet", [row], features)
    with pytest.raises(ValueError, match=rf"cv-bench-2D-7 has {n} options; expected 2 to 26"):
        toolkit.load_samples("cv-bench", n=None, source=cv_bench)


@pytest.mark.parametrize("question", ["Which of A or B?", "Which one?\nA: left B: right"])
def test_mmstar_options_that_cannot_be_read_are_the_four_letters(tmp_path: Path, question: str) -> None:
    row = mmstar_row(0, question=question, answer="D")
    write(tmp_path / "mmstar.parquet", [row], MMSTAR_FEATURES)
    (sample,) = toolkit.load_samples("mmstar", n=None, source=tmp_path)
    assert sample.choices == ("A", "B", "C", "D")


def test_a_subset_is_seeded_and_keeps_the_order(mmstar: Path) -> None:
    def chosen(seed: int) -> list[int]:
        samples = toolkit.load_samples("mmstar", n=4, seed=seed, source=mmstar)
        return [int(sample.id.removeprefix("mmstar-")) for sample in samples]

    assert chosen(0) == chosen(0) == sorted(chosen(0))
    assert chosen(0) != chosen(1)
    assert len(set(chosen(0))) == 4


def test_more_samples_than_there_are(mmstar: Path) -> None:
    with pytest.raises(ValueError, match="mmstar has 12 samples, 13 were asked for"):
        toolkit.load_samples("mmstar", n=13, source=mmstar)


def test_unreadable_picture_raises_or_is_reported(tmp_path: Path) -> None:
    rows = [mmstar_row(0), mmstar_row(1, image={"bytes": png("red")[:40], "path": None})]
    write(tmp_path / "mmstar.parquet", rows, MMSTAR_FEATURES)
    with pytest.raises(ImageError, match="mmstar-1"):
        toolkit.load_samples("mmstar", n=None, source=tmp_path)
    reported: dict[str, str] = {}
    samples = toolkit.load_samples("mmstar", n=None, source=tmp_path, on_unreadable=reported.__setitem__)
    assert [sample.id for sample in samples] == ["mmstar-0"]
    assert list(reported) == ["mmstar-1"]


def test_missing_picture_is_reported(tmp_path: Path) -> None:
    write(tmp_path / "mmstar.parquet", [mmstar_row(0, image=None), mmstar_row(1)], MMSTAR_FEATURES)
    reported: dict[str, str] = {}
    toolkit.load_samples("mmstar", n=None, source=tmp_path, on_unreadable=reported.__setitem__)
    assert reported == {"mmstar-0": "mmstar-0 has no picture"}


def test_double_ids_are_refused(tmp_path: Path) -> None:
    write(tmp_path / "mmstar.parquet", [mmstar_row(5), mmstar_row(5)], MMSTAR_FEATURES)
    with pytest.raises(ValueError, match="two samples with the id 'mmstar-5'"):
        toolkit.load_samples("mmstar", n=None, source=tmp_path)


def test_missing_column_is_named(mmstar: Path) -> None:
    with pytest.raises(ValueError, match=r"cv-bench lacks the columns \['idx', 'type', 'task', 'choices', 'prompt'\]"):
        toolkit.load_samples("cv-bench", source=mmstar)


def test_local_copy_without_parquet(tmp_path: Path) -> None:
    with pytest.raises(DatasetUnavailableError, match="no parquet file of mmstar"):
        toolkit.load_samples("mmstar", source=tmp_path)
    with pytest.raises(DatasetUnavailableError, match="not a folder"):
        toolkit.load_samples("mmstar", source=tmp_path / "gone")


@pytest.fixture
def hub_cache(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """An empty hub cache, and no network."""
    cache = tmp_path / "cache"
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub._snapshot_download.constants.HF_HUB_CACHE", str(cache))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    return cache


def test_neither_cached_nor_reachable(hub_cache: Path) -> None:
    with pytest.raises(DatasetUnavailableError, match=r"mmstar \(Lin-Chen/MMStar, revision bc98d668.*neither cached"):
        toolkit.load_samples("mmstar")


def test_cached_at_the_pinned_revision_needs_no_network(hub_cache: Path, mmstar: Path) -> None:
    snapshot = hub_cache / "datasets--Lin-Chen--MMStar" / "snapshots" / DATASETS["mmstar"].revision
    snapshot.mkdir(parents=True)
    (mmstar / "mmstar.parquet").rename(snapshot / "mmstar.parquet")
    assert len(toolkit.load_samples("mmstar", n=None)) == 12
    other = "0" * 40
    with pytest.raises(DatasetUnavailableError, match=other):
        toolkit.load_samples("mmstar", revision=other)


def test_pinned_revisions_are_commits() -> None:
    pinned = [DATASETS[name].revision for name in DATASETS if DATASETS[name].revision]
    assert len(pinned) >= 2
    assert all(len(revision) == 40 and set(revision) <= set("0123456789abcdef") for revision in pinned)


def test_streaming_takes_the_first_of_a_shuffled_buffer(mmstar: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The network is replaced by the fixture; the streaming path is the real one."""
    files = [str(mmstar / "mmstar.parquet")]
    monkeypatch.setattr("toolkit.datasets.hub._remote_files", lambda request: files)
    samples = toolkit.load_samples("mmstar", n=5, streaming=True)
    assert len({np.asarray(sample.image).shape for sample in samples}) == 1
    assert len({sample.id for sample in samples}) == 5


@pytest.mark.parametrize("name", ["repope", "cv-bench", "mmstar"])
def test_a_cached_dataset_is_read_at_its_commit_and_is_that_of_the_folder(
    name: str, request: pytest.FixtureRequest, tmp_path_factory, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, apart = request.getfixturevalue(name.replace("-", "_")), tmp_path_factory.mktemp("hub")
    use_cache(monkeypatch, apart / "hub")
    pinned = DATASETS[name].revision or COMMIT
    put_into_cache(apart / "hub", folder_of(folder, apart), DATASETS[name].origin, kind="datasets", commit=pinned)
    found, local = (toolkit.load_samples(name, n=None, **where) for where in ({}, {"source": folder}))
    assert [sample.id for sample in found] == [sample.id for sample in local]
    assert found[0].image.tobytes() == local[0].image.tobytes()
    with pytest.raises(DatasetUnavailableError, match="neither cached nor reachable"):
        toolkit.load_samples(name, n=None, revision="e" * 40)
    note = unpinned_note(name, None)
    assert (note is None) == (name != "repope")
    assert note is None or f"--revision repope={COMMIT}" in note
    assert unpinned_note(name, "e" * 40) is None


def folder_of(parquet: Path, apart: Path) -> Path:
    """The parquet files alone, as a repository has them."""
    place = apart / "repository" / "data"
    place.mkdir(parents=True)
    for file in parquet.glob("*.parquet"):
        (place / file.name).write_bytes(file.read_bytes())
    return place.parent
