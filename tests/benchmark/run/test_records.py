"""Shards lose at most their last line to a crash, and say where any other damage is."""

import errno
import json
import math
import os

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from toolkit.benchmark.run import records
from toolkit.benchmark.run.records import (
    DamagedRecordsError,
    Shard,
    content_key,
    decode,
    encode,
    jsonable,
    read_shard,
    read_shards,
)
from toolkit.benchmark.run.whole_files import FolderError, write_atomically

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(st.dictionaries(st.text().filter(lambda key: key != "crc"), VALUES, min_size=1, max_size=4))
def test_lines_come_back_as_they_went(line):
    data = encode(line)
    assert data.endswith(b"\n")
    assert data.count(b"\n") == 1
    found = decode(data[:-1])
    assert found == line


@given(st.data())
def test_every_flipped_bit_is_noticed(data):
    line = bytearray(encode({"key": "a", "value": 0.25, "words": "ä red circle"})[:-1])
    place = data.draw(st.integers(0, len(line) - 1))
    line[place] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(ValueError, match=r".+"):
        decode(bytes(line))


def make_shard(folder, lines, name="00001-worker0.jsonl", header=None):
    (folder / "shards").mkdir(exist_ok=True)
    path = folder / "shards" / name
    with Shard(path, {"toolkit": "test", **(header or {})}) as shard:
        for line in lines:
            shard.append([line])
    return path


def test_a_torn_last_line_is_left_out_wherever_it_is_torn(tmp_path):
    lines = [{"kind": "record", "key": str(i), "status": "ok"} for i in range(3)]
    path = make_shard(tmp_path, lines)
    whole = path.read_bytes()
    assert list(read_shard(path)) == lines
    start = whole.rstrip(b"\n").rfind(b"\n") + 1
    for end in range(start, len(whole)):
        path.write_bytes(whole[:end])
        assert list(read_shard(path)) == lines[:2]


@pytest.mark.parametrize("number", [1, 2, 3])
def test_other_damage_names_the_line(tmp_path, number):
    path = make_shard(tmp_path, [{"kind": "record", "key": str(i), "status": "ok"} for i in range(3)])
    whole = path.read_bytes().split(b"\n")
    whole[number - 1] = whole[number - 1][:-9] + b"X" + whole[number - 1][-8:]
    path.write_bytes(b"\n".join(whole))
    with pytest.raises(DamagedRecordsError, match=f"00001-worker0.jsonl, line {number} is damaged"):
        list(read_shard(path))


OWNER = records.Owner("test", ("older", "mine"))


def write(content):
    return lambda path: path.write_bytes(content(path.read_bytes()))


def swap(path):
    path.unlink()
    path.mkdir()


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (write(lambda data: data.replace(b"\n", b"\r\n")), "line 1 ends with CR LF: .* change them back to LF"),
        (write(lambda data: b"{}\n" + data), "is not a shard of a benchmark run; move it to another place"),
        (write(lambda data: b"sample,answer\na,b\n"), "is not a shard of a benchmark run; move it"),
        (write(lambda data: data.split(b"\n", 1)[1]), "line 1 is not the header of a shard. Restore the"),
        (write(lambda data: b"{" + data), "line 1 is damaged: its check sum .* Restore the file, or delete it"),
        (write(lambda data: data + encode({"word": 1})), "line 3 is no record; move the file"),
        (write(lambda data: data.replace(b"mine", b"mind")), "line 1 is damaged"),
        (swap, "is not a file; only shards lie there, move it to another place"),
        (lambda path: (path.unlink(), os.mkfifo(path)), "is not a file; only shards lie there"),
    ],
)  # fmt: skip
def test_what_lies_among_the_shards_and_is_none_gets_one_sentence_with_the_cure(tmp_path, damage, said):
    path = make_shard(tmp_path, [{"kind": "record", "key": "a", "status": "ok"}], header={"spec": "mine"})
    assert len(read_shards(tmp_path, OWNER)) == 1
    damage(path)
    with pytest.raises(DamagedRecordsError, match=said) as caught:
        read_shards(tmp_path, OWNER)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        ({"spec": "other"}, "belongs to another run .specification other, here it is mine.; move it back"),
        ({}, "belongs to another run .specification None"),
        ({"spec": "mine", "toolkit": "9.9"}, "was written by toolkit 9.9, the run by test: numbers of two versions"),
    ],
)
def test_a_shard_of_another_run_or_version_is_refused(tmp_path, header, said):
    make_shard(tmp_path, [], "00001-worker0.jsonl", header={"spec": "older"})
    make_shard(tmp_path, [], "00002-worker0.jsonl", header=header)
    with pytest.raises(DamagedRecordsError, match=said):
        records.read_statuses(tmp_path, OWNER)


