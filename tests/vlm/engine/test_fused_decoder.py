"""The stack run by layers gives what transformers' decoder gives, and steps aside where it cannot."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from support.subjects import RANDOM_TINY, RELEASED, make_subject, sample
from torch.nn import functional
from transformers.models.llama.modeling_llama import apply_rotary_pos_emb

from toolkit.vlm.engine import decoder, fused_decoder
from toolkit.vlm.engine.rotary import RotaryTable
from toolkit.vlm.model import LoadedVLM

NEAR = {"atol": 1e-5, "rtol": 1e-5}


def packed(vlm: LoadedVLM, dtype: torch.dtype = torch.float32) -> tuple[tuple[Any, ...], tuple[torch.Tensor, ...]]:
    """Arguments of ``decode`` for two packed rows, and the tokens to read."""
    generator = torch.Generator().manual_seed(0)
    width = vlm.model.config.get_text_config().hidden_size
    embeddings = torch.randn(2, 12, width, generator=generator).to(dtype)
    ends = torch.tensor([[12] * 5 + [8] * 3 + [12] * 4, [11] * 6 + [8] * 2 + [10] * 2 + [11, 12]])
    mask = decoder.tree_mask(ends)
    positions = torch.tensor([[*range(8), 5, 6, 7, 8], [*range(8), 6, 7, 6, 0]])
    if vlm.family.startswith(("qwen", "glm")):
        positions = torch.stack([positions, positions + 2, positions * 2])
    read = torch.arange(2)[:, None], torch.tensor([[7, 11, 0], [7, 9, 10]])
    return (vlm.model, embeddings, mask, positions), read


@pytest.mark.parametrize("name", [*RANDOM_TINY, *RELEASED])
@torch.inference_mode()
def test_the_read_states_are_those_of_the_decoder(name: str) -> None:
    vlm = make_subject(name)
    arguments, read = packed(vlm)
    assert fused_decoder.is_known(vlm.model) == (vlm.family not in ("gemma3", "glm4.1v", "glm4.6v", "qwen3-vl-moe"))
    places = arguments[3] if vlm.family == "gemma3" else None  # its windows need each token's place
    before = arguments[1].clone()
    expected = decoder.decode(*arguments, index=places)[read]
    for prefix in (0, 5):  # both rows begin with at least five columns of prefix, of which no state is read
        found, is_read = fused_decoder.read_states(*arguments, read, index=places, prefix=prefix), read[1] >= prefix
        torch.testing.assert_close(found[is_read], expected[is_read], **NEAR)
    assert torch.equal(arguments[1], before)


@pytest.mark.parametrize("cut", ["layers", "configuration"])
@pytest.mark.parametrize("name", ["random-tiny-llava", "released-qwen3-vl"])
@torch.inference_mode()
def test_where_layers_are_cut_off_those_run_that_transformers_runs(name: str, cut: str) -> None:
    vlm = make_subject(name)
    inner = vlm.model.get_decoder()
    if cut == "layers":
        inner.layers = inner.layers[:1]
    else:
        inner.config.num_hidden_layers = 1
    arguments, read = packed(vlm)
    torch.testing.assert_close(fused_decoder.read_states(*arguments, read), decoder.decode(*arguments)[read], **NEAR)


@pytest.mark.parametrize("name", RANDOM_TINY)
@torch.inference_mode()
def test_hidden_states_asked_for_once_do_not_slow_scoring_down_for_ever(name: str) -> None:
    vlm = make_subject(name)
    vlm.model(input_ids=torch.tensor([[1, 2, 3]]), output_hidden_states=True)
    assert vlm.model.get_decoder().layers[0]._forward_hooks  # transformers leaves its recorder there
    assert fused_decoder.is_known(vlm.model)
    arguments, read = packed(vlm)
    torch.testing.assert_close(
        fused_decoder.read_states(*arguments, read), decoder.decode(*arguments)[read], atol=1e-5, rtol=1e-5
    )


@pytest.mark.parametrize("name", RANDOM_TINY)
@torch.inference_mode()
def test_half_precision_stays_close(name: str) -> None:
    vlm = make_subject(name)
    vlm.model.bfloat16()
    arguments, read = packed(vlm, torch.bfloat16)
    found = fused_decoder.read_states(*arguments, read)
    assert found.dtype == torch.bfloat16
    torch.testing.assert_close(found, decoder.decode(*arguments)[read], atol=0.1, rtol=0.1)


@pytest.mark.parametrize("reason", ["eager", "hook", "forward", "kind"])
@torch.inference_mode()
def test_a_decoder_that_is_not_such_a_stack_runs_as_transformers_runs_it(reason: str, monkeypatch) -> None:
    vlm = make_subject("random-tiny-internvl")
    layer = vlm.model.get_decoder().layers[1]
    seen: list[int] = []
    if reason == "eager":
        vlm.model.set_attn_implementation("eager")
    elif reason == "hook":
        layer.self_attn.register_forward_hook(lambda *_: seen.append(1))
    elif reason == "forward":
        monkeypatch.setattr(layer.mlp, "forward", lambda x: torch.zeros_like(x))
    else:
        monkeypatch.setattr(layer, "__class__", type("OtherLayer", (type(layer),), {}))
    arguments, read = packed(vlm)
    assert not fused_decoder.is_known(vlm.model)
    assert torch.equal(fused_decoder.read_states(*arguments, read), decoder.decode(*arguments)[read])
    assert len(seen) == (2 if reason == "hook" else 0)


@pytest.mark.parametrize("at", ["self_attn.q_proj", "self_attn.q_norm", "mlp.act_fn", "mlp.down_proj"])
@torch.inference_mode()
def test_whoever_hooks_a_part_of_a_layer_sees_what_transformers_shows(at: str) -> None:
    vlm = make_subject("random-tiny-internvl")
    seen: list[torch.Tensor] = []
    vlm.model.get_decoder().layers[-1].get_submodule(at).register_forward_hook(lambda _, __, out: seen.append(out))
    arguments, read = packed(vlm)
    states = fused_decoder.read_states(*arguments, read)
    assert torch.equal(states, decoder.decode(*arguments)[read])
    ours, theirs = seen
    assert torch.equal(ours, theirs)


def test_turning_all_heads_at_once_is_the_rotary_embedding() -> None:
    generator = torch.Generator().manual_seed(1)
    angles = torch.randn(2, 7, 4, generator=generator)
    cosine, sine = (torch.cat((f, f), dim=-1) for f in (angles.cos(), angles.sin()))
    query, key = torch.randn(2, 7, 6, 8, generator=generator), torch.randn(2, 7, 3, 8, generator=generator)
    expected = apply_rotary_pos_emb(query, key, cosine, sine, unsqueeze_dim=2)
    turn = RotaryTable.of_heads(cosine, sine, 6)
    for x, e in zip((query, key), expected, strict=True):
        torch.testing.assert_close(turn(x.flatten(2).clone()).view(x.shape), e)


@torch.inference_mode()
def test_rotary_axes_that_an_older_transformers_leaves_apart_are_mixed() -> None:
    """Up to 5.16 the rotary embedding of Qwen2.5-VL returns its three axes; here they are made from equal positions."""
    inner = make_subject("random-tiny-qwen2.5-vl").model.get_decoder()
    embeddings, positions = torch.zeros(2, 9, 1), torch.arange(54).view(3, 2, 9)
    if inner.rotary_emb(embeddings, positions)[0].dim() == 4:
        pytest.skip("this transformers leaves them apart itself: the contract suite compares with it")
    apart = [inner.rotary_emb(embeddings, axis.expand(3, -1, -1)) for axis in positions]
    for i, mixed in enumerate(inner.rotary_emb(embeddings, positions)):
        table = torch.stack([tables[i] for tables in apart])
        assert not torch.equal(table[0], mixed)
        assert torch.equal(fused_decoder._mixed(table, inner.config), mixed)
        assert fused_decoder._mixed(mixed, inner.config) is mixed


@pytest.mark.parametrize("reason", ["hook", "kind"])
def test_a_projection_that_is_more_than_a_linear_layer_is_called(reason: str, monkeypatch) -> None:
    vlm = make_subject("random-tiny-llava")
    mlp = vlm.model.get_decoder().layers[0].mlp
    chosen = np.ones((1, vlm.game(sample(1), target="yes").players.n), dtype=bool)
    before = vlm.game(sample(1), target="yes")(chosen)
    if reason == "hook":
        mlp.up_proj.register_forward_hook(lambda module, args, output: 2 * output)
    else:
        doubled = type(
            "Doubled", (torch.nn.Linear,), {"forward": lambda self, x: 2 * functional.linear(x, self.weight)}
        )
        monkeypatch.setattr(mlp.up_proj, "__class__", doubled)
    vlm.engine.forget()
    after = vlm.game(sample(1), target="yes")(chosen)
    assert abs(after - before).max() > 1e-4
