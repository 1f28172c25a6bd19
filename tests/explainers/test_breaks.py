"""For every explainer: its central rule, the smallest change that breaks it, and a check that then goes red.

Each case edits the explainer's own source in memory, runs the check on the whole explainer and on the broken one, and
demands that the first passes and the second fails. An edit that no longer finds its line is an error, so that the list
stays true.
"""

from __future__ import annotations

import importlib
import sys
import types
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from support.tiny_boxes import TinyVLM, tiny_sample, tiny_vlm
from support.toy_vlm import ToyVLM, toy_sample

from tests.explainers.test_attention_methods import box_of, eager_attention
from tests.explainers.test_classical import MEANS, P, c, first_order, shapley
from toolkit.explainers import EXPLAINERS, explain
from toolkit.explainers.grad_cam import DEPTH
from toolkit.explainers.internals.anatomy import anatomy
from toolkit.explainers.internals.attention import trace
from toolkit.explainers.internals.cam import layer_index
from toolkit.explainers.internals.scope import hooks


def closed_form(expected: Callable[[], Any], tolerance: float = 1e-6) -> Callable[[Any], None]:
    """A check of the scores on the model that is solved by hand."""

    def check(method: Any) -> None:
        scores = explain(method, ToyVLM(), toy_sample()).scores
        np.testing.assert_allclose(scores, expected(), atol=tolerance)

    return check


def scores_of(method: Any, vlm: TinyVLM | None = None, seed: int = 0) -> np.ndarray:
    return explain(method, vlm or tiny_vlm("llava"), tiny_sample(), target="yes", seed=seed).scores


def check_grad_cam(method: Any) -> None:
    """n * score_p is the slope of the logit along the activation of player p, by finite differences."""
    box = box_of("llava")
    layers = anatomy(box.model).decoder_layers
    norm = layers[layer_index(len(layers), DEPTH)].post_attention_layernorm
    where = torch.cat([box.image_positions, box.text_positions])
    seen: list[torch.Tensor] = []
    scores, player = scores_of(method), 17
    values = []
    with torch.no_grad():
        with hooks([norm.register_forward_hook(lambda m, a, out: seen.append(out))]):
            box.logit(box.pixels, box.question)
        direction = torch.zeros_like(seen[0])
        direction[0, where] = seen[0][0, where[player]]
        for step in (1e-2, -1e-2):
            with hooks([norm.register_forward_hook(lambda m, a, out, step=step: out + step * direction)]):
                values.append(float(box.logit(box.pixels, box.question)))
    slope = (values[0] - values[1]) / 2e-2 / len(where)
    assert slope == pytest.approx(float(scores[player]), abs=2e-4 + 0.01 * abs(slope))


def check_llava_cam(method: Any) -> None:
    """Averages over noisy pictures: close to Grad-CAM, not equal to it, and another seed gives another map."""
    plain, one, other = scores_of("grad-cam"), scores_of(method), scores_of(method, seed=1)
    assert not np.allclose(one, plain)
    assert not np.allclose(one, other)


def check_conservation(method: Any) -> None:
    attribution = explain(method, tiny_vlm("internvl"), tiny_sample(), target="yes")
    assert attribution.details["conservation_error"] < 1e-4


def check_rollout(method: Any) -> None:
    """Attention that is flat by construction: half of each row stays where it is, the rest is spread evenly."""
    vlm = TinyVLM("llava")
    with torch.no_grad():
        for name, parameter in vlm.model.named_parameters():
            if "q_proj" in name:
                parameter.zero_()
    box = vlm.white_box(tiny_sample(), target="yes")
    n = len(box.ids)
    step = (np.tril(np.ones((n, n))) / np.arange(1, n + 1)[:, None] + np.eye(n)) / 2
    row = np.linalg.matrix_power(step, len(anatomy(vlm.model).decoder_layers))[-1]
    np.testing.assert_allclose(scores_of(method, vlm)[36:], row[box.text_positions], atol=1e-7)


