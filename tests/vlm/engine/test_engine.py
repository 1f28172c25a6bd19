"""The engine does each thing once, survives running out of memory, and forgets nothing it should keep."""

from __future__ import annotations

import dataclasses
import weakref

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.subjects import RANDOM_TINY, RELEASED, SIZES, TRAINED, make_subject, sample

from toolkit.vlm.engine import decoder, fused_decoder, products
from toolkit.vlm.engine.engine import Engine
from toolkit.vlm.engine.products import onednn_linear
from toolkit.vlm.memory import Backoff, is_out_of_memory
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.reference import plain_values
from toolkit.vlm.sample_game import score_games

HAS_ONEDNN = pytest.mark.skipif(
    onednn_linear() is None, reason="this PyTorch has no oneDNN, or this is no x86 processor"
)


@pytest.fixture(params=RANDOM_TINY)
def fresh(request) -> LoadedVLM:
    return make_subject(request.param)


def product(game, n_images: int, n_texts: int) -> np.ndarray:
    """All pairs of some image masks and some text masks."""
    rng = np.random.default_rng(0)
    images = rng.random((n_images, game.players.n_image)) < 0.5
    texts = rng.random((n_texts, game.players.n_text)) < 0.5
    texts[0] = True
    return np.array([np.concatenate([i, t]) for i in images for t in np.unique(texts, axis=0)])


def test_images_once_prefixes_once_cells_once(fresh: LoadedVLM) -> None:
    game = fresh.game(sample(1, question="what is the blue square ? is there a red circle ?"), target="yes")
    before = fresh.engine.counters.images
    chosen = product(game, 5, 6)
    n_texts = len(chosen) // 5
    rows = fresh.engine.counters.rows
    first = game(np.concatenate([chosen, chosen[::-1]]))
    assert fresh.engine.counters.images - before == 5
    assert fresh.engine.counters.rows - rows == 5
    assert game.n_evaluations == 5 * n_texts
    again = game(chosen)
    assert np.array_equal(again, first[: len(chosen)])
    assert game.n_evaluations == 5 * n_texts
    other = chosen[:3].copy()
    other[:, game.players.n_image] ^= True
    game(other)
    assert fresh.engine.counters.images - before == 5


def test_one_picture_is_encoded_once_for_all_its_questions(fresh: LoadedVLM) -> None:
    questions = ("is there a red circle ?", "what is the blue square ?")
    games = [fresh.game(sample(1, question=question), target="yes") for question in questions]
    masks = np.random.default_rng(0).random((4, games[0].players.n_image)) < 0.5
    asked = [(game, np.concatenate([masks, np.ones((4, game.players.n_text), dtype=bool)], axis=1)) for game in games]
    other = fresh.game(sample(2), target="yes")
    before = fresh.engine.counters.images
    together = score_games(asked)
    assert fresh.engine.counters.images - before == 4
    for (game, chosen), values in zip(asked, together, strict=True):
        np.testing.assert_allclose(values, plain_values(game, chosen), atol=1e-5, rtol=0)
    other(np.concatenate([masks, np.ones((4, other.players.n_text), dtype=bool)], axis=1))
    assert fresh.engine.counters.images - before == 8


@torch.no_grad()
def test_image_tokens_of_changed_weights_are_not_used_again(fresh: LoadedVLM) -> None:
    chosen = product(fresh.game(sample(1), target="yes"), 3, 2)
    before = fresh.game(sample(1), target="yes")(chosen)
    tower = fresh.model.model.vision_tower if hasattr(fresh.model.model, "vision_tower") else fresh.model.model.visual
    for weight in tower.parameters():
        weight.mul_(1.5)
    game = fresh.game(sample(1), target="yes")
    after = game(chosen)
    assert np.abs(after - before).max() > 1e-4
    np.testing.assert_allclose(after, plain_values(game, chosen), atol=1e-5, rtol=0)


def test_autocast_around_a_call_changes_nothing(fresh: LoadedVLM) -> None:
    chosen = product(fresh.game(sample(1), target="yes"), 3, 2)
    expected = fresh.game(sample(1), target="yes")(chosen)
    fresh.engine.forget()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        game = fresh.game(sample(1), target="yes")
        np.testing.assert_allclose(game(chosen), expected, atol=1e-7, rtol=0)
        np.testing.assert_allclose(plain_values(game, chosen), expected, atol=1e-5, rtol=0)
        assert torch.is_autocast_enabled("cpu")


def test_pictures_come_in_batches_of_few_sizes(fresh: LoadedVLM, monkeypatch) -> None:
    game = fresh.game(sample(1), target="yes")
    size, sizes, encode = game.view.pixels.numel(), [], decoder.encode_images
    monkeypatch.setattr(decoder, "encode_images", lambda *inputs: sizes.append(inputs[2]) or encode(*inputs))
    fresh.engine = Engine(fresh.adapter, fresh.model, max_entries=7 * size)
    game(product(game, 10, 1))
    assert sizes == [4, 4, 2]


