"""AttnLRP: each rule as plain algebra, the books of every block, and no effect on any other model."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest
import torch
from support.tiny_models import FAMILIES, sharp_vlm, tiny_sample
from torch import nn
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaMLP, LlamaRMSNorm

from toolkit.explainers import explain
from toolkit.explainers.attn_lrp import relevance
from toolkit.explainers.internals import lrp_rules
from toolkit.explainers.internals.anatomy import anatomy
from toolkit.explainers.internals.scope import hooks
from toolkit.vlm.model import LoadedVLM


@cache
def with_biases(family: str) -> LoadedVLM:
    """Random biases and norms, so that no term of the books is trivially zero."""

    def change(name: str, parameter: nn.Parameter) -> None:
        if parameter.ndim == 1:
            parameter.add_(0.1 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(len(name))))

    return sharp_vlm(family, 3, change)


@pytest.fixture(scope="module", params=FAMILIES)
def vlm(request: pytest.FixtureRequest) -> LoadedVLM:
    return with_biases(request.param)


def test_every_block_of_both_towers_balances(vlm: LoadedVLM) -> None:
    scores, logit, balances = relevance(vlm.white_box(tiny_sample(), target="yes"))
    parts = anatomy(vlm.model)
    names = {module: name for name, module in vlm.model.named_modules()}
    bridge = balances[len(parts.vision_layers)]
    blocks = [balance.layer for balance in balances if balance is not bridge]
    assert blocks == [names[block] for block in (*parts.vision_layers, *parts.decoder_layers)]
    assert bridge.layer.split(".")[-1] in ("multi_modal_projector", "merger")
    assert abs(bridge.bias) > 1e-4, "the bridge's books must have had something to say"
    assert max(balance.error for balance in balances) < 1e-4
    assert balances[-1].leaving == pytest.approx(logit, rel=1e-4), "the final norm and head lose nothing"
    assert max(abs(balance.bias) for balance in balances) > 1e-4, "the books must have had something to say"
    assert np.isfinite(scores).all()


@pytest.mark.parametrize("rule", ["_activation", "_rms_norm", "_half", "_layer_norm"])
def test_without_a_rule_the_books_do_not_balance(rule: str) -> None:
    family = "internvl"  # uses all of them: layer norm and GELU in the tower, RMS norm and a gated MLP in the decoder
    replacement = (lambda module, args: None) if rule == "_half" else (lambda module, args, output: None)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lrp_rules, rule, replacement)
        _, _, balances = relevance(with_biases(family).white_box(tiny_sample(), target="yes"))
    assert max(balance.error for balance in balances) > 1e-2


def test_the_logit_is_relevance_of_all_inputs_biases_and_softmax_terms() -> None:
    """End to end for LLaVA: pixels + class token + positions + words + template + biases + softmax = logit."""
    vlm = sharp_vlm("llava", seed=5)  # all biases zero
    box = vlm.white_box(tiny_sample(), target="yes")
    _, logit, balances = relevance(box)
    embeddings = vlm.model.model.vision_tower.embeddings
    sources: list[torch.Tensor] = []
    from toolkit.explainers.internals.lrp_rules import lrp_rules as rules

    def keep(_, __, output):
        own = output.view_as(output)
        sources.append(own)
        return own

    tower = vlm.model.model.language_model
    seen: list[torch.Tensor] = []
    with hooks([]) as handles, rules(vlm.model):
        handles.append(embeddings.register_forward_hook(keep))
        handles.append(
            tower.register_forward_pre_hook(lambda m, a, k: seen.append(k["inputs_embeds"]), with_kwargs=True)
        )
        value = box.logit(box.pixels.clone().requires_grad_(True), box.question)
    tokens, rows = torch.autograd.grad(value.sum(), (sources[0], seen[0]))
    text = torch.ones(rows.shape[1], dtype=torch.bool)
    text[box.image_positions] = False
    total = float(((sources[0] * tokens).sum() + (seen[0] * rows)[:, text].sum()).detach())
    softmax = sum(balance.softmax for balance in balances)
    assert total + softmax == pytest.approx(logit, abs=1e-4 * max(1, abs(logit)))


def test_a_gated_mlp_by_hand() -> None:
    """f(g) u with f(g) = g c: half the relevance goes through the gate, half through the other projection."""
    config = LlamaConfig(hidden_size=3, intermediate_size=4, num_attention_heads=1, num_key_value_heads=1)
    torch.manual_seed(0)
    mlp = LlamaMLP(config).double()
    x = torch.randn(1, 3, dtype=torch.float64, requires_grad=True)
    with torch.no_grad():
        gate, up = mlp.gate_proj(x)[0], mlp.up_proj(x)[0]
        hidden = torch.nn.functional.silu(gate) * up
        share = mlp.down_proj.weight.sum(0) * hidden  # relevance of each hidden unit for the sum of the outputs
        expected = torch.zeros(3, dtype=torch.float64)
        for unit in range(4):
            for weight, z in ((mlp.gate_proj.weight[unit], gate[unit]), (mlp.up_proj.weight[unit], up[unit])):
                expected += 0.5 * share[unit] * weight * x[0] / z
    handles = [mlp.act_fn.register_forward_hook(lrp_rules._activation)]
    handles.append(mlp.down_proj.register_forward_pre_hook(lrp_rules._half))
    with hooks(handles):
        (slope,) = torch.autograd.grad(mlp(x).sum(), x)
    torch.testing.assert_close((x * slope)[0].detach(), expected, atol=1e-12, rtol=1e-10)
    assert float((x * slope).sum().detach()) == pytest.approx(float(share.sum()), abs=1e-12)


def test_attention_by_hand() -> None:
    """O = A V gives the weights and the values half each; S = q k gives half of what the softmax hands on to each."""
    rng = np.random.default_rng(4)
    q, k, v = (torch.from_numpy(rng.standard_normal((1, 2, 3, 4))).requires_grad_(True) for _ in range(3))
    module = nn.Module()
    module.is_causal = True
    out = lrp_rules._attention(None)(module, q, k, v, None, 0.5, lambda: q)
    goal = torch.from_numpy(rng.standard_normal(tuple(out.shape)))
    slopes = torch.autograd.grad((goal * out).sum(), (q, k, v))
    expected = [np.zeros((2, 3, 4)) for _ in range(3)]
    for head in range(2):
        Q, K, V = (x.detach().numpy()[0, head] for x in (q, k, v))
        for i in range(3):
            s = np.array([0.5 * Q[i] @ K[j] for j in range(i + 1)])
            a = np.exp(s) / np.exp(s).sum()
            through = [goal[0, i, head].numpy() * V[j] for j in range(i + 1)]
            r_a = np.array([0.5 * a[j] * through[j].sum() for j in range(i + 1)])  # relevance of each weight
            r_s = s * (r_a - a * r_a.sum())  # the softmax rule of the paper, equation by equation
            for j in range(i + 1):
                expected[2][head, j] += 0.5 * a[j] * through[j]
                products = 0.5 * Q[i] * K[j]
                for side, at in ((0, i), (1, j)):
                    expected[side][head, at] += 0.5 * r_s[j] * products / products.sum()
    for tensor, slope, by_hand in zip((q, k, v), slopes, expected, strict=True):
        np.testing.assert_allclose((tensor * slope)[0].detach().numpy(), by_hand, atol=1e-10)


def test_no_layers_weights_are_kept_for_the_way_back() -> None:
    """The gradient's graph holds nothing of the size tokens x tokens."""
    vlm = with_biases("llava")
    box = vlm.white_box(tiny_sample(), target="yes")
    kept: list[tuple[int, ...]] = []
    with (
        lrp_rules.lrp_rules(vlm.model),
        torch.autograd.graph.saved_tensors_hooks(lambda x: kept.append(tuple(x.shape)) or x, lambda x: x),
    ):
        box.logit(box.pixels.clone().requires_grad_(True), box.question)
    assert kept
    assert [shape for shape in kept if shape[-1] == shape[-2:][0] == box.length] == []