@pytest.mark.parametrize("content", [b"", b'{"kind":"hea'])
def test_a_shard_that_a_kill_has_left_without_its_header_is_empty(tmp_path, content):
    path = make_shard(tmp_path, [])
    path.write_bytes(content)
    assert read_shards(tmp_path, OWNER) == []


def test_names_reach_the_disk_too(tmp_path, monkeypatch):
    synced = []
    real = os.fsync
    monkeypatch.setattr(
        os, "fsync", lambda handle: synced.append(os.readlink(f"/proc/self/fd/{handle}")) or real(handle)
    )
    make_shard(tmp_path, [])
    assert synced[-1] == str(tmp_path / "shards")
    write_atomically(tmp_path / "table.parquet", b"x")
    assert synced[-1] == str(tmp_path)


def test_records_of_another_schema_say_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setattr(records, "RECORD_SCHEMA", 0)
    path = make_shard(tmp_path, [])
    monkeypatch.undo()
    with pytest.raises(DamagedRecordsError, match=r"schema 0, this toolkit .* reads schema 2: read them with"):
        list(read_shard(path))


def test_of_two_lines_with_one_key_the_successful_one_counts(tmp_path):
    make_shard(tmp_path, [{"key": "a", "status": "failed", "reason": "first"}])
    make_shard(tmp_path, [{"key": "a", "status": "ok", "reason": None}], "00002-worker0.jsonl")
    make_shard(tmp_path, [{"key": "a", "status": "failed", "reason": "later"}], "00003-worker0.jsonl")
    assert [line["status"] for line in read_shards(tmp_path)] == ["ok"]


def test_a_shard_never_overwrites(tmp_path):
    make_shard(tmp_path, [])
    with pytest.raises(FolderError, match="File exists"):
        make_shard(tmp_path, [])


def test_a_full_disk_leaves_whole_lines_behind(tmp_path, monkeypatch):
    """Half of the line reaches the disk, then there is no space: the half is taken back."""
    (tmp_path / "shards").mkdir()
    path = tmp_path / "shards" / "00001-worker0.jsonl"
    shard = Shard(path, {})
    shard.append([{"key": "a", "status": "ok"}])
    before = path.read_bytes()
    file, written = shard._file, []

    class Full:
        def write(self, view):
            if written:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            written.append(file.write(bytes(view[:7])))
            return 7

        tell, truncate, fileno, close = file.tell, file.truncate, file.fileno, file.close

    monkeypatch.setattr(shard, "_file", Full())
    with pytest.raises(FolderError, match="the disk is full") as caught:
        shard.append([{"key": "b", "status": "ok"}])
    assert caught.value.errno == errno.ENOSPC
    assert path.read_bytes() == before
    shard.close()


def test_content_keys_do_not_depend_on_order():
    assert content_key({"a": 1, "b": [2]}) == content_key({"b": [2], "a": 1})
    assert content_key({"a": 1}) != content_key({"a": 2})


def test_jsonable_keeps_numbers_and_marks_what_is_none():
    found = jsonable({"a": np.array([0.1, math.nan]), "b": (np.float64(2.5), np.int64(3)), "c": {"d": math.inf}})
    assert found == {"a": [0.1, None], "b": [2.5, 3], "c": {"d": None}}
    assert json.loads(json.dumps(found)) == found
