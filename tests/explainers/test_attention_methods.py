"""Attention of both towers, rollout and CAM on random models of three families, against independent computations."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from support.tiny_models import (
    FAMILIES,
    box_of,
    eager_attention,
    sharp_vlm,
    slope_along_activation,
    tiny_sample,
    tiny_vlm,
)

from toolkit.explainers import EXPLAINERS, explain, get_explainer
from toolkit.explainers.attention_sinks import received
from toolkit.explainers.grad_cam import DEPTH, GradCam
from toolkit.explainers.grad_rollout import GradRollout
from toolkit.explainers.integrated_gradients import IntegratedGradients
from toolkit.explainers.internals.anatomy import _members, anatomy, merge_of
from toolkit.explainers.internals.attention import mixing, rollout, trace
from toolkit.explainers.internals.cam import activation_map, layer_index
from toolkit.explainers.internals.gradients import backward_bytes, row_bytes
from toolkit.explainers.internals.scope import (
    attention_modules,
    attention_scope,
    fingerprint,
    hooks,
    leftovers,
    masked_softmax,
)
from toolkit.explainers.llava_cam import LlavaCam
from toolkit.vlm.engine import decoder
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.white_box import SampleWhiteBox

METHODS = ("rollout", "grad-rollout", "attention-last", "grad-cam", "llava-cam", "attn-lrp", "tam")


@pytest.mark.parametrize("family", FAMILIES)
def test_weights_and_their_gradients_equal_the_models_own_eager_attention(family: str) -> None:
    vlm, box = tiny_vlm(family), box_of(family)
    own = eager_attention(vlm, box)
    (logit,) = own.pop("logit")
    traced = trace(box, gradient=True)
    names = {module: name for name, module in attention_modules(vlm.model).items()}
    compared = 0
    for layer in (*traced.vision, *traced.decoder):
        expected = own[names[layer[0].module]]
        assert len(layer) == len(expected)
        slopes = torch.autograd.grad(logit.sum(), expected, retain_graph=True)
        for call, weights, slope in zip(layer, expected, slopes, strict=True):
            torch.testing.assert_close(call.weights(), weights.detach(), atol=1e-6, rtol=1e-4)
            visible = weights > 0
            torch.testing.assert_close(call.weights_gradient()[visible], slope[visible], atol=1e-5, rtol=1e-3)
            compared += 1
    assert compared >= 5
    if family == "qwen2.5-vl":
        assert len(traced.vision[0]) == 4, "the first tower layer looks through four windows"
        assert len(traced.vision[1]) == 1


@pytest.mark.parametrize("family", FAMILIES)
def test_a_players_patches_are_those_that_its_pixels_change(family: str) -> None:
    box = box_of(family)
    parts, merge = anatomy(box.model), merge_of(box)
    entered: list[torch.Tensor] = []
    with hooks([]) as handles, torch.no_grad():
        handles.append(parts.vision_layers[0].register_forward_pre_hook(lambda _, args: entered.append(args[0])))
        ones = torch.ones_like(box.pixels).requires_grad_(True)
        box.logit(box.pixels, box.question)
        for player in (0, 7, 20, 35):
            with torch.enable_grad():
                (mask,) = torch.autograd.grad(box.pixels_to_players(ones)[0, player], ones)
            box.logit(box.pixels + mask, box.question)
    plain, *changed = (one.flatten(0, -2) for one in entered)
    for player, now in zip((0, 7, 20, 35), changed, strict=True):
        moved = (now - plain).abs().sum(-1) > 0
        assert torch.equal(moved, merge.members[player])
    assert int(merge.members.sum(0).max()) == 1
    assert merge.used_layers == 2


@pytest.mark.parametrize("used", [
    np.repeat(np.eye(5), 2, axis=1)[:, [3, 0, 9, 1, 2, 4, 8, 5, 7, 6]],  # two tokens each, in any order
    np.hstack([np.eye(5), np.zeros((5, 2))]),  # nobody uses the last two
    np.tri(5),  # shared
    np.ones((1, 3)),
])  # fmt: skip
def test_the_tokens_of_every_player_are_found_shared_or_not(used: np.ndarray) -> None:
    tokens = torch.randn(1, used.shape[1], 4, requires_grad=True)
    players = torch.einsum("pt,td->pd", torch.from_numpy(used).float(), tokens[0])
    assert torch.equal(_members(players, tokens), torch.from_numpy(used > 0))


def test_the_memory_of_a_row_is_measured_once_for_each_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not again for another sample of the same size; again where an input, the answer or the rules are others."""
    vlm, sample = sharp_vlm("llava"), tiny_sample()
    measured: list[int] = []
    monkeypatch.setattr(
        "toolkit.explainers.internals.gradients.backward_bytes", lambda box: measured.append(1) or len(measured)
    )
    boxes = [vlm.white_box(dataclasses.replace(sample, id=name), target="yes") for name in "ab"]
    longer = vlm.white_box(dataclasses.replace(sample, question=f"{sample.question} red"), target="yes")
    assert [row_bytes(box) for box in (*boxes, longer, *boxes)] == [1, 1, 2, 1, 1]
    assert row_bytes(boxes[0], under="rules") == 3


