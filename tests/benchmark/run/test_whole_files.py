from __future__ import annotations

import errno
import os
import time

import pytest

from toolkit.benchmark.run.whole_files import FolderError, clean, write_atomically


def test_what_killed_writers_have_left_is_deleted_and_what_writers_hold_is_not(tmp_path):
    (tmp_path / "tables").mkdir()
    dead, alive, old = (tmp_path / f".a.csv.{n}.tmp" for n in (2**22 + 1, os.getpid(), os.getppid()))
    inside, foreign = tmp_path / "tables" / f".b.csv.{2**22 + 1}.tmp", tmp_path / ".mine.tmp"
    for path in (dead, alive, old, inside, foreign):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - 7200,) * 2)
    clean(tmp_path)
    assert [path.exists() for path in (dead, alive, old, inside, foreign)] == [False, True, False, False, True]


def test_atomic_writes_leave_the_old_file_where_they_fail(tmp_path, monkeypatch):
    path = tmp_path / "table.parquet"
    write_atomically(path, b"old")

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(FolderError, match=r"cannot write .*table.parquet"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["table.parquet"]
