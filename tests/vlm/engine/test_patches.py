"""Whoever replaces the code that computes a model is named, and what it gives is neither remembered nor ignored."""

from __future__ import annotations

import functools
import warnings
from dataclasses import replace
from types import FunctionType

import numpy as np
import pytest
import torch
from support.subjects import RANDOM_TINY, SUBJECTS, make_subject, sample
from transformers.masking_utils import ALL_MASK_ATTENTION_FUNCTIONS
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS
from transformers.models.llama import modeling_llama
from transformers.models.qwen2_5_vl import modeling_qwen2_5_vl
from transformers.models.qwen3 import modeling_qwen3

from toolkit.vlm.engine import fused_decoder
from toolkit.vlm.engine.patches import patches
from toolkit.vlm.engine.store import CoalitionStore
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.reference import plain_values

MLP = {
    "random-tiny-llava": modeling_llama.LlamaMLP,
    "random-tiny-qwen2.5-vl": modeling_qwen2_5_vl.Qwen2MLP,
    "random-tiny-internvl": modeling_qwen3.Qwen3MLP,
}


def halved(function):
    """Another library's version of a function that returns a tensor."""
    return lambda *args, **settings: function(*args, **settings) * 0.5


def wrapped(function):
    """The same by the book: it keeps the name and the module of what it wraps."""

    @functools.wraps(function)
    def inner(*args, **settings):
        return function(*args, **settings) * 0.5

    return inner


def softened(attention):
    """Another library's version of an attention function."""

    @functools.wraps(attention)
    def inner(module, query, key, value, attention_mask, **settings):
        return attention(module, query * 0.3, key, value, attention_mask, **settings)

    return inner


def some(game) -> np.ndarray:
    chosen = np.random.default_rng(0).random((5, game.players.n)) < 0.6
    chosen[0] = True
    return chosen


def quietly(vlm: LoadedVLM) -> None:
    """Take the warning, which is tested apart."""
    with pytest.warns(RuntimeWarning, match="not computed by its own code"):
        vlm.current_state()


@pytest.mark.parametrize("vlm", SUBJECTS, indirect=True)
def test_nothing_is_patched_in_a_model_that_nobody_touched(vlm) -> None:
    assert patches(vlm.model) == ()
    assert vlm.why_not_as_loaded() is None
    with torch.inference_mode():
        vlm.model(input_ids=torch.tensor([[1, 2, 3]]), output_hidden_states=True)
    assert vlm.is_as_loaded()


@pytest.mark.parametrize("patch", [halved, wrapped])
@pytest.mark.parametrize("name", RANDOM_TINY)
@pytest.mark.parametrize("is_before", [True, False])
def test_a_patched_class_is_seen_and_run_by_every_path(name, patch, is_before, monkeypatch) -> None:
    clean = make_subject(name)
    game = clean.game(sample(1), target="yes")
    expected = game(some(game))
    vlm = None if is_before else make_subject(name)
    forward = MLP[name].forward
    monkeypatch.setattr(MLP[name], "forward", patch(forward))
    vlm = vlm or make_subject(name)
    assert not vlm.is_as_loaded()
    assert f"{MLP[name].__name__}.forward is {patch.__name__}.<locals>." in vlm.why_not_as_loaded()
    assert f"of {__name__}" in vlm.why_not_as_loaded()
    assert not fused_decoder.is_known(vlm.model)
    quietly(vlm)
    quietly(clean)
    patched = vlm.game(sample(1), target="yes")
    values = patched(some(patched))
    assert np.abs(values - expected).max() > 1e-4
    np.testing.assert_allclose(values, plain_values(patched, some(patched)), atol=1e-5, rtol=0)
    np.testing.assert_array_equal(values, game(some(game)))  # the game that was made before follows
    monkeypatch.setattr(MLP[name], "forward", forward)
    assert vlm.is_as_loaded() != is_before
    assert clean.is_as_loaded()
    np.testing.assert_array_equal(game(some(game)), expected)


def test_a_patched_vision_tower_is_run_by_every_path(monkeypatch) -> None:
    vlm = make_subject("random-tiny-qwen2.5-vl")
    game = vlm.game(sample(1), target="yes")
    before = game(some(game))
    attention = modeling_qwen2_5_vl.Qwen2_5_VLVisionAttention
    monkeypatch.setattr(attention, "forward", wrapped(attention.forward))
    quietly(vlm)
    values = game(some(game))
    assert np.abs(values - before).max() > 1e-4
    np.testing.assert_allclose(values, plain_values(game, some(game)), atol=1e-5, rtol=0)


def test_a_method_of_its_own_in_the_vision_tower_is_run_and_left_in_place() -> None:
    vlm = make_subject("random-tiny-qwen2.5-vl")
    attention = vlm.model.model.visual.blocks[0].attn
    own = wrapped(attention.forward)
    attention.forward = own
    game = vlm.game(sample(1), target="yes")
    np.testing.assert_allclose(game(some(game)), plain_values(game, some(game)), atol=1e-5, rtol=0)
    assert vars(attention)["forward"] is own