@pytest.mark.parametrize("family", FAMILIES)
def test_the_merge_is_read_without_running_the_decoder_or_keeping_the_towers_graph(family: str) -> None:
    """What rollout keeps beside its attention is what lies between the towers, as its memory line says."""
    vlm = sharp_vlm(family)
    vlm.model.requires_grad_(False)
    box = vlm.white_box(tiny_sample(), target="yes")
    ran: list[str] = []
    kept: list[int] = []
    weights = {p.untyped_storage().data_ptr() for p in vlm.model.parameters()}
    layer = anatomy(vlm.model).decoder_layers[0]

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        if tensor.untyped_storage().data_ptr() not in weights:
            kept.append(tensor.untyped_storage().nbytes())
        return tensor

    with hooks([layer.register_forward_hook(lambda *_: ran.append("decoder"))]):
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            merge = merge_of(box)
        assert ran == []
        box.logit(box.pixels, box.question)
        assert ran == ["decoder"]
    assert torch.equal(merge.members, merge_of(box_of(family)).members)
    assert 0 < sum(kept) < 0.1 * backward_bytes(box)


def test_half_precision_is_planned_with_its_float32_softmax(monkeypatch: pytest.MonkeyPatch) -> None:
    (call,) = trace(box_of("llava"), gradient=False).decoder[0]
    planned: list[int] = []
    monkeypatch.setattr(
        "toolkit.explainers.internals.gradients.check_fits", lambda needed, *_, **__: planned.append(needed)
    )
    _, heads, n, _ = call.query.shape
    for dtype in (torch.float32, torch.bfloat16):
        dataclasses.replace(call, query=call.query.to(dtype), key=call.key.to(dtype)).weights()
    assert planned == [12 * heads * n * n, 10 * heads * n * n]


@pytest.mark.parametrize("by_gradient", [False, True])
@pytest.mark.parametrize("family", FAMILIES)
def test_rollout_equals_the_product_of_full_matrices(family: str, by_gradient: bool) -> None:
    box = box_of(family)
    traced, merge = trace(box, gradient=by_gradient), merge_of(box)
    rolled = rollout(box, traced, merge, by_gradient=by_gradient)

    def full(layers) -> torch.Tensor:
        product = None
        for calls in layers:
            blocks = [block for call in calls for block in mixing(call, by_gradient=by_gradient)]
            matrix = torch.block_diag(*blocks)
            product = matrix if product is None else matrix @ product
        return product

    decoder = full(traced.decoder)
    torch.testing.assert_close(decoder.sum(1), torch.ones(len(decoder), dtype=torch.float64), atol=1e-10, rtol=0)
    torch.testing.assert_close(rolled.decoder, decoder[-1], atol=1e-12, rtol=1e-10)
    vision = full(traced.vision)
    per_player = torch.stack([vision[members].mean(0) for members in merge.members])
    torch.testing.assert_close(per_player.sum(1), torch.ones(36, dtype=torch.float64), atol=1e-10, rtol=0)
    mass = decoder[-1, box.image_positions]
    image = torch.stack([(mass @ per_player)[members].sum() for members in merge.members])
    torch.testing.assert_close(rolled.image, image, atol=1e-12, rtol=1e-9)
    assert float(rolled.vision.sum()) == pytest.approx(float(mass.sum()), abs=1e-12)
    assert float(rolled.decoder.sum()) == pytest.approx(1, abs=1e-12)


