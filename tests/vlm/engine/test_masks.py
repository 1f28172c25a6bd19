"""A decoder with a sliding window is scored with it: engine, plain path, white box and transformers agree."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
import transformers as hf
from support.subjects import make_subject, sample
from support.windowed import DECODERS, windowed, with_text

from toolkit.explainers.attn_lrp import relevance
from toolkit.explainers.internals.attention import trace
from toolkit.vlm.engine import decoder, fused_decoder
from toolkit.vlm.engine.engine import Engine
from toolkit.vlm.engine.masks import UnknownAttentionError, _is_near, attention_bias, layer_windows
from toolkit.vlm.prompt import render
from toolkit.vlm.reference import plain_values

LONG = "is there a red circle ? what is the blue square ? a red or blue circle ?"

one = cache(windowed)


def forward(vlm, s) -> torch.Tensor:
    """Logits at the end of the prompt, of transformers alone."""
    inputs = vlm.adapter.processor(text=[render(vlm.adapter, s)[0]], images=[s.image], return_tensors="pt")
    with torch.inference_mode():
        return vlm.model(**inputs).logits[0, -1].float()


def some(game, n: int = 6) -> np.ndarray:
    rng = np.random.default_rng(0)
    chosen = rng.random((n, game.players.n)) < 0.6
    chosen[0] = True
    chosen[2:4, : game.players.n_image] = chosen[1, : game.players.n_image]  # variants behind one picture
    return chosen


@pytest.mark.parametrize("name", DECODERS)
@pytest.mark.parametrize("by_layers", [True, False])
@pytest.mark.parametrize("target", ["yes", "red circle ?"])
def test_a_window_shorter_than_the_picture_is_kept_by_every_path(name: str, by_layers: bool, target: str) -> None:
    vlm = one(name)
    vlm.engine = Engine(vlm.adapter, vlm.model, by_layers=by_layers)
    asked = replace(sample(1, question=LONG), choices=(target, "no"))
    game = vlm.game(asked, target=target)
    assert any(window is not None and window < game.players.n_image for window in layer_windows(vlm.model))
    chosen = some(game)
    values, plain = game(chosen), plain_values(game, chosen)
    np.testing.assert_allclose(np.log(values), np.log(plain), atol=1e-4, rtol=0)
    box = vlm.white_box(asked, target=target)
    assert box.score(box.pixels, box.question).item() == pytest.approx(np.log(plain[0]), abs=1e-4)
    if len(game.token_ids) == 1:
        expected = forward(vlm, asked).log_softmax(-1)[game.token_ids[0]].item()
        assert np.log(values[0]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("name", DECODERS)
def test_with_full_attention_another_number_would_come_out(name: str, monkeypatch) -> None:
    vlm = windowed(name)
    game = vlm.game(sample(1, question=LONG), target="yes")
    chosen = some(game)
    plain = plain_values(game, chosen)
    monkeypatch.setattr("toolkit.vlm.engine.masks._is_near", lambda window, index: torch.ones((), dtype=torch.bool))
    assert np.abs(np.log(game(chosen)) - np.log(plain)).max() > 1e-2


@pytest.mark.parametrize("name", ["qwen2.5-vl upper layers", "internvl qwen3"])
def test_layers_with_windows_run_by_the_stack_as_well(name: str) -> None:
    assert fused_decoder.is_known(one(name).model)


def test_llama_ignores_a_window_as_it_does_in_transformers() -> None:
    vlm = with_text("llava", hf.LlamaConfig, sliding_window=4, layer_types=["sliding_attention"] * 4)
    assert layer_windows(vlm.model) == (None,) * 4
    game = vlm.game(sample(1, question=LONG), target="yes")
    expected = forward(vlm, game.sample).log_softmax(-1)[game.token_ids[0]].item()
    assert np.log(game(np.ones((1, game.players.n), dtype=bool))[0]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("layer_types", ["chunked_attention"] * 4, "'chunked_attention'"),
        ("layer_types", ["full_attention"], "1 layer types"),
        ("sliding_window", 0, "is 0"),
        ("sliding_window", None, "is None"),
        ("is_causal", False, "both ways"),
    ],
)
def test_what_is_not_known_is_refused_by_its_name_and_the_familys(setting: str, value, named: str) -> None:
    vlm = windowed("internvl qwen3")
    game = vlm.game(sample(1), target="yes")
    setattr(vlm.model.config.text_config, setting, value)
    with pytest.raises(UnknownAttentionError, match=f"Qwen3Model.*{named}|{named}.*"):
        game(np.ones((1, game.players.n), dtype=bool))


@pytest.mark.parametrize(
    ("setting", "value", "named"),
    [
        ("sliding_window", 9, "a sliding window"),
        ("attention_chunk_size", 16, "chunked attention"),
        ("layer_types", ["linear_attention"], "layer types"),
        ("final_logit_softcapping", 30.0, "capped logits"),
    ],
)
def test_a_decoder_that_nobody_read_may_have_none_of_these_settings(setting, value, named, monkeypatch) -> None:
    vlm = make_subject("random-tiny-llava")
    text = vlm.model.get_decoder()
    monkeypatch.setattr(text, "__class__", type("OtherModel", (type(text),), {}))
    assert layer_windows(vlm.model) == (None,) * 4
    setattr(text.config, setting, value)
    with pytest.raises(UnknownAttentionError, match=f"OtherModel of LlavaForConditionalGeneration has {named}"):
        layer_windows(vlm.model)


def test_attention_sinks_of_a_decoder_that_nobody_read_are_refused(monkeypatch) -> None:
    vlm = make_subject("random-tiny-llava")
    text = vlm.model.get_decoder()
    monkeypatch.setattr(text, "__class__", type("OtherModel", (type(text),), {}))
    text.layers[0].self_attn.sinks = torch.nn.Parameter(torch.zeros(4))
    with pytest.raises(UnknownAttentionError, match="attention sinks"):
        layer_windows(vlm.model)


def test_a_packed_row_without_indices_is_refused_where_there_is_a_window() -> None:
    vlm = one("internvl qwen3")
    mask = torch.ones(1, 3, 3, dtype=torch.bool).tril()
    with pytest.raises(ValueError, match="give index"):
        decoder.decode(vlm.model, torch.zeros(1, 3, 128), mask, torch.arange(3)[None])


def test_a_window_by_hand() -> None:
    # prefix 0 1 2; the words 3 and 4, of which 3 is left out in the second branch: columns 0 1 2 3 4 | 4
    near = _is_near(3, torch.tensor([0, 1, 2, 3, 4, 4]))
    mask = (decoder.tree_mask(torch.tensor([[6, 6, 6, 5, 5, 6]]))[0] & near).int().tolist()
    assert mask == [
        [1, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0],
        [0, 1, 1, 1, 0, 0],
        [0, 0, 1, 1, 1, 0],
        [0, 0, 1, 0, 0, 1],
    ]
    bias = attention_bias(torch.tensor([[[True, False]]]), torch.float16)
    assert bias.tolist() == [[[[0.0, torch.finfo(torch.float16).min]]]]


@pytest.mark.parametrize("name", DECODERS)
def test_explainers_that_read_attention_see_the_window(name: str) -> None:
    vlm = one(name)
    seen = trace(vlm.white_box(sample(1), target="yes"), gradient=False).decoder
    for calls, window in zip(seen, layer_windows(vlm.model), strict=True):
        (call,) = calls
        weights = call.weights()
        index = torch.arange(weights.shape[-1])
        is_near = index[:, None] - index < (window or len(index))
        assert bool((weights[..., ~is_near] == 0).all())
        assert bool((weights[..., is_near.tril()] > 0).all())


@pytest.mark.parametrize("name", DECODERS)
def test_relevance_passes_through_windows_without_loss_or_is_refused(name: str) -> None:
    box = one(name).white_box(sample(1), target="yes")
    if name == "llava gemma2":  # norms about one, and capped scores
        with pytest.raises(ValueError, match="attn-lrp has no rule for Gemma2RMSNorm of Llava"):
            relevance(box)
        return
    _, logit, balances = relevance(box)
    assert logit == pytest.approx(box.logit(box.pixels, box.question).item(), abs=1e-5)
    assert max(balance.error for balance in balances) < 1e-4
