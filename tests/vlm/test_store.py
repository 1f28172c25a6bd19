"""The store answers for the game it was written by, and for no other."""

from __future__ import annotations

import os

import numpy as np
import pytest
from subjects import make_subject, sample

from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.store import CoalitionStore, default_store

IDENTITY = {"name": "m", "weights": "abc", "target": [3]}


def entries(n: int, start: int = 0) -> dict[bytes, float]:
    return {bytes([i, 7]): i / 7 for i in range(start, start + n)}


def test_values_come_back_exactly(tmp_path) -> None:
    store = CoalitionStore(tmp_path / "cache")
    store.keep(IDENTITY, entries(5))
    store.keep(IDENTITY, entries(5, 5))
    found = CoalitionStore(tmp_path / "cache").recall(IDENTITY, [*entries(10), b"zz"])
    assert found == entries(10)


def test_any_other_identity_gets_nothing(tmp_path) -> None:
    store = CoalitionStore(tmp_path)
    store.keep(IDENTITY, entries(3))
    for other in (IDENTITY | {"weights": "abd"}, IDENTITY | {"target": [4]}, IDENTITY | {"baseline": "mean"}):
        assert store.recall(other, list(entries(3))) == {}
    path = next(tmp_path.glob("*.npz"))
    path.rename(store._path(IDENTITY | {"weights": "abd"}))
    assert store.recall(IDENTITY | {"weights": "abd"}, list(entries(3))) == {}


@pytest.mark.parametrize("damage", [b"", b"PK\x03\x04 no zip", b"\x80\x04pickle"])
def test_damaged_files_count_as_absent(tmp_path, damage: bytes) -> None:
    store = CoalitionStore(tmp_path)
    store.keep(IDENTITY, entries(3))
    path = next(tmp_path.glob("*.npz"))
    path.write_bytes(damage or path.read_bytes()[:40])
    assert store.recall(IDENTITY, list(entries(3))) == {}
    store.keep(IDENTITY, entries(2))
    assert store.recall(IDENTITY, list(entries(3))) == entries(2)


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    store = CoalitionStore(tmp_path)
    store.keep(IDENTITY, entries(3))

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    monkeypatch.setattr(np, "savez_compressed", interrupted)
    with pytest.raises(KeyboardInterrupt):
        store.keep(IDENTITY, entries(3, 3))
    assert store.recall(IDENTITY, list(entries(6))) == entries(3)
    assert [p.suffix for p in tmp_path.iterdir()] == [".npz"]


def test_the_oldest_files_go_first(tmp_path) -> None:
    store = CoalitionStore(tmp_path)
    for i in range(4):
        store.keep(IDENTITY | {"view": i}, entries(3))
        os.utime(store._path(IDENTITY | {"view": i}), (i, i))
    size = store.size() // 4
    store.recall(IDENTITY | {"view": 0}, list(entries(1)))
    CoalitionStore(tmp_path, max_bytes=3 * size + size // 2).keep(IDENTITY | {"view": 9}, entries(3))
    kept = [bool(store.recall(IDENTITY | {"view": i}, list(entries(3)))) for i in (0, 1, 2, 3, 9)]
    assert kept == [True, False, False, True, True]
    store.clear()
    assert store.size() == 0


def test_the_default_store_lies_where_the_user_says(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    monkeypatch.delenv("SYNERGY_TOOLKIT_CACHE", raising=False)
    assert default_store().folder == tmp_path / "xdg" / "synergy-toolkit" / "coalitions"
    monkeypatch.setenv("SYNERGY_TOOLKIT_CACHE", str(tmp_path / "mine"))
    assert default_store().folder == tmp_path / "mine" / "coalitions"
    assert not (tmp_path / "mine").exists()


def test_a_bound_must_be_positive(tmp_path) -> None:
    with pytest.raises(ValueError, match="max_bytes is 0"):
        CoalitionStore(tmp_path, max_bytes=0)


def test_a_rerun_evaluates_nothing_and_another_model_everything(tmp_path) -> None:
    store = CoalitionStore(tmp_path)
    one = make_subject("random-tiny-llava")
    chosen = np.random.default_rng(0).random((20, 42)) < 0.5

    def play(digest: str, baseline: str = "blur"):
        game = LoadedVLM("m", one.adapter, one.model, digest=digest, store=store).game(
            sample(1), target="yes", baseline=baseline
        )
        return game(chosen), game.n_evaluations

    first, n = play("a")
    assert n == 20
    again, n = play("a")
    assert n == 0
    assert np.array_equal(first, again)
    assert play("b")[1] == 20
    assert play("a", "mean")[1] == 20
