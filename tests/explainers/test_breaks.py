"""For every explainer: its central rule, the smallest change that breaks it, and a check that then goes red.

A rule has a marker: a function, class or attribute that the explainer's module looks up by name. A case puts something
else in its place, and demands that the check passes before and fails after. A marker that is gone is an error.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Callable
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from support.extras import runnable
from support.fakes import PAIRS, P, ToyVLM, first_order, shapley, toy_sample
from support.tiny_models import box_of, eager_attention, sharp_vlm, slope_along_activation, tiny_sample, tiny_vlm

from toolkit.explainers import EXPLAINERS, explain
from toolkit.explainers.atman import AtMan
from toolkit.explainers.attention_sinks import AttentionNoSinks, AttentionSinks
from toolkit.explainers.grad_cam import DEPTH
from toolkit.explainers.internals.anatomy import anatomy
from toolkit.explainers.internals.attention import Trace, trace
from toolkit.explainers.internals.scope import hooks
from toolkit.games.analytic import SumOfUnanimityGames
from toolkit.testing import FakeVLM
from toolkit.vlm.model import LoadedVLM


def closed_form(expected: Callable[[], Any], tolerance: float = 1e-6) -> Callable[[str], None]:
    """A check of the scores on the model that is solved by hand."""

    def check(name: str) -> None:
        scores = explain(name, ToyVLM(), toy_sample()).scores
        np.testing.assert_allclose(scores, expected(), atol=tolerance)

    return check


def scores_of(name: str, vlm: LoadedVLM | None = None, seed: int = 0) -> np.ndarray:
    return explain(name, vlm or tiny_vlm("llava"), tiny_sample(), target="yes", seed=seed).scores


def check_grad_cam(name: str) -> None:
    scores, slope = scores_of(name), slope_along_activation(box_of("llava"), DEPTH, 17)
    assert slope == pytest.approx(float(scores[17]), abs=2e-4 + 0.01 * abs(slope))


def check_llava_cam(name: str) -> None:
    """Averages over noisy pictures: close to Grad-CAM, not equal to it, and another seed gives another map."""
    plain, one, other = scores_of("grad-cam"), scores_of(name), scores_of(name, seed=1)
    assert not np.allclose(one, plain)
    assert not np.allclose(one, other)


def check_conservation(name: str) -> None:
    attribution = explain(name, tiny_vlm("internvl"), tiny_sample(), target="yes")
    assert attribution.details["conservation_error"] < 1e-4


def check_cell_to_word(name: str) -> None:
    """One word with two cells at once: each cell joins the word in half of the orders."""
    terms = {(0, 1, 4): 1.0, (0, 4, 5): 1.0}
    pairs = explain(name, FakeVLM(SumOfUnanimityGames(ToyVLM().players(toy_sample()), terms)), toy_sample()).pairs
    np.testing.assert_allclose(pairs[:2, :2], [[1.5, 1.0], [0.5, 0.0]], atol=1e-9)


def check_proxyspex(name: str) -> None:
    """Trees find the one pair that there is, and its size."""
    vlm = FakeVLM(SumOfUnanimityGames(ToyVLM().players(toy_sample()), {(1, 5): 1.0, (2,): 0.5}))
    pairs = explain(name, vlm, toy_sample()).pairs
    np.testing.assert_allclose(pairs, np.outer([0, 1, 0, 0], [0, 1, 0]), atol=0.05)


def check_rollout(name: str) -> None:
    """With queries at zero, each position attends evenly to itself and all before; the rollout is solved by hand."""

    def no_queries(weight: str, parameter: torch.nn.Parameter) -> None:
        if "q_proj" in weight:
            parameter.zero_()

    vlm = sharp_vlm("llava", change=no_queries)
    box = vlm.white_box(tiny_sample(), target="yes")
    n = len(vlm.view(tiny_sample()).prompt.ids)
    np.testing.assert_allclose(scores_of("attention-last", vlm), 1 / n, atol=1e-7)
    step = (np.tril(np.ones((n, n))) / np.arange(1, n + 1)[:, None] + np.eye(n)) / 2
    row = np.linalg.matrix_power(step, len(anatomy(vlm.model).decoder_layers))[-1]
    tower = (np.full((37, 37), 1 / 37) + np.eye(37)) / 2
    image = np.concatenate([[0.0], row[box.image_positions]]) @ tower @ tower
    np.testing.assert_allclose(scores_of(name, vlm), [*image[1:], *row[box.text_positions]], atol=1e-7)


def check_grad_rollout(name: str) -> None:
    """The decoder's part from the calls' own weights and gradients, multiplied out with the rectifier."""
    box = box_of("llava")
    product = None
    for (call,) in trace(box, gradient=True).decoder:
        kept = (call.weights() * call.weights_gradient())[0].double().relu().mean(0)
        kept = kept / kept.sum(-1, keepdim=True).clamp(min=1e-300)
        mixed = kept + torch.eye(len(kept), dtype=torch.float64)
        mixed = mixed / mixed.sum(-1, keepdim=True)
        product = mixed if product is None else mixed @ product
    np.testing.assert_allclose(scores_of(name)[36:], product[-1, box.text_positions], atol=1e-9)


def check_attention_last(name: str) -> None:
    vlm, box = tiny_vlm("llava"), box_of("llava")
    last = len(anatomy(vlm.model).decoder_layers) - 1
    weights = eager_attention(vlm, box)[f"model.language_model.layers.{last}.self_attn"][0][0].mean(0)[-1]
    expected = weights[torch.cat([box.image_positions, box.text_positions])].detach().numpy()
    np.testing.assert_allclose(scores_of(name), expected, atol=1e-6)


def check_tam(name: str) -> None:
    """A word's score is the answer's own logit at the word."""
    box = box_of("llava")
    hidden: list[torch.Tensor] = []
    with hooks([anatomy(box.model).decoder.norm.register_forward_hook(lambda m, a, out: hidden.append(out))]):
        box.logit(box.pixels, box.question)
    row = box.model.get_output_embeddings().weight[box.target_ids[0]]
    expected = (hidden[0][0] @ row).detach().clamp(min=0).numpy()
    np.testing.assert_allclose(scores_of(name)[36:], expected[box.text_positions], atol=1e-5)


def check_eagle(name: str) -> None:
    """The search written out with sets: what was picked, in this order, and what every other player would add."""
    game = ToyVLM().game(toy_sample(), target="yes")

    def value(present: set[int]) -> float:
        mask = np.isin(np.arange(7), list(present))
        return float(game(mask[None])[0] - game(~mask[None])[0])

    picked: list[int] = []
    steps: list[float] = []
    expected = np.zeros(7)
    for _ in range(5):
        before = value(set(picked))
        for player in set(range(7)) - set(picked):
            expected[player] = value({*picked, player}) - before
        best = max(set(range(7)) - set(picked), key=lambda player: expected[player])
        picked, steps = [*picked, best], [*steps, expected[best]]
    for i in range(3, -1, -1):
        expected[picked[i]] = expected[picked[i + 1]] + abs(steps[i])
    np.testing.assert_allclose(explain(name, ToyVLM(), toy_sample()).scores, expected, atol=1e-9)


def check_optimised_mask(name: str) -> None:
    """The objective, by the multilinear extension, is larger at the mask than where it began, and than at random."""
    box = ToyVLM().white_box(toy_sample(), target="yes")

    def reached(mask: np.ndarray) -> float:
        m = torch.tensor(mask)
        shown = [box.logit(box.pixels * kept[:4].reshape(2, 2).repeat_interleave(2, 0).repeat_interleave(2, 1),
                           box.question * kept[4:, None]) for kept in (m, 1 - m)]  # fmt: skip
        return float((shown[0] - shown[1] - 0.1 * m.mean()).detach())

    found = reached(explain(name, ToyVLM(), toy_sample()).scores)
    assert found > reached(np.full(7, 0.5)) + 0.1
    assert found > max(reached(mask) for mask in np.random.default_rng(0).random((50, 7)))


def check_atman(name: str) -> None:
    """Fully suppressed, a word is gone as the game removes it."""
    vlm = tiny_vlm("llava")
    found = explain(AtMan(suppression=1.0), vlm, tiny_sample(), target="yes")
    game = vlm.game(tiny_sample(), target="yes")
    values = game(np.vstack([np.ones((1, game.players.n), dtype=bool), ~np.eye(game.players.n, dtype=bool)[36:]]))
    np.testing.assert_allclose(found.of("text"), np.log(values[0] / values[1:]), atol=1e-4)
    assert np.ptp(found.of("image")) > 1e-4


def check_attention_sinks(name: str) -> None:
    vlm, box = tiny_vlm("llava"), box_of("llava")
    seen = eager_attention(vlm, box)
    layers = [weights[0][0].mean(0)[-1] for key, weights in seen.items() if "language_model" in key]
    expected = torch.stack(layers).mean(0)[torch.cat([box.image_positions, box.text_positions])]
    np.testing.assert_allclose(scores_of(name), expected.detach().numpy(), atol=1e-6)
    assert len(layers) > 1


def check_attention_no_sinks(name: str) -> None:
    """With a low bar some players are sinks: these score 0, and the others what they scored."""
    box = box_of("llava")
    kept = explain(AttentionSinks(factor=1.0), tiny_vlm("llava"), tiny_sample(), target="yes")
    without = explain(AttentionNoSinks(factor=1.0), tiny_vlm("llava"), tiny_sample(), target="yes")
    assert 0 < without.details["sinks"] == np.sum(without.scores == 0) < box.players.n
    np.testing.assert_array_equal(without.scores[without.scores > 0], kept.scores[without.scores > 0])


def check_random(name: str) -> None:
    one, two = (
        EXPLAINERS[name]().attribute(ToyVLM(), toy_sample(i), rng=np.random.default_rng(0)).scores for i in ("x", "y")
    )
    assert not np.allclose(one, two)


def from_half_way(real: Any) -> Any:
    """The second half of the path alone."""
    return lambda box, at, batch: real(box, (1 + at) / 2, batch)


def first_token(real: Any) -> Any:
    """TAM of the first token of the prompt."""

    def stages(box, shapes, **settings):
        box.target_ids = tuple(box._game.view.prompt.ids[:1])
        return real(box, shapes, **settings)

    return stages


class AbsentGame:
    """A game asked for the players that are absent."""

    def __init__(self, game: Any) -> None:
        self.game, self.players = game, game.players

    def __call__(self, coalitions: np.ndarray) -> np.ndarray:
        return self.game(~coalitions)


def unsigned(real: Any) -> Any:
    """The estimator of shapiq, without signs."""

    def approximate(self, *args):
        values = real(self, *args)
        return SimpleNamespace(
            get_n_order_values=lambda n: np.abs(values.get_n_order_values(n)),
            estimation_budget=values.estimation_budget, estimated=values.estimated,
        )  # fmt: skip

    return approximate


@dataclass(frozen=True)
class Break:
    """The rule, its marker, what is put in its place (made of the real thing), and the check that must notice."""

    rule: str
    marker: str
    instead: Callable[[Any], Any]
    check: Callable[[str], None]


EX, INTERNALS = "toolkit.explainers", "toolkit.explainers.internals"
BREAKS: dict[str, Break] = {
    "integrated-gradients": Break(
        "the path starts at nothing", f"{EX}.integrated_gradients._along",
        from_half_way, closed_form(shapley)),
    "input-x-gradient": Break(
        "the gradient is multiplied by the input", f"{EX}.input_x_gradient.to_scores",
        lambda real: lambda box, by_pixel, words: real(box, by_pixel / box.pixels, words),
        closed_form(lambda: first_order() / P)),
    "smoothgrad": Break(  # of a nearly linear model: averaging over small noise moves little
        "the mean gradient is multiplied by the input", f"{EX}.smoothgrad.to_scores",
        lambda real: lambda box, by_pixel, words: real(box, by_pixel / box.pixels, words),
        closed_form(lambda: first_order() / P, 0.02)),
    "grad-cam": Break(
        "a channel counts with its signed mean gradient", f"{INTERNALS}.cam.channel_weights",
        lambda real: lambda gradient: real(gradient.abs()), check_grad_cam),
    "llava-cam": Break(
        "the picture gets noise", f"{EX}.llava_cam.noisy",
        lambda real: lambda pixels, n, level, rng: real(pixels, n, 0.0, rng), check_llava_cam),
    "attn-lrp": Break(
        "a gated MLP hands each factor half", f"{INTERNALS}.lrp_rules._half",
        lambda real: lambda module, args: args, check_conservation),
    "rollout": Break(
        "the residual stream is the identity", f"{INTERNALS}.attention.residual",
        lambda real: lambda mixed: 0 * real(mixed), check_rollout),
    "grad-rollout": Break(
        "what speaks against the answer is cut off", f"{INTERNALS}.attention.relevant",
        lambda real: lambda weights, gradient: (weights * gradient).abs(), check_grad_rollout),
    "attention-last": Break(
        "the last layer is read", f"{EX}.attention_last.trace",
        lambda real: lambda box, gradient: Trace(real(box, gradient=gradient).decoder[::-1], ()),
        check_attention_last),
    "attention-sinks": Break(
        "all layers count", f"{EX}.attention_sinks.trace",
        lambda real: lambda box, gradient: Trace(real(box, gradient=gradient).decoder[-1:], ()),
        check_attention_sinks),
    "attention-no-sinks": Break(
        "a sink is attended to more than evenly", f"{EX}.attention_sinks.received",
        lambda real: lambda weights: 0 * real(weights), check_attention_no_sinks),
    "atman": Break(
        "the player's own column is suppressed", f"{EX}.atman.suppressed",
        lambda real: lambda scores, columns, bias: real(scores, columns - 1, bias), check_atman),
    "optimised-mask": Break(
        "what is shown is to keep the answer, what is hidden to lose it", f"{EX}.optimised_mask.objective",
        lambda real: lambda inserted, deleted, *more: real(deleted, inserted, *more), check_optimised_mask),
    "eagle": Break(
        "what is lost without the picks counts too", f"{EX}.eagle.objective",
        lambda real: lambda game, coalitions: game(coalitions), check_eagle),
    "tam": Break(
        "the answer's own token is explained, not the first of the prompt", f"{EX}.tam.stages", first_token, check_tam),
    "occlusion": Break(
        "a score is what is lost, not what is left", f"{EX}.occlusion.lost",
        lambda real: lambda values: values[1:], closed_form(first_order)),
    "kernel-shap": Break(
        "a coalition holds the players that are present", f"{EX}.kernel_shap.shapley_by_regression",
        lambda real: lambda game, budget, rng: real(AbsentGame(game), budget, rng), closed_form(shapley)),
    "shapley-interaction": Break(
        "interactions keep their sign", "shapiq.approximator.KernelSHAPIQ.approximate",
        unsigned, closed_form(lambda: [*PAIRS.sum(1), *PAIRS.sum(0)])),
    "faith-shapley-interaction": Break(
        "interactions keep their sign", "shapiq.approximator.RegressionFSII.approximate",
        unsigned, closed_form(lambda: [*PAIRS.sum(1), *PAIRS.sum(0)])),
    "banzhaf-interaction": Break(
        "every drawn image meets every drawn question", f"{EX}.banzhaf_interaction.crossed",
        lambda real: lambda images, questions: np.concatenate(
            [np.repeat(images, len(questions), axis=0), np.repeat(questions, len(images), axis=0)], axis=1),
        closed_form(lambda: [*PAIRS.sum(1), *PAIRS.sum(0)])),
    "gradient-interaction": Break(
        "a pair is what the word changes", f"{EX}.gradient_interaction._questions",
        lambda real: lambda box, there: real(box, np.ones_like(there)),
        closed_form(lambda: [*PAIRS.sum(1), *PAIRS.sum(0)])),
    "word-to-cell-interaction": Break(
        "a cell is given what is lost without it, not what is left", f"{EX}.meta_interaction.lost",
        lambda real: lambda table: table[:, 1:], closed_form(lambda: [*PAIRS.sum(1), *PAIRS.sum(0)])),
    "cell-to-word-interaction": Break(
        "cells join, not words", f"{EX}.meta_interaction.CellToWordInteraction.words_join",
        lambda real: not real, check_cell_to_word),
    "proxyspex-interaction": Break(
        "trees see who is present", f"{EX}.proxyspex_interaction._ask",
        lambda real: lambda game, asked: real(game, np.roll(asked, 1, axis=1)), check_proxyspex),
    "random": Break(
        "two samples never share a draw", f"{EX}.random_scores.zlib",
        lambda real: SimpleNamespace(crc32=lambda name: 0), check_random),
    "oracle": Break(
        "the evidence comes first", f"{EX}.oracle.Oracle.sign",
        lambda real: -real, closed_form(lambda: [1, 0, 0, 0, 1, 0, 0])),
    "anti-oracle": Break(
        "the evidence comes last", f"{EX}.oracle.AntiOracle.sign",
        lambda real: -real, closed_form(lambda: [-1, 0, 0, 0, -1, 0, 0])),
}  # fmt: skip


def test_every_explainer_has_its_breaking_test() -> None:
    assert set(BREAKS) == set(EXPLAINERS)


@pytest.mark.parametrize("name", runnable(BREAKS))
def test_the_rule_holds_and_breaking_it_is_seen(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    case = BREAKS[name]
    case.check(name)
    monkeypatch.setattr(case.marker, case.instead(pkgutil.resolve_name(case.marker)))
    with pytest.raises(AssertionError):
        case.check(name)
