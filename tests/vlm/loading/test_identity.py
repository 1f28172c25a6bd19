"""A checkpoint is known by exactly the files that decide its numbers, and there is one checkpoint in a folder."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest
from safetensors.torch import load_file, save_file

from toolkit.paths import models_dir
from toolkit.vlm.loading import digests
from toolkit.vlm.loading.checkpoint import CheckpointError, check_folder
from toolkit.vlm.loading.digests import changed_files, file_digests, listed, whole_digest
from toolkit.vlm.loading.load_checkpoint import load_vlm
from toolkit.vlm.loading.sources import identity_of


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A checkpoint to change; its seal would refuse any change."""
    copied = Path(shutil.copytree(models_dir() / "tiny-llava-grounded", tmp_path / "copy"))
    (copied / "SHA256SUMS").unlink()
    return copied


def shard(folder: Path, n: int) -> None:
    """Write the weights once more as ``n`` shards with their index."""
    weights = load_file(folder / "model.safetensors")
    names = sorted(weights)
    where = {name: f"model-{i % n + 1:05d}-of-{n:05d}.safetensors" for i, name in enumerate(names)}
    for file in set(where.values()):
        save_file({name: weights[name] for name in names if where[name] == file}, folder / file, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))


def edit_json(path: Path, **changes: object) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize(
    "name",
    ["config.json", "generation_config.json", "processor_config.json", "tokenizer.json", "tokenizer_config.json"],
)
def test_every_file_of_settings_counts(folder: Path, name: str) -> None:
    before = check_folder(folder).digests()
    edit_json(folder / name, something=1)
    after = check_folder(folder)
    assert whole_digest(before) != after.digest
    assert changed_files(listed(before), listed(after.digests())) == [name]


@pytest.mark.parametrize("name", ["chat_template.jinja", "model.safetensors"])
def test_every_other_file_that_decides_counts(folder: Path, name: str) -> None:
    before = check_folder(folder).digests()
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).write_bytes(bytes(content))
    after = check_folder(folder).digests()
    assert [file for file in before if before[file] != after[file]] == [name]


def test_a_file_that_appears_counts_and_papers_do_not(folder: Path) -> None:
    before = check_folder(folder).digest
    for paper in ("README.md", "evaluation.json", "notes.txt", "video_preprocessor_config.json"):
        (folder / paper).write_text("{}")
    assert check_folder(folder).digest == before
    (folder / "special_tokens_map.json").write_text("{}")
    assert check_folder(folder).digest != before


def test_the_digest_is_that_of_the_weights_that_are_read(folder: Path) -> None:
    values = load_file(folder / "model.safetensors")
    shard(folder, 2)
    (folder / "model.safetensors").unlink()
    assert {name for name in check_folder(folder).files if name.startswith("model")} == {
        "model.safetensors.index.json",
        "model-00001-of-00002.safetensors",
        "model-00002-of-00002.safetensors",
    }
    loaded = load_vlm(folder, device="cpu").model.lm_head.weight
    assert (loaded == next(value for name, value in values.items() if name.endswith("lm_head.weight"))).all()


def test_two_sets_of_weights_are_refused_by_name(folder: Path) -> None:
    shard(folder, 2)
    with pytest.raises(
        CheckpointError, match=r"two sets of weights: model.safetensors.index.json and, beside it, model"
    ):
        load_vlm(folder)
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(CheckpointError, match=r"model.safetensors and, beside it, model-00001-of-00002.* and 1 more"):
        load_vlm(folder)


def test_shards_that_an_older_copy_left_are_refused(folder: Path) -> None:
    shard(folder, 2)
    (folder / "model.safetensors").unlink()
    shutil.copy(folder / "model-00001-of-00002.safetensors", folder / "model-00003-of-00003.safetensors")
    with pytest.raises(CheckpointError, match=r"beside it, model-00003-of-00003.safetensors; delete the set"):
        load_vlm(folder)


def test_half_a_copy_names_what_is_missing(folder: Path) -> None:
    shard(folder, 3)
    (folder / "model.safetensors").unlink()
    (folder / "model-00002-of-00003.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks model-00002-of-00003.safetensors"):
        load_vlm(folder)


def test_an_index_does_not_lead_out_of_its_folder(folder: Path) -> None:
    shard(folder, 2)
    (folder / "model.safetensors").unlink()
    index = folder / "model.safetensors.index.json"
    shutil.move(folder / "model-00001-of-00002.safetensors", folder.parent / "outside.safetensors")
    index.write_text(index.read_text().replace("model-00001-of-00002", "../outside"))
    with pytest.raises(CheckpointError, match=r"lacks \.\./outside.safetensors"):
        load_vlm(folder)


def test_a_large_file_is_known_again_by_place_size_time_and_inode_and_read_again_on_demand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digests, "CHUNK", 1000)
    file = tmp_path / "large"
    file.write_bytes(bytes(5000))
    about = file.stat()
    old = about.st_mtime_ns - 10**10
    os.utime(file, ns=(old, old))
    first = file_digests(tmp_path, ["large"])
    with file.open("r+b") as written:
        written.write(b"x")
    os.utime(file, ns=(old, old))
    assert file.stat().st_ino == about.st_ino
    assert file_digests(tmp_path, ["large"]) == first
    assert file_digests(tmp_path, ["large"], verify=True) != first
    assert file_digests(tmp_path, ["large"]) != first


@pytest.mark.parametrize("change", ["time", "size", "inode"])
def test_a_large_file_that_was_touched_is_read_again(tmp_path: Path, monkeypatch, change: str) -> None:
    monkeypatch.setattr(digests, "CHUNK", 1000)
    file, old = tmp_path / "large", 1_700_000_000 * 10**9
    file.write_bytes(bytes(5000))
    os.utime(file, ns=(old, old))
    first = file_digests(tmp_path, ["large"])["large"]
    other = b"x" + bytes(5000 if change == "size" else 4999)
    if change == "inode":
        (tmp_path / "new").write_bytes(other)
        os.replace(tmp_path / "new", file)
    else:
        file.write_bytes(other)
    now = old + 1 if change == "time" else old
    os.utime(file, ns=(now, now))
    assert file_digests(tmp_path, ["large"])["large"] != first


def test_a_file_that_was_just_written_is_not_remembered(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(digests, "CHUNK", 1000)
    file = tmp_path / "large"
    file.write_bytes(bytes(5000))
    about = file.stat()
    first = file_digests(tmp_path, ["large"])
    with file.open("r+b") as written:
        written.write(b"x")
    os.utime(file, ns=(about.st_mtime_ns, about.st_mtime_ns))
    assert file_digests(tmp_path, ["large"]) != first


def test_blocks_and_threads_do_not_show(tmp_path: Path) -> None:
    """A digest is a function of the bytes, and any byte counts."""
    (tmp_path / "a").write_bytes(bytes(3 << 20))
    (tmp_path / "b").write_bytes(bytes(3 << 20))
    (tmp_path / "c").write_bytes(bytes(3 << 20) + b"\0")
    (tmp_path / "d").write_bytes(b"")
    found = file_digests(tmp_path, ["a", "b", "c", "d"])
    assert found["a"] == found["b"]
    assert len(set(found.values())) == 3


def test_a_folder_is_identified_by_file_and_a_hub_model_by_its_commit(folder: Path) -> None:
    assert identity_of(str(folder)) == listed(check_folder(folder).digests())
    assert identity_of("somebody/something-hf", "a" * 40) == "commit " + "a" * 40