def test_grad_rollout_without_row_normalisation_is_the_rule_of_its_paper() -> None:
    """R <- R + E R from R = 1, E the mean over heads of relu(gradient * attention), from the models' own weights."""
    box = box_of("llava")
    traced, merge = trace(box, gradient=True), merge_of(box)
    relevance = torch.eye(traced.decoder[0][0].query.shape[2], dtype=torch.float64)
    for (call,) in traced.decoder:
        own = (call.weights() * call.weights_gradient()).clamp(min=0).double().mean(1)[0]
        relevance = relevance + own @ relevance
    plain = rollout(box, traced, merge, by_gradient=True, normalised=False)
    torch.testing.assert_close(plain.decoder, relevance[-1], atol=1e-9, rtol=1e-6)
    assert float(plain.decoder.sum()) > 1
    text = explain(GradRollout(normalised=False), tiny_vlm("llava"), tiny_sample(), target="yes").of("text")
    np.testing.assert_allclose(text, relevance[-1, box.text_positions].numpy(), rtol=1e-5, atol=1e-9)


@pytest.mark.parametrize("family", FAMILIES)
def test_grad_cam_is_the_derivative_along_a_players_activation(family: str) -> None:
    """n * score_p = d/de logit(A + e * A_p at every player): a finite difference that uses no gradient."""
    box = box_of(family)
    (scores,) = activation_map(box, box.pixels, DEPTH)
    for player in (0, 17, 40):
        slope = slope_along_activation(box, DEPTH, player)
        assert slope == pytest.approx(float(scores[player]), abs=2e-4 + 0.01 * abs(float(scores[player])))


def test_the_layer_is_a_fraction_of_the_depth() -> None:
    assert [layer_index(n, DEPTH) for n in (3, 4, 28, 32, 36)] == [0, 1, 6, 7, 8]
    assert [layer_index(5, depth) for depth in (0.0, 0.5, 1.0)] == [0, 2, 4]
    with pytest.raises(ValueError, match=r"\[0, 1\]"):
        layer_index(3, 1.5)


@pytest.mark.parametrize("family", FAMILIES)
def test_the_chosen_layer_is_kept_and_the_last_one_has_no_map(family: str) -> None:
    vlm, sample = tiny_vlm(family), tiny_sample()
    for method in ("grad-cam", "llava-cam"):
        assert explain(method, vlm, sample, target="yes").details["layer"] == 1, "the second of four"
    assert np.any(explain("grad-cam", vlm, sample, target="yes").of("image"))
    last = explain(GradCam(depth=1.0), vlm, sample, target="yes")
    assert last.details["layer"] == 3
    assert not np.any(last.scores), "nothing at other positions of the last layer reaches the answer"