def test_norms_by_hand() -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 5, dtype=torch.float64, requires_grad=True)
    rms = LlamaRMSNorm(5).double()
    layer = nn.LayerNorm(5).double()
    with torch.no_grad():
        rms.weight.uniform_(0.5, 2)
        layer.weight.uniform_(0.5, 2)
        layer.bias.uniform_(-1, 1)
    x32 = x.float()
    with hooks([rms.register_forward_hook(lrp_rules._rms_norm)]):
        (slope,) = torch.autograd.grad(rms(x).sum(), x)
    expected = rms.weight * x / torch.sqrt(x32.double().pow(2).mean(-1, keepdim=True))
    torch.testing.assert_close((x * slope).detach(), expected.detach(), atol=1e-5, rtol=1e-5)
    with hooks([layer.register_forward_hook(lrp_rules._layer_norm)]):
        out = layer(x)
        (slope,) = torch.autograd.grad(out.sum(), x)
    torch.testing.assert_close(out, nn.functional.layer_norm(x, (5,), layer.weight, layer.bias, layer.eps))
    centred = x - x.mean(-1, keepdim=True)
    weight = layer.weight / torch.sqrt(centred.pow(2).mean(-1, keepdim=True) + layer.eps)
    expected = (weight - weight.mean(-1, keepdim=True)) * x
    torch.testing.assert_close((x * slope).detach(), expected.detach(), atol=1e-10, rtol=1e-8)