@pytest.mark.parametrize("onednn", [None, pytest.param(onednn_linear(), marks=HAS_ONEDNN)], ids=["MKL", "oneDNN"])
def test_several_samples_in_one_batch(fresh: LoadedVLM, monkeypatch, onednn) -> None:
    """Whichever library makes the products here."""
    monkeypatch.setattr(products, "ONEDNN", onednn)
    games = [fresh.game(sample(seed), target="no") for seed in range(3)]
    chosen = [product(game, 3, 3) for game in games]
    together = score_games([*zip(games, chosen, strict=True), (games[0], chosen[0][:2])])
    for game, c, values in zip(games, chosen, together[:3], strict=True):
        np.testing.assert_allclose(values, plain_values(game, c), atol=1e-5, rtol=0)
    assert np.array_equal(together[3], together[0][:2])
    assert games[0].n_evaluations == len(np.unique(chosen[0], axis=0))


_ASKED = st.tuples(
    st.integers(0, 99),
    st.sampled_from(sorted(SIZES)),
    st.sampled_from(["red", "is there a red circle ?", "what is the blue square ? A or B ? the red circle ?"]),
    st.sampled_from(["yes", "blue square", "red circle A"]),
)


@pytest.mark.parametrize("vlm", [*RANDOM_TINY, *RELEASED, *TRAINED], indirect=True)
@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True)
@given(
    asked=st.lists(_ASKED, min_size=1, max_size=3),
    tokens=st.sampled_from([1, 300, 4000]),
    entries=st.sampled_from([1, 1 << 16, 1 << 22]),
    query_tokens=st.sampled_from([1, 12, None]),
    kept=st.sampled_from([1, 1 << 24]),
)
def test_any_mixture_in_any_batches_equals_the_plain_path(vlm, asked, tokens, entries, query_tokens, kept) -> None:
    engine = vlm.engine
    bounds = {"max_tokens": tokens, "max_entries": entries, "query_tokens": query_tokens, "feature_bytes": kept}
    vlm.engine = Engine(vlm.adapter, vlm.model, **bounds)
    try:
        requests = []
        for seed, size, question, target in asked:
            one = dataclasses.replace(sample(seed, SIZES[size], question), choices=(target, "no"))
            game = vlm.game(one, target=target)
            requests.append((game, np.random.default_rng(seed).random((3, game.players.n)) < 0.6))
        found = score_games(requests)
    finally:
        vlm.engine = engine
    for (game, chosen), values in zip(requests, found, strict=True):
        plain = plain_values(game, chosen)
        assert np.abs(values - plain).max() <= 1e-5
        assert np.abs(np.log(values) - np.log(plain)).max() <= 5e-4


def test_games_of_two_models_are_refused(fresh: LoadedVLM) -> None:
    other = make_subject(fresh.name)
    games = [fresh.game(sample(1), target="yes"), other.game(sample(1), target="yes")]
    with pytest.raises(ValueError, match="different models"):
        score_games([(game, np.ones((1, game.players.n), dtype=bool)) for game in games])


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        (np.ones((2, 3), dtype=bool), ValueError),
        (np.ones(42, dtype=bool), ValueError),
        (np.ones((2, 42)), TypeError),
        (np.ones((1, 42), dtype=np.uint8), TypeError),
    ],
)
def test_other_arrays_are_refused(wrong: np.ndarray, error: type[Exception]) -> None:
    game = make_subject("random-tiny-llava").game(sample(1), target="yes")
    with pytest.raises(error, match="coalitions"):
        game(wrong)


def test_no_coalitions_no_values(fresh: LoadedVLM) -> None:
    game = fresh.game(sample(1), target="yes")
    assert game(np.ones((0, game.players.n), dtype=bool)).shape == (0,)


def test_answers_in_one_batch_equal_single_answers(fresh: LoadedVLM) -> None:
    samples = [sample(seed) for seed in (1, 2, 1)]
    together = fresh.answers(samples)
    assert together == fresh.answers(samples)
    assert fresh.answers([]) == []
    alone = make_subject(fresh.name)
    for s, answer in zip(samples, together, strict=True):
        single = alone.answer(s)
        assert single.text == answer.text
        assert single.probability == pytest.approx(answer.probability, abs=1e-6)


@pytest.mark.parametrize(("module", "at"), [(fused_decoder, "read_states"), (decoder, "encode_images")])
def test_out_of_memory_halves_the_batch_and_loses_nothing(fresh: LoadedVLM, monkeypatch, module, at: str) -> None:
    game = fresh.game(sample(2), target="yes")
    chosen = product(game, 6, 3)
    expected = plain_values(game, chosen)
    real, sizes = getattr(module, at), []

    def greedy(model, first, *rest):
        size = len(first) if at == "read_states" else rest[0]
        sizes.append(size)
        if size > 2:
            raise RuntimeError("CUDA error: out of memory")
        return real(model, first, *rest)

    monkeypatch.setattr(module, at, greedy)
    fresh.engine.forget()
    np.testing.assert_allclose(game(chosen), expected, atol=1e-5, rtol=0)
    assert max(sizes) > 2
    assert fresh.engine.record()["out_of_memory"] >= 1
    assert fresh.record()["tokens_per_batch"] == fresh.engine.tokens.size