def check_grad_rollout(method: Any) -> None:
    """The decoder's part from the calls' own weights and gradients, multiplied out with the rectifier."""
    box = box_of("llava")
    product = None
    for (call,) in trace(box, gradient=True).decoder:
        kept = (call.weights() * call.weights_gradient())[0].double().relu().mean(0)
        kept = kept / kept.sum(-1, keepdim=True).clamp(min=1e-300)
        mixed = kept + torch.eye(len(kept), dtype=torch.float64)
        mixed = mixed / mixed.sum(-1, keepdim=True)
        product = mixed if product is None else mixed @ product
    np.testing.assert_allclose(scores_of(method)[36:], product[-1, box.text_positions], atol=1e-9)


def check_attention_last(method: Any) -> None:
    vlm, box = tiny_vlm("llava"), box_of("llava")
    last = len(anatomy(vlm.model).decoder_layers) - 1
    weights = eager_attention(vlm, box)[f"model.language_model.layers.{last}.self_attn"][0][0].mean(0)[-1]
    expected = weights[torch.cat([box.image_positions, box.text_positions])].detach().numpy()
    np.testing.assert_allclose(scores_of(method), expected, atol=1e-6)


def check_tam(method: Any) -> None:
    """A word's score is the answer's own logit at the word."""
    box = box_of("llava")
    hidden: list[torch.Tensor] = []
    with hooks([anatomy(box.model).decoder.norm.register_forward_hook(lambda m, a, out: hidden.append(out))]):
        box.logit(box.pixels, box.question)
    row = box.model.get_output_embeddings().weight[box.target_ids[0]]
    expected = (hidden[0][0] @ row).detach().clamp(min=0).numpy()
    np.testing.assert_allclose(scores_of(method)[36:], expected[box.text_positions], atol=1e-5)


def check_random(method: Any) -> None:
    one, two = (
        method.attribute(ToyVLM(), toy_sample(i), rng=np.random.default_rng(0)).scores
        if not isinstance(method, str)
        else EXPLAINERS[method]().attribute(ToyVLM(), toy_sample(i), rng=np.random.default_rng(0)).scores
        for i in ("x", "y")
    )
    assert not np.allclose(one, two)


def smoothed() -> np.ndarray:
    """log p of a nearly linear model: averaging over small noise moves little."""
    return first_order() / P


@dataclass(frozen=True)
class Break:
    """The rule, where it stands, how it is broken, and the check that must notice.

    ``names`` are what to take from the edited module: the explainer's class, or functions that the module of the same
    path gets instead of its own.
    """

    rule: str
    module: str
    old: str
    new: str
    names: tuple[str, ...]
    check: Callable[[Any], None]


