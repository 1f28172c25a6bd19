"""The store answers for the game it was written by, and for no other."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from support.subjects import make_subject, sample

from toolkit.datasets.baselines import BASELINES
from toolkit.vlm import forced_answer as answer_module
from toolkit.vlm.engine import fingerprint
from toolkit.vlm.engine.store import CoalitionStore, default_store
from toolkit.vlm.model import LoadedVLM

IDENTITY = {"name": "m", "weights": "abc", "target": [3]}


def entries(n: int, start: int = 0) -> dict[bytes, tuple[float, ...]]:
    return {bytes([i, 7]): (i / 7, -i / 3) for i in range(start, start + n)}


def test_values_come_back_exactly(tmp_path) -> None:
    store = CoalitionStore(tmp_path / "cache")
    assert store.recall(IDENTITY) == {}
    store.keep(IDENTITY, entries(5))
    store.keep(IDENTITY, entries(5, 5))
    assert CoalitionStore(tmp_path / "cache").recall(IDENTITY) == entries(10)


def test_any_other_identity_gets_nothing(tmp_path) -> None:
    store = CoalitionStore(tmp_path)
    store.keep(IDENTITY, entries(3))
    for other in (IDENTITY | {"weights": "abd"}, IDENTITY | {"target": [4]}, IDENTITY | {"baseline": "mean"}):
        assert store.recall(other) == {}
    path = next(tmp_path.glob("*.npz"))
    path.rename(store._path(IDENTITY | {"weights": "abd"}))
    assert store.recall(IDENTITY | {"weights": "abd"}) == {}


@pytest.mark.parametrize("at", [6, 8])
def test_a_damaged_header_that_claims_encryption_or_another_compression_counts_as_absent(tmp_path, at: int) -> None:
    store = CoalitionStore(tmp_path)
    store.keep(IDENTITY, entries(20))
    path = next(tmp_path.glob("*.npz"))
    content = bytearray(path.read_bytes())
    central = content.index(b"PK\x01\x02")
    content[central + 2 + at] ^= 0x61  # flags or method, in the directory that is read first
    content[at] ^= 0x61
    path.write_bytes(content)
    assert store.recall(IDENTITY) == {}


@pytest.mark.parametrize("damage", ["empty", "short", "no zip", "pickle", "flipped", "uneven"])
def test_damaged_files_count_as_absent(tmp_path, damage: str) -> None:
    store = CoalitionStore(tmp_path)
    store.keep(IDENTITY, entries(200))
    path = next(tmp_path.glob("*.npz"))
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        third = len(content) // 3
        content[third : 2 * third] = bytes(byte ^ 0xFF for byte in content[third : 2 * third])
    contents = {"empty": b"", "short": content[:40], "no zip": b"PK\x03\x04 no zip", "pickle": b"\x80\x04pickle"}
    if damage == "uneven":
        with np.load(path) as file:
            np.savez_compressed(path, **{**file, "values": file["values"][1:]})
    else:
        path.write_bytes(contents.get(damage, content))
    assert store.recall(IDENTITY) == {}
    store.keep(IDENTITY, entries(2))
    assert store.recall(IDENTITY) == entries(2)


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch) -> None:
    store = CoalitionStore(tmp_path)
    store.keep(IDENTITY, entries(3))

    def interrupted(*args, **kwargs):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(np, "savez_compressed", interrupted)
        with pytest.raises(KeyboardInterrupt):
            store.keep(IDENTITY, entries(3, 3))
    assert store.recall(IDENTITY) == entries(3)
    assert [p.suffix for p in tmp_path.iterdir()] == [".npz"]


def test_a_file_is_replaced_in_one_step(tmp_path) -> None:
    """Whoever has opened the old file reads the old file to its end."""
    store = CoalitionStore(tmp_path)
    store.keep(IDENTITY, entries(3))
    (path,) = tmp_path.iterdir()
    before = path.read_bytes()
    with path.open("rb") as reader:
        store.keep(IDENTITY, entries(200))
        assert reader.read() == before
    assert path.read_bytes() != before


def test_what_killed_writers_left_goes_with_the_oldest_files(tmp_path) -> None:
    old, new = tmp_path / "a.partial", tmp_path / "b.partial"
    for path in (old, new):
        path.write_bytes(b"x")
    os.utime(old, (time.time() - 7200,) * 2)
    CoalitionStore(tmp_path, max_bytes=1).keep(IDENTITY, entries(3))
    assert not old.exists()
    assert new.exists()
    CoalitionStore(tmp_path).clear()
    assert list(tmp_path.iterdir()) == []


def test_the_oldest_files_go_first(tmp_path) -> None:
    store = CoalitionStore(tmp_path)
    for i in range(8):
        store.keep(IDENTITY | {"view": i}, entries(3))
        os.utime(store._path(IDENTITY | {"view": i}), (i, i))
    size = store.size() // 8
    store.recall(IDENTITY | {"view": 0})
    CoalitionStore(tmp_path, max_bytes=6 * size).keep(IDENTITY | {"view": 9}, entries(3))
    kept = [i for i in (*range(8), 9) if store._path(IDENTITY | {"view": i}).is_file()]
    assert kept == [0, 5, 6, 7, 9]
    assert store.size() <= 6 * size
    store.clear()
    assert store.size() == 0


def test_the_folder_is_listed_only_when_it_may_be_too_large(tmp_path, monkeypatch) -> None:
    store = CoalitionStore(tmp_path)
    listed: list[str] = []
    real = CoalitionStore._files
    monkeypatch.setattr(CoalitionStore, "_files", lambda self, suffix: listed.append(suffix) or real(self, suffix))
    for i in range(20):
        store.keep(IDENTITY | {"view": i % 10}, entries(3, i))
    assert listed == [".partial", ".npz"]


def test_several_writers_never_leave_half_a_file(tmp_path) -> None:
    def write(i: int) -> None:
        CoalitionStore(tmp_path, max_bytes=2000).keep(IDENTITY | {"view": i % 3}, entries(3, i))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(write, range(60)))
    found = [CoalitionStore(tmp_path).recall(IDENTITY | {"view": i}) for i in range(3)]
    assert any(found)
    assert all(value == (key[0] / 7, -key[0] / 3) for values in found for key, value in values.items())


@pytest.mark.parametrize("n_processes", [1, 4, 8])
def test_several_processes_keep_the_bound_together(tmp_path, n_processes: int) -> None:
    """Each has a store of its own, as in a process of its own, and they take turns."""
    size = _one_file(tmp_path / "one")
    bound = 100 * size
    stores = [CoalitionStore(tmp_path / "many", max_bytes=bound) for _ in range(n_processes)]
    largest = 0
    for i in range(400):
        stores[i % n_processes].keep(IDENTITY | {"view": i}, entries(3))
        largest = max(largest, stores[0].size())
    assert 0.85 * bound < largest <= 1.02 * bound


def _one_file(folder) -> int:
    store = CoalitionStore(folder)
    store.keep(IDENTITY | {"view": 100}, entries(3))
    return store.size()


def test_values_that_are_not_finite_are_not_kept(tmp_path) -> None:
    store = CoalitionStore(tmp_path / "cache")
    store.keep(IDENTITY, {b"aa": (0.5, float("nan")), b"bb": (float("-inf"), 0.5)})
    assert not (tmp_path / "cache").exists()
    store.keep(IDENTITY, {b"aa": (float("nan"), 0.5), b"bb": (0.5, 0.25)})
    assert store.recall(IDENTITY) == {b"bb": (0.5, 0.25)}


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


@pytest.fixture
def one() -> LoadedVLM:
    return make_subject("random-tiny-llava")


def play(one: LoadedVLM, store: CoalitionStore, *, baseline: str = "blur", seed: int = 1, **about: str):
    """Values of 20 coalitions, and how many of them the model evaluated."""
    named = {"digest": "a"} | about
    vlm = LoadedVLM(named.pop("name", "m"), one.adapter, one.model, store=store, **named)
    game = vlm.game(sample(seed), target=named.get("target", "yes"), baseline=baseline)
    values = game(np.random.default_rng(0).random((20, 42)) < 0.5)
    return values, game.n_evaluations


def test_a_rerun_evaluates_nothing_and_another_game_everything(tmp_path, one: LoadedVLM) -> None:
    store = CoalitionStore(tmp_path)
    first, n = play(one, store)
    assert n == 20
    again, n = play(one, store)
    assert n == 0
    assert np.array_equal(first, again)
    for other in ({"digest": "b"}, {"revision": "c"}, {"name": "n"}, {"baseline": "mean"}, {"quantisation": "nf4"}):
        assert play(one, store, **other)[1] == 20, other
    assert play(one, store, seed=2)[1] == 20


def test_a_baseline_of_other_pixels_is_another_game(tmp_path, one: LoadedVLM, monkeypatch) -> None:
    """Under the same name: what was removed looks otherwise, for example by another version of Pillow."""
    store = CoalitionStore(tmp_path)
    play(one, store)
    monkeypatch.setitem(BASELINES._entries, "blur", BASELINES["mean"])
    assert play(one, store)[1] == 20


def test_another_preprocessing_prompt_precision_or_code_is_evaluated_anew(tmp_path, one, monkeypatch) -> None:
    store = CoalitionStore(tmp_path)
    play(one, store)
    images = one.adapter.processor.image_processor
    for setting, value in (("image_mean", [0.4, 0.4, 0.4]), ("do_normalize", False), ("rescale_factor", 0.01)):
        with monkeypatch.context() as patch:
            patch.setattr(images, setting, value)
            assert play(one, store)[1] == 20, setting
    template = one.adapter.processor.chat_template
    with monkeypatch.context() as patch:
        patch.setattr(one.adapter.processor, "chat_template", "<bos>" + template)
        assert play(one, store)[1] == 20
    with monkeypatch.context() as patch:
        patch.setattr(answer_module, "code_identity", lambda: {"code": "another"})
        assert play(one, store)[1] == 20
    assert play(one, store)[1] == 0
    one.model.bfloat16()
    assert play(one, store)[1] == 20


def test_weights_changed_in_place_are_neither_answered_for_nor_remembered(tmp_path, one: LoadedVLM) -> None:
    store = CoalitionStore(tmp_path)
    play(one, store)
    vlm = LoadedVLM("m", one.adapter, one.model, digest="a", store=store)
    with torch.no_grad():
        vlm.model.lm_head.weight.mul_(0.5)
    game = vlm.game(sample(1), target="yes")
    changed = game(np.random.default_rng(0).random((20, 42)) < 0.5)
    assert game.n_evaluations == 20
    with torch.no_grad():
        vlm.model.lm_head.weight.mul_(2.0)
    back, n = play(one, store)
    assert n == 0
    assert not np.allclose(back, changed)


def _data(vlm: LoadedVLM) -> None:
    vlm.model.lm_head.weight.data.mul_(0.5)


def _parameter(vlm: LoadedVLM) -> None:
    vlm.model.lm_head.weight = torch.nn.Parameter(vlm.model.lm_head.weight.detach() * 0.5, requires_grad=False)


def _hook(vlm: LoadedVLM) -> None:
    vlm.model.lm_head.register_forward_hook(lambda module, args, logits: logits * 0.5)


def _method(vlm: LoadedVLM) -> None:
    layer = vlm.model.get_decoder().layers[0].mlp
    layer.forward = torch.zeros_like


def _buffer(vlm: LoadedVLM) -> None:
    vlm.model.get_decoder().rotary_emb.inv_freq.mul_(0.3)


def _configuration(vlm: LoadedVLM) -> None:
    vlm.model.config.vision_feature_layer = -2


@pytest.mark.parametrize("change", [_data, _parameter, _hook, _method, _buffer, _configuration])
@pytest.mark.parametrize("is_large", [False, True])
def test_a_model_changed_after_loading_is_another_model(tmp_path, one, monkeypatch, change, is_large) -> None:
    monkeypatch.setattr(fingerprint, "_WHOLE", 0 if is_large else 64 << 20)
    store = CoalitionStore(tmp_path)
    first, _ = play(one, store)
    vlm = LoadedVLM("m", one.adapter, one.model, digest="a", store=store)
    assert vlm.is_as_loaded()
    change(vlm)
    game = vlm.game(sample(1), target="yes")
    chosen = np.random.default_rng(0).random((20, 42)) < 0.5
    values = game(chosen)
    assert game.n_evaluations == 20
    assert np.abs(values - first).max() > 1e-3
    assert np.array_equal(next(iter(files(store))), first)


def files(store: CoalitionStore):
    """Values of each file, in the order in which ``play`` asks."""
    keys = [row.tobytes() for row in np.packbits(np.random.default_rng(0).random((20, 42)) < 0.5, axis=1)]
    for path in store.folder.glob("*.npz"):
        with np.load(path) as file:
            found = {row.tobytes(): value for row, value in zip(file["coalitions"], file["values"], strict=True)}
        yield np.exp([found[key][0] for key in keys])


def test_a_changed_value_anywhere_in_a_small_model_is_seen(one: LoadedVLM) -> None:
    vlm = LoadedVLM("m", one.adapter, one.model, digest="a")
    for weight in one.model.parameters():
        entry = weight.data.view(-1)[-1:]
        old = entry.clone()
        entry += 0.25
        assert not vlm.is_as_loaded()
        entry.copy_(old)
        assert vlm.is_as_loaded()


@pytest.mark.parametrize(("dtype", "is_kept"), [(torch.float32, True), (torch.bfloat16, False)])
def test_values_from_batches_of_two_classes_are_not_kept_in_half_precision(tmp_path, dtype, is_kept) -> None:
    subject = make_subject("random-tiny-llava")
    subject.model.to(dtype)
    vlm = LoadedVLM("m", subject.adapter, subject.model, digest="d", store=CoalitionStore(tmp_path))
    game = vlm.game(sample(1), target="yes")
    score = vlm.engine.log_probabilities

    def runs_out_of_memory(requests):
        found = score(requests)
        vlm.engine.tokens.size //= 4
        return found

    vlm.engine.log_probabilities = runs_out_of_memory
    game(np.ones((1, game.players.n), dtype=bool))
    assert bool(vlm.store.recall(game.identity())) == is_kept
    vlm.engine.log_probabilities = score
    game(np.zeros((1, game.players.n), dtype=bool))
    assert len(vlm.store.recall(game.identity())) == 1 + is_kept


def test_another_configuration_beside_the_same_weights_is_another_model(tmp_path, one: LoadedVLM) -> None:
    store = CoalitionStore(tmp_path)
    play(one, store)
    one.model.config.name_or_path = "elsewhere"
    assert play(one, store)[1] == 0
    one.model.config.text_config.rope_theta = 123.0
    assert play(one, store)[1] == 20


def test_values_are_kept_under_the_pixels_that_gave_them(tmp_path, one: LoadedVLM) -> None:
    store = CoalitionStore(tmp_path)
    vlm = LoadedVLM("m", one.adapter, one.model, digest="a", store=store)
    game, chosen = vlm.game(sample(1), target="yes"), np.random.default_rng(0).random((20, 42)) < 0.5
    of_the_old_pixels = game(chosen)
    one.adapter.processor.image_processor.image_mean = [0.1, 0.1, 0.1]
    of_the_edited_model = game(chosen)
    values, n = play(one, store)
    assert n == 20
    assert not np.array_equal(values, of_the_old_pixels)
    np.testing.assert_array_equal(values, of_the_edited_model)


def test_a_model_that_nothing_identifies_gets_no_store(tmp_path, one: LoadedVLM) -> None:
    with pytest.raises(ValueError, match="neither a revision nor a digest"):
        LoadedVLM("m", one.adapter, one.model, store=CoalitionStore(tmp_path))


def test_a_folder_that_cannot_be_written_only_warns(tmp_path, one: LoadedVLM) -> None:
    (tmp_path / "file").write_text("in the way")
    vlm = LoadedVLM("m", one.adapter, one.model, digest="a", store=CoalitionStore(tmp_path / "file" / "cache"))
    game = vlm.game(sample(1), target="yes")
    chosen = np.random.default_rng(0).random((20, 42)) < 0.5
    with pytest.warns(RuntimeWarning, match="not remembered any more"):
        values = game(chosen)
    assert np.isfinite(values).all()
    assert vlm.store is None
    game(~chosen)