def test_the_rules_do_not_change_what_the_model_says(vlm: LoadedVLM) -> None:
    box = vlm.white_box(tiny_sample(), target="yes")
    with torch.no_grad():
        plain = box.logit(box.pixels, box.question)
        with lrp_rules.lrp_rules(vlm.model):
            under = box.logit(box.pixels, box.question)
        after = box.logit(box.pixels, box.question)
    torch.testing.assert_close(under, plain, atol=1e-5, rtol=1e-5)
    assert torch.equal(plain, after)


@pytest.mark.parametrize("family", FAMILIES)
def test_another_model_in_the_process_keeps_bit_identical_gradients(family: str) -> None:
    """Even one that shares its configuration objects with the model under the rules."""
    vlm = with_biases(family)
    other = LoadedVLM("other", vlm.adapter, type(vlm.model)(vlm.model.config).eval())
    other.model.load_state_dict(vlm.model.state_dict())
    for mine, its in zip(vlm.model.modules(), other.model.modules(), strict=True):
        if hasattr(mine, "config"):
            its.config = mine.config

    def slopes() -> tuple[torch.Tensor, torch.Tensor]:
        box = other.white_box(tiny_sample(), target="yes")
        pixels, question = box.pixels.clone().requires_grad_(True), box.question.clone().requires_grad_(True)
        return torch.autograd.grad(box.logit(pixels, question).sum(), (pixels, question))

    before = slopes()
    with lrp_rules.lrp_rules(vlm.model):
        during = slopes()
    after = slopes()
    for one, two, three in zip(before, during, after, strict=True):
        assert torch.equal(one, two)
        assert torch.equal(one, three)


def test_an_unknown_nonlinearity_is_refused() -> None:
    vlm = sharp_vlm("llava")
    vlm.model.model.multi_modal_projector.act = nn.Tanh().eval()
    with pytest.raises(ValueError, match="no rule for Tanh"):
        explain("attn-lrp", vlm, tiny_sample(), target="yes")


def test_the_attribution_keeps_its_conservation_error_and_share() -> None:
    att = explain("attn-lrp", with_biases("qwen2.5-vl"), tiny_sample(), target="yes")
    assert att.details["conservation_error"] < 1e-4
    assert att.details["share"] == pytest.approx(att.scores.sum() / att.details["logit"])


def test_a_players_score_is_the_relevance_of_its_own_patch_and_word() -> None:
    """LLaVA's patch embedding has no bias, so a cell's pixels and its patch token carry the same relevance."""
    vlm = with_biases("llava")
    box = vlm.white_box(tiny_sample(), target="yes")
    scores, _, _ = relevance(box)
    patches: list[torch.Tensor] = []
    rows: list[torch.Tensor] = []
    inner = vlm.model.model
    with hooks([]) as handles, lrp_rules.lrp_rules(vlm.model):
        embedding = inner.vision_tower.embeddings.patch_embedding
        handles.append(embedding.register_forward_hook(lambda m, a, out: patches.append(out)))
        handles.append(
            inner.language_model.register_forward_pre_hook(
                lambda m, a, k: rows.append(k["inputs_embeds"]), with_kwargs=True
            )
        )
        value = box.logit(box.pixels.clone().requires_grad_(True), box.question).sum()
    by_patch, by_row = torch.autograd.grad(value, (patches[0], rows[0]))
    image = (patches[0] * by_patch).sum(1).flatten().detach().numpy()
    text = (rows[0] * by_row).sum(-1)[0, box.text_positions].detach().numpy()
    np.testing.assert_allclose(scores[:36], image, atol=1e-5 * np.abs(image).max())
    np.testing.assert_allclose(scores[36:], text, atol=1e-5 * np.abs(text).max())
