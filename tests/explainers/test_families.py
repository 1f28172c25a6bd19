"""Every explainer on every family through the released adapters, on a scene with a known truth."""

from __future__ import annotations

import dataclasses
from functools import cache

import numpy as np
import pytest
from support.extras import MISSING
from support.tiny_models import FAMILIES, untrained_vlm

from toolkit import scenes
from toolkit.explainers import EXPLAINERS, explain, get_explainer
from toolkit.explainers.attn_lrp import relevance
from toolkit.explainers.eagle import Eagle
from toolkit.explainers.internals.anatomy import merge_of
from toolkit.explainers.internals.scope import fingerprint, leftovers
from toolkit.explainers.kernel_shap import KernelShap
from toolkit.explainers.llava_cam import LlavaCam
from toolkit.explainers.meta_interaction import CellToWordInteraction, WordToCellInteraction
from toolkit.explainers.optimised_mask import OptimisedMask
from toolkit.explainers.plugin import check_explainer
from toolkit.explainers.proxyspex_interaction import ProxySpexInteraction
from toolkit.explainers.shapley_interaction import ShapleyInteraction
from toolkit.explainers.smoothgrad import SmoothGrad

QUICK = {
    "kernel-shap": KernelShap(budget=128),
    "shapley-interaction": ShapleyInteraction(per_unknown=0.2),
    "smoothgrad": SmoothGrad(samples=2),
    "llava-cam": LlavaCam(samples=2),
    "eagle": Eagle(picks=1),
    "optimised-mask": OptimisedMask(steps=1),
    "word-to-cell-interaction": WordToCellInteraction(budget=1100),
    "cell-to-word-interaction": CellToWordInteraction(budget=1100),
    "proxyspex-interaction": ProxySpexInteraction(budget=256),
}
METHODS = [name for name in EXPLAINERS if name != "integrated-gradients" and name not in MISSING]


@cache
def scene():
    return scenes.load("scenes-existence", n=1, seed=3)[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_every_method_scores_cells_and_words_of_the_scored_answer(family: str) -> None:
    vlm, sample = untrained_vlm(family), scene()
    before = fingerprint(vlm.model)
    for name in METHODS:
        att = explain(QUICK.get(name, name), vlm, sample, target="no")
        assert att.players == vlm.players(sample), name
        assert att.target == "no", name
        if name not in ("tam", "proxyspex-interaction"):  # positive logits only; few pairs only: here there may be none
            assert np.any(att.of("text")), name
            assert np.any(att.of("image")), name
    assert leftovers(before, fingerprint(vlm.model)) == []


@pytest.mark.parametrize("family", FAMILIES)
def test_the_explained_token_is_the_scored_token(family: str) -> None:
    vlm, sample = untrained_vlm(family), scene()
    tokenizer = vlm.adapter.processor.tokenizer
    for answer in ("yes", "no"):
        box, game = vlm.white_box(sample, target=answer), vlm.game(sample, target=answer)
        assert box.target_ids == game.token_ids == (tokenizer.convert_tokens_to_ids(answer),)
        everyone = np.ones((1, game.players.n), dtype=bool)
        assert float(box.score(box.pixels, box.question).exp()) == pytest.approx(float(game(everyone)[0]), abs=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_relevance_balances_and_merges_are_right_through_the_adapter(family: str) -> None:
    box = untrained_vlm(family).white_box(scene(), target="yes")
    _, _, balances = relevance(box)
    assert max(balance.error for balance in balances) < 1e-4
    members = merge_of(box).members
    assert members.shape[0] == 36
    assert members.sum(0).max() == 1
    assert len(set(members.sum(1).tolist())) == 1


def test_gradient_methods_pass_every_check_on_an_adapter() -> None:
    for method in ("input-x-gradient", "grad-cam", "rollout", "attn-lrp"):
        failed = [c for c in check_explainer(method, untrained_vlm("llava"), scene(), target="yes") if not c.passed]
        assert failed == []


def test_oracle_marks_the_cells_of_the_evidence() -> None:
    sample = scene()
    att = explain("oracle", untrained_vlm("llava"), sample, target="yes")
    boxes = sample.truth.evidence_boxes
    centres = [((x0 + x1) / 2, (y0 + y1) / 2) for x0, y0, x1, y1 in boxes]
    for x, y in centres:
        assert att.of("image")[int(y * 6) * 6 + int(x * 6)] > 0
    words = sample.question.split()
    marked = {words[i] for i in sample.truth.evidence_words}
    for score, label in zip(att.of("text"), att.players.labels[36:], strict=True):
        assert (score == 1) == (label in marked)


def test_every_method_has_its_own_entry() -> None:
    assert len({get_explainer(name).name for name in EXPLAINERS}) == len(EXPLAINERS) == 27


def test_with_an_answer_of_several_tokens_the_first_is_explained_where_it_is_predicted() -> None:
    """Attention does not depend on the target, so one and two tokens that start alike have the same maps."""
    vlm = untrained_vlm("llava")
    sample = dataclasses.replace(scene(), choices=None, answer=None)
    assert len(vlm.white_box(sample, target="red circle").target_ids) == 2
    for method in ("attention-last", "rollout", "tam", "grad-cam", "attn-lrp"):
        one, two = (explain(method, vlm, sample, target=target).scores for target in ("red", "red circle"))
        np.testing.assert_allclose(one, two, atol=1e-5 * max(1.0, float(np.abs(one).max())), err_msg=method)