@pytest.mark.parametrize("name", ["eager_attention_forward", "apply_rotary_pos_emb", "repeat_kv", "LlamaRMSNorm"])
def test_a_replaced_function_or_class_of_a_modelling_file_is_seen(name: str, monkeypatch) -> None:
    vlm = make_subject("random-tiny-llava")
    real = getattr(modeling_llama, name)
    other = type("Other", (real,), {"__module__": __name__}) if isinstance(real, type) else wrapped(real)
    monkeypatch.setattr(modeling_llama, name, other)
    for one in (vlm, make_subject("random-tiny-llava")):
        assert f"modeling_llama.{name} is" in one.why_not_as_loaded()


@pytest.mark.parametrize("function", ["scaled_dot_product_attention", "silu", "linear"])
def test_a_replaced_function_of_pytorch_is_seen_and_run_by_every_path(function: str, monkeypatch) -> None:
    """As other attention kernels are put in: ``torch.nn.functional.scaled_dot_product_attention = ...``."""
    vlm = make_subject("random-tiny-llava")
    game = vlm.game(sample(1), target="yes")
    before = game(some(game))
    monkeypatch.setattr(torch.nn.functional, function, halved(getattr(torch.nn.functional, function)))
    assert f"functional.{function} is halved.<locals>.<lambda> of {__name__}" in vlm.why_not_as_loaded()
    quietly(vlm)
    assert np.abs(game(some(game)) - before).max() > 1e-4
    np.testing.assert_allclose(game(some(game)), plain_values(game, some(game)), atol=1e-5, rtol=0)


def test_positions_patched_in_the_decoder_are_not_overlooked(monkeypatch) -> None:
    vlm = make_subject("random-tiny-llava")
    game = vlm.game(sample(1), target="yes")
    before = game(some(game))
    real = modeling_llama.apply_rotary_pos_emb
    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", lambda q, k, cos, sin: real(q * 0.5, k, cos, sin))
    quietly(vlm)
    assert np.abs(game(some(game)) - before).max() > 1e-4
    np.testing.assert_allclose(game(some(game)), plain_values(game, some(game)), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", RANDOM_TINY)
@pytest.mark.parametrize("way", ["for all", "for one table", "masks", "partial"])
def test_a_patched_attention_table_is_seen_by_every_family(name: str, way: str, monkeypatch) -> None:
    vlm = make_subject(name)
    game = vlm.game(sample(1), target="yes")
    before = game(some(game))
    real = ALL_ATTENTION_FUNCTIONS["sdpa"]
    if way == "for all":
        monkeypatch.setitem(type(ALL_ATTENTION_FUNCTIONS)._global_mapping, "sdpa", softened(real))
    elif way == "for one table":
        monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._local_mapping, "sdpa", softened(real))
    elif way == "partial":
        monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS._local_mapping, "sdpa", functools.partial(real))
    else:
        masks = ALL_MASK_ATTENTION_FUNCTIONS["sdpa"]
        monkeypatch.setitem(ALL_MASK_ATTENTION_FUNCTIONS._local_mapping, "sdpa", lambda *args, **kw: masks(*args, **kw))
    assert "Interface.sdpa is" in vlm.why_not_as_loaded()
    quietly(vlm)
    np.testing.assert_allclose(game(some(game)), plain_values(game, some(game)), atol=1e-5, rtol=0)
    assert (np.abs(game(some(game)) - before).max() > 1e-4) == (way.startswith("for"))


@pytest.mark.parametrize("other", [torch.nn.Identity, modeling_llama.LlamaRMSNorm])
def test_another_classs_forward_is_somebody_elses_too(other, monkeypatch) -> None:
    monkeypatch.setattr(modeling_llama.LlamaMLP, "forward", other.forward)
    (found,) = patches(make_subject("random-tiny-llava").model)
    assert f"LlamaMLP.forward is {other.__name__}.forward of {other.__module__}" in found


def test_the_patch_is_named_once_and_not_again(monkeypatch) -> None:
    vlm = make_subject("random-tiny-llava")
    monkeypatch.setattr(modeling_llama.LlamaMLP, "forward", halved(modeling_llama.LlamaMLP.forward))
    with pytest.warns(RuntimeWarning, match=f"LlamaMLP.forward is halved.*of {__name__}") as told:
        vlm.answer(sample(1))
    assert len(told) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        vlm.answer(sample(2))


def test_values_of_patched_classes_are_neither_taken_from_the_store_nor_kept_there(tmp_path, monkeypatch) -> None:
    one, store = make_subject("random-tiny-llava"), CoalitionStore(tmp_path)

    def play() -> tuple[np.ndarray, int]:
        vlm = LoadedVLM("m", one.adapter, one.model, digest="a", store=store)
        game = vlm.game(sample(1), target="yes")
        return game(some(game)), game.n_evaluations

    first, n = play()
    assert n == 5
    with monkeypatch.context() as patch:
        patch.setattr(modeling_llama.LlamaMLP, "forward", wrapped(modeling_llama.LlamaMLP.forward))
        with pytest.warns(RuntimeWarning, match="not remembered"):
            patched, n = play()
        assert n == 5
        assert np.abs(patched - first).max() > 1e-4
    again, n = play()
    assert n == 0
    assert np.array_equal(again, first)