def test_llava_cam_without_noise_is_grad_cam_and_with_noise_is_not() -> None:
    vlm, sample = tiny_vlm("llava"), tiny_sample()
    plain = explain("grad-cam", vlm, sample, target="yes").scores
    still = explain(LlavaCam(level=0.0, samples=2), vlm, sample, target="yes").scores
    np.testing.assert_allclose(still, plain, atol=1e-7)
    one, again, other = (explain("llava-cam", vlm, sample, target="yes", seed=seed).scores for seed in (0, 0, 1))
    np.testing.assert_array_equal(one, again)
    assert not np.allclose(one, other)
    assert not np.allclose(one, plain)
    rectified = explain(GradCam(rectify=True), vlm, sample, target="yes").scores
    np.testing.assert_array_equal(rectified, np.maximum(plain, 0))
    assert plain.min() < 0


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_is_left_behind_also_after_an_error(family: str, method: str) -> None:
    vlm, sample = tiny_vlm(family), tiny_sample()
    before = fingerprint(vlm.model)
    first = explain(method, vlm, sample, target="yes").scores
    assert leftovers(before, fingerprint(vlm.model)) == []
    np.testing.assert_array_equal(first, explain(method, vlm, sample, target="yes").scores)
    logits = SampleWhiteBox._logits

    def failing(*args):
        logits(*args)
        raise RuntimeError("out of luck")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(SampleWhiteBox, "_logits", failing)
        with pytest.raises(RuntimeError, match="out of luck"):
            explain(method, vlm, sample, target="yes")
    assert leftovers(before, fingerprint(vlm.model)) == []


def test_the_fingerprint_sees_hooks_configurations_gradients_and_weights() -> None:
    vlm = sharp_vlm("llava")
    norm = vlm.model.model.language_model.norm
    before = fingerprint(vlm.model)
    handle = norm.register_forward_hook(lambda *_: None)
    assert leftovers(before, fingerprint(vlm.model)) == ["model.language_model.norm"]
    handle.remove()
    norm.forward = norm.forward
    assert leftovers(before, fingerprint(vlm.model)) == ["model.language_model.norm"]
    del norm.forward
    norm.weight.requires_grad_(False)
    assert leftovers(before, fingerprint(vlm.model)) == ["parameter model.language_model.norm.weight"]
    norm.weight.requires_grad_(True)
    with torch.no_grad():
        norm.weight.mul_(2)
    assert leftovers(before, fingerprint(vlm.model)) == ["parameter model.language_model.norm.weight"]


def test_attention_scope_refuses_what_it_cannot_see() -> None:
    with pytest.raises(ValueError, match="no attention modules"), attention_scope(torch.nn.Linear(1, 1), print):
        pass
    with pytest.raises(ValueError, match="get_decoder"):
        anatomy(torch.nn.Linear(1, 1))


@pytest.mark.parametrize("method", METHODS)
def test_maps_do_not_depend_on_the_attention_implementation(method: str) -> None:
    vlm, sample = tiny_vlm("internvl"), tiny_sample()
    fast = explain(method, vlm, sample, target="yes").scores
    vlm.model.set_attn_implementation("eager")
    try:
        plain = explain(method, vlm, sample, target="yes").scores
    finally:
        vlm.model.set_attn_implementation("sdpa")
    np.testing.assert_allclose(fast, plain, atol=1e-4 * np.abs(plain).max())


def test_masked_softmax_by_hand() -> None:
    """No mask: causal where the module is; a bool mask hides; an additive mask adds."""
    causal, free = torch.nn.Module(), torch.nn.Module()
    causal.is_causal, free.is_causal = True, False
    scores = torch.zeros(1, 1, 3, 3)
    lower = torch.tensor([[1, 0, 0], [1 / 2, 1 / 2, 0], [1 / 3, 1 / 3, 1 / 3]])
    torch.testing.assert_close(masked_softmax(causal, scores, None)[0, 0], lower)
    torch.testing.assert_close(masked_softmax(free, scores, None)[0, 0], torch.full((3, 3), 1 / 3))
    hidden = torch.ones(1, 1, 3, 3, dtype=torch.bool).tril()
    torch.testing.assert_close(masked_softmax(free, scores, hidden)[0, 0], lower)
    bias = torch.log(torch.tensor([1.0, 2.0, 1.0])).expand(1, 1, 3, 3)
    torch.testing.assert_close(masked_softmax(free, scores, bias)[0, 0, 0], torch.tensor([0.25, 0.5, 0.25]))