@pytest.mark.parametrize(("module", "at"), [(fused_decoder, "read_states"), (decoder, "encode_images")])
def test_nothing_of_a_failed_batch_is_kept(fresh: LoadedVLM, monkeypatch, module, at: str) -> None:
    game = fresh.game(sample(2), target="yes")
    real, failed, alive = getattr(module, at), [], []

    def once(model, first, *rest):
        if not failed:
            tensor = next(iter(first.values())) if isinstance(first, dict) else first
            failed.append(weakref.ref(tensor))
            raise torch.OutOfMemoryError("CUDA out of memory")
        alive.append(failed[0]() is not None)
        return real(model, first, *rest)

    monkeypatch.setattr(module, at, once)
    game(product(game, 6, 3))
    assert failed
    assert not any(alive)


def test_giving_up_says_so(fresh: LoadedVLM, monkeypatch) -> None:
    game = fresh.game(sample(2), target="yes")

    def full(*args):
        raise RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate")

    monkeypatch.setattr(fused_decoder, "read_states", full)
    with pytest.raises(MemoryError, match="even at the smallest batch"):
        game(np.ones((1, game.players.n), dtype=bool))


def test_other_errors_pass_through(fresh: LoadedVLM, monkeypatch) -> None:
    game = fresh.game(sample(2), target="yes")

    def broken(*args):
        raise RuntimeError("shape mismatch")

    monkeypatch.setattr(fused_decoder, "read_states", broken)
    with pytest.raises(RuntimeError, match="shape mismatch"):
        game(np.ones((1, game.players.n), dtype=bool))


@pytest.mark.parametrize(
    "message",
    [
        "CUDA out of memory. Tried to allocate 2.00 GiB",
        "CUDA error: out of memory",
        "HIP out of memory",
        "CUBLAS_STATUS_ALLOC_FAILED",
        "DefaultCPUAllocator: can't allocate memory: you tried to allocate 8 bytes",
        "DefaultCPUAllocator: not enough memory",
        "MPS backend out of memory",
        "CUDA error: CUBLAS_STATUS_NOT_INITIALIZED when calling `cublasCreate(handle)`",
        "cuDNN error: CUDNN_STATUS_ALLOC_FAILED",
        "cuDNN error: CUDNN_STATUS_NOT_SUPPORTED. This error may appear if you passed in a non-contiguous input.",
        "cusolver error: CUSOLVER_STATUS_ALLOC_FAILED",
        "HIP error: hipErrorOutOfMemory",
        "NVML_SUCCESS == r INTERNAL ASSERT FAILED at CUDACachingAllocator.cpp:838",
        "Unable to allocate 3.00 GiB for an array",
        "std::bad_alloc",
        "Invalid buffer size: 14.31 GiB",
        "Triton Error [CUDA]: out of memory",
    ],
)
def test_every_known_message_is_recognised(message: str) -> None:
    assert is_out_of_memory(RuntimeError(message))
    assert not is_out_of_memory(ValueError(message))
    assert not is_out_of_memory(RuntimeError("size mismatch"))


def test_backoff_halves_and_remembers() -> None:
    backoff = Backoff(16, torch.device("cpu"))

    def attempt(size: int) -> int:
        if size > 5:
            raise MemoryError
        return size

    assert backoff.run(attempt) == 4
    assert (backoff.size, backoff.failures) == (4, 2)
    assert backoff.run(attempt) == 4


def test_the_cache_of_image_tokens_is_bounded(fresh: LoadedVLM) -> None:
    game = fresh.game(sample(3), target="yes")
    fresh.engine = Engine(fresh.adapter, fresh.model, feature_bytes=3 * 36 * 128 * 4)
    chosen = product(game, 8, 2)
    np.testing.assert_allclose(game(chosen), plain_values(game, chosen), atol=1e-5, rtol=0)
    assert len(fresh.engine.encode._kept) <= 3


@torch.no_grad()
def test_bfloat16_models_are_scored_in_float32() -> None:
    vlm = make_subject("random-tiny-llava")
    vlm.model.bfloat16()
    vlm = LoadedVLM("b", vlm.adapter, vlm.model)
    game = vlm.game(sample(4), target="yes")
    seen: list[torch.Tensor] = []
    hook = vlm.model.lm_head.register_forward_hook(lambda module, args, output: seen.append(output))
    try:
        value = game(np.ones((1, game.players.n), dtype=bool))[0]
    finally:
        hook.remove()
    assert seen[0].dtype == torch.bfloat16
    expected = seen[0].float().log_softmax(-1)[0, game.token_ids[0]].double().exp().item()
    assert value == expected
    assert vlm.identity()["dtype"] == "bfloat16"
    assert vlm.identity()["batch_class"] != "exact"