def _in_place(vlm: LoadedVLM) -> None:
    with torch.no_grad():
        vlm.model.lm_head.weight.mul_(-1.0)


def _data(vlm: LoadedVLM) -> None:
    vlm.model.lm_head.weight.data.mul_(-1.0)


def _hook(vlm: LoadedVLM) -> None:
    vlm.model.lm_head.register_forward_hook(lambda module, args, logits: -logits)


def _tower(vlm: LoadedVLM) -> None:
    inner = vlm.model.model
    for weight in (inner.vision_tower if hasattr(inner, "vision_tower") else inner.visual).parameters():
        weight.data.mul_(1.5)


def speak(vlm: LoadedVLM, s):
    """The free answer, or why there is none."""
    try:
        return vlm.answer(s)
    except ValueError as error:
        return str(error).removeprefix(vlm.name)


def _configuration(vlm: LoadedVLM) -> None:
    vlm.model.get_decoder().has_sliding_layers = True  # which transformers reads of the configuration when it builds
    vlm.model.get_decoder().config.sliding_window = 3
    vlm.model.get_decoder().config.layer_types = ["sliding_attention"] * 4


@pytest.mark.parametrize("change", [_in_place, _data, _hook, _tower])
@pytest.mark.parametrize("name", RANDOM_TINY)
def test_nothing_of_a_model_outlives_a_change_of_it(name: str, change) -> None:
    vlm, s = make_subject(name), sample(1)
    spoken = replace(s, choices=None)
    game = vlm.game(s, target="yes")
    speak(vlm, spoken)
    before, first = vlm.answer(s), game(some(game))
    assert vlm.answer(s) is before
    n = game.n_evaluations
    change(vlm)
    fresh = LoadedVLM("fresh", vlm.adapter, vlm.model)
    assert vlm.answer(s).by_choice == pytest.approx(fresh.answer(s).by_choice, abs=1e-6)
    assert vlm.answer(s).probability != before.probability
    assert speak(vlm, spoken) == speak(fresh, spoken)
    assert vlm.choice_forms(s) == fresh.choice_forms(s)
    assert vlm.answers([s]) == [vlm.answer(s)]
    values = game(some(game))
    assert game.n_evaluations == 2 * n
    assert np.abs(values - first).max() > 1e-4
    np.testing.assert_allclose(values, plain_values(game, some(game)), atol=1e-5, rtol=0)


def test_one_call_never_mixes_two_models() -> None:
    vlm = make_subject("random-tiny-internvl")
    game = vlm.game(sample(1), target="yes")
    chosen = some(game)
    game(chosen[:3])
    _configuration(vlm)
    np.testing.assert_allclose(game(chosen), plain_values(game, chosen), atol=1e-5, rtol=0)


def test_a_game_follows_its_model_into_another_precision() -> None:
    vlm = make_subject("random-tiny-llava")
    game = vlm.game(sample(1), target="yes")
    game(some(game))
    vlm.model.double()
    values = game(some(game))
    assert game.view.pixels.dtype == torch.float64
    np.testing.assert_allclose(values, plain_values(game, some(game)), atol=1e-5, rtol=0)


def _template(processor):
    processor.chat_template = processor.chat_template.replace("<assistant>", "<user>")


def _means(processor):
    processor.image_processor.image_mean = [0.0, 0.0, 0.0]


@pytest.mark.parametrize("edit", [_template, _means])
def test_an_edited_processor_is_seen_and_nothing_of_before_is_given(edit) -> None:
    vlm = make_subject("random-tiny-llava")
    asked = replace(sample(1), choices=("yes", "no"))
    game, before = vlm.game(asked, target="yes"), vlm.answer(asked)
    old = game(some(game))
    edit(vlm.adapter.processor)
    fresh = LoadedVLM("fresh", vlm.adapter, vlm.model)
    assert vlm.why_not_as_loaded() == "settings or the template of its processor were changed"
    assert vlm.answer(asked).by_choice == fresh.answer(asked).by_choice != before.by_choice
    new = game(some(game))
    np.testing.assert_array_equal(new, fresh.game(asked, target="yes")(some(game)))
    assert np.abs(new - old).max() > 1e-6


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_in_place, "weights or buffers"),
        (_data, "weights or buffers"),
        (_hook, "hooks"),
        (_configuration, "configuration"),
    ],
)
def test_what_was_changed_is_said(change, words: str) -> None:
    vlm = make_subject("random-tiny-internvl")
    change(vlm)
    assert words in vlm.why_not_as_loaded()


def test_a_function_replaced_by_one_of_transformers_own_is_a_change(monkeypatch) -> None:
    vlm = make_subject("random-tiny-llava")
    assert isinstance(modeling_qwen3.apply_rotary_pos_emb, FunctionType)
    monkeypatch.setattr(modeling_llama, "apply_rotary_pos_emb", modeling_qwen3.apply_rotary_pos_emb)
    assert "code of its classes" in vlm.why_not_as_loaded()