HUNGRY = [name for name in EXPLAINERS if {"gradients", "attention"} & get_explainer(name).needs]
"""What needs a backward pass or attention weights, whoever adds one."""


@pytest.mark.parametrize("method", HUNGRY)
def test_an_explainer_that_cannot_fit_is_refused_with_numbers_and_what_helps(
    method: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = lambda device: 1000  # noqa: E731
    monkeypatch.setattr("toolkit.explainers.internals.gradients.free_bytes", few)
    monkeypatch.setattr("toolkit.explainers.optimised_mask.free_bytes", few)
    what = r"(one backward row|two backward rows|the attention of one layer \(\d+ tokens\))"
    size = r"[\d.]+ [KMG]iB"
    message = rf"^{method}: .*{what} needs about {size}, and 80% of the {size} that are free .*; use "
    with pytest.raises(MemoryError, match=message + r"a smaller image \(max_pixels\), dtype='bfloat16' or occlusion"):
        explain(method, tiny_vlm("qwen2.5-vl"), tiny_sample(), target="yes")
    with pytest.raises(MemoryError, match=message + "dtype='bfloat16' or occlusion, which"):  # of one size
        explain(method, tiny_vlm("llava"), tiny_sample(), target="yes")


def test_what_needs_neither_gradients_nor_attention_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("toolkit.explainers.internals.gradients.free_bytes", lambda device: 1000)
    for method in ("tam", "occlusion"):
        assert np.isfinite(explain(method, tiny_vlm("llava"), tiny_sample(), target="yes").scores).all()


def test_memory_that_somebody_else_took_meanwhile_names_the_explainer_and_what_helps(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As on a GPU that is shared: there was room when it was planned, and there is none when it is asked for."""

    def full(self, *inputs):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.\nmore")

    monkeypatch.setattr(SampleWhiteBox, "logit", full)
    with pytest.raises(
        MemoryError,
        match=r"^tam ran out of memory \(CUDA out of memory. Tried to allocate 2.00 GiB\); use a smaller image \(max_t",
    ):
        explain("tam", tiny_vlm("internvl"), tiny_sample(), target="yes")


def test_suppression_takes_fewer_players_at_once_where_their_attention_does_not_fit(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    vlm, sample = tiny_vlm("llava"), tiny_sample()
    free = explain("atman", vlm, sample, target="yes").scores
    box = vlm.white_box(sample, target="yes")
    one = 16 * vlm.model.config.text_config.num_attention_heads * box.length**2
    rows: list[int] = []
    score = SampleWhiteBox.score

    def counted(self, pixels, question):
        found = score(self, pixels, question)
        rows.append(len(pixels))
        return found

    monkeypatch.setattr(SampleWhiteBox, "score", counted)
    monkeypatch.setattr("toolkit.explainers.internals.gradients.free_bytes", lambda device: int(3.9 * one / 0.8))
    short = explain("atman", vlm, sample, target="yes").scores
    assert max(rows) == 2
    assert sum(rows) == len(short) + 1
    np.testing.assert_allclose(short, free, atol=1e-5 * np.abs(free).max())


def test_sinks_are_found_one_head_at_a_time() -> None:
    """The formula of the docstring at once: mean over queries of the mean over heads of weight times keys in sight."""
    weights = torch.rand(5, 7, 7).tril()
    weights = weights / weights.sum(-1, keepdim=True)
    seen = torch.arange(1, 8)[:, None]
    expected = (weights.double() * seen).mean(0).sum(0) / torch.arange(7, 0, -1)
    torch.testing.assert_close(received(weights), expected)


def test_short_memory_makes_smaller_batches_and_the_same_scores(monkeypatch: pytest.MonkeyPatch) -> None:
    vlm, sample = tiny_vlm("llava"), tiny_sample()
    free = explain("smoothgrad", vlm, sample, target="yes").scores
    rows: list[int] = []
    score = SampleWhiteBox.score

    def counted(self, pixels, question):
        rows.append(len(pixels))
        return score(self, pixels, question)

    one = backward_bytes(vlm.white_box(sample, target="yes"))
    monkeypatch.setattr("toolkit.explainers.internals.gradients.free_bytes", lambda device: int(3.9 * one))
    monkeypatch.setattr(SampleWhiteBox, "score", counted)
    short = explain("smoothgrad", vlm, sample, target="yes").scores
    assert max(rows) == 3
    np.testing.assert_allclose(short, free, atol=1e-5 * np.abs(free).max())


@pytest.mark.parametrize("method", ["smoothgrad", IntegratedGradients(steps=20)])
def test_rows_of_a_backward_pass_are_few_on_a_processor(method, monkeypatch: pytest.MonkeyPatch) -> None:
    rows: list[int] = []
    logits = SampleWhiteBox._logits

    def counted(self, pixels, question, number):
        rows.append(len(pixels))
        return logits(self, pixels, question, number)

    monkeypatch.setattr(SampleWhiteBox, "_logits", counted)
    explain(method, tiny_vlm("llava"), tiny_sample(), target="yes")
    assert max(rows) == 12


@pytest.fixture
def blind_to_one_cell(monkeypatch: pytest.MonkeyPatch) -> LoadedVLM:
    """A tower that mixes no patches, and a decoder that may not look at cell 14: the cell provably does not matter."""

    def no_mixing(name: str, parameter: torch.nn.Parameter) -> None:
        if "vision_tower" in name and "out_proj" in name:
            parameter.zero_()

    vlm, decode = sharp_vlm("llava", change=no_mixing), decoder.decode
    hidden = int(vlm.white_box(tiny_sample(), target="yes").image_positions[14])

    def blind(model, rows, mask, *where):
        mask = mask.clone()
        mask[:, hidden + 1 :, hidden] = False
        return decode(model, rows, mask, *where)

    monkeypatch.setattr(decoder, "decode", blind)
    return vlm


@pytest.mark.parametrize("method", ["input-x-gradient", "integrated-gradients", "smoothgrad", "attn-lrp"])
def test_a_cell_that_cannot_matter_gets_zero_where_it_is_promised(method: str, blind_to_one_cell: LoadedVLM) -> None:
    chosen = IntegratedGradients(steps=8) if method == "integrated-gradients" else method
    scores = explain(chosen, blind_to_one_cell, tiny_sample(), target="yes").of("image")
    assert scores[14] == 0
    assert np.sort(np.abs(scores))[1] > 0


@pytest.mark.parametrize("method", ["rollout", "grad-cam"])
def test_attention_and_activation_maps_do_not_promise_it(method: str, blind_to_one_cell: LoadedVLM) -> None:
    """Rollout does not see that the tower's output weights are zero; Grad-CAM uses a gradient averaged over cells."""
    assert explain(method, blind_to_one_cell, tiny_sample(), target="yes").of("image")[14] != 0


def test_the_size_of_the_gradient_does_not_matter_and_every_row_keeps_half() -> None:
    box = box_of("llava")
    traced = trace(box, gradient=True)
    for calls in (*traced.vision, *traced.decoder):
        for call in calls:
            mixed = mixing(call, by_gradient=True)
            larger = mixing(dataclasses.replace(call, gradient=1000 * call.gradient), by_gradient=True)
            torch.testing.assert_close(mixed, larger, atol=1e-6, rtol=1e-4)
            silent = mixing(dataclasses.replace(call, gradient=0 * call.gradient), by_gradient=True)
            torch.testing.assert_close(silent[0], torch.eye(mixed.shape[-1], dtype=torch.float64))
            lost = 1 - mixed.diagonal(dim1=-2, dim2=-1)
            assert float(lost.max()) <= 0.5 + 1e-9