BREAKS: dict[str, Break] = {
    "integrated-gradients": Break(
        "the path starts at nothing", "integrated_gradients",
        "baselines=(box.baseline_pixels,", "baselines=(box.pixels / 2,", ("IntegratedGradients",),
        closed_form(shapley)),
    "input-x-gradient": Break(
        "the gradient is multiplied by the input", "input_x_gradient",
        "to_scores(box, by_pixel, by_embedding)", "to_scores(box, by_pixel / box.pixels, by_embedding)",
        ("InputXGradient",), closed_form(lambda: first_order() / P)),
    "smoothgrad": Break(
        "the mean gradient is multiplied by the input", "smoothgrad",
        "to_scores(box, box.pixels * by_pixel,", "to_scores(box, by_pixel,", ("SmoothGrad",),
        closed_form(smoothed, 0.02)),
    "grad-cam": Break(
        "a channel counts with its signed mean gradient", "internals.cam",
        "gradient[0, where].double().mean(0)", "gradient[0, where].double().abs().mean(0)", ("activation_map",),
        check_grad_cam),
    "llava-cam": Break(
        "the picture gets noise", "llava_cam",
        "noisy(box.pixels, self.samples, self.level, rng)", "noisy(box.pixels, self.samples, 0.0, rng)", ("LlavaCam",),
        check_llava_cam),
    "attn-lrp": Break(
        "a gated MLP hands each factor half", "internals.lrp_rules",
        "scale_gradient(args[0], 0.5)", "scale_gradient(args[0], 1.0)", ("_half",), check_conservation),
    "rollout": Break(
        "the residual stream is the identity", "internals.attention",
        "mixed = mixed + torch.eye(", "mixed = mixed + 0 * torch.eye(", ("mixing",), check_rollout),
    "grad-rollout": Break(
        "what speaks against the answer is cut off", "internals.attention",
        "(weights * call.weights_gradient()).clamp(min=0)", "(weights * call.weights_gradient()).abs()", ("mixing",),
        check_grad_rollout),
    "attention-last": Break(
        "the last layer is read", "attention_last",
        ".decoder[-1]", ".decoder[0]", ("AttentionLast",), check_attention_last),
    "tam": Break(
        "the answer's own token is explained, not the first of the prompt", "tam",
        "target = box.target_ids[0]", "target = int(ids[0])", ("Tam",), check_tam),
    "occlusion": Break(
        "a score is what is lost, not what is left", "occlusion",
        "values[0] - values[1:]", "values[1:]", ("Occlusion",), closed_form(first_order)),
    "kernel-shap": Break(
        "a coalition holds the players that are present", "kernel_shap",
        "values = game(np.concatenate([ends, coalitions]))", "values = game(~np.concatenate([ends, coalitions]))",
        ("KernelShap",),
        closed_form(shapley)),
    "shapley-interaction": Break(
        "interactions keep their sign", "shapley_interaction",
        "cross = np.array(values", "cross = np.abs(values", ("ShapleyInteraction",),
        closed_form(lambda: [*(MEANS[:, None] * c).sum(1), *(MEANS[:, None] * c).sum(0)])),
    "random": Break(
        "two samples never share a draw", "random_scores",
        "zlib.crc32(sample.id.encode())", "0", ("RandomScores",), check_random),
    "oracle": Break(
        "the evidence comes first", "oracle",
        "sign: ClassVar[float] = 1.0", "sign: ClassVar[float] = -1.0", ("Oracle",),
        closed_form(lambda: [1, 0, 0, 0, 1, 0, 0])),
    "anti-oracle": Break(
        "the evidence comes last", "oracle",
        "sign: ClassVar[float] = -1.0", "sign: ClassVar[float] = 1.0", ("AntiOracle",),
        closed_form(lambda: [-1, 0, 0, 0, -1, 0, 0])),
}  # fmt: skip


def edited(case: Break) -> types.ModuleType:
    """The module of a case with its rule broken, beside the real one."""
    real = importlib.import_module(f"toolkit.explainers.{case.module}")
    source = Path(real.__file__).read_text(encoding="utf-8")
    assert case.old in source, f"{case.module} no longer holds {case.old!r}; find the rule's new line"
    broken = types.ModuleType(f"broken_{case.module}")
    sys.modules[broken.__name__] = broken
    exec(compile(source.replace(case.old, case.new), f"broken {case.module}", "exec"), broken.__dict__)
    return broken


def test_every_explainer_has_its_breaking_test() -> None:
    assert set(BREAKS) == set(EXPLAINERS)


@pytest.mark.parametrize("name", list(BREAKS))
def test_the_rule_holds_and_breaking_it_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = BREAKS[name]
    case.check(name)
    module = edited(case)
    method: Any = name
    for taken in case.names:
        if isinstance(getattr(module, taken), type):
            method = getattr(module, taken)()
        else:
            monkeypatch.setattr(f"toolkit.explainers.{case.module}.{taken}", getattr(module, taken))
            user = sys.modules.get(f"toolkit.explainers.{name.replace('-', '_')}")
            if user is not None and hasattr(user, taken):
                monkeypatch.setattr(user, taken, getattr(module, taken))
    with pytest.raises(AssertionError):
        case.check(method)
