"""The families beyond the paper's three: what each does besides, and that leaving it out is found."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.newer_families import NEWER
from support.subjects import make_subject, released, sample

import toolkit
from toolkit.explainers.base import EXPLAINERS
from toolkit.vlm.adapters.adapter_base import Adapter
from toolkit.vlm.loading.checkpoint import CheckpointError
from toolkit.vlm.loading.probe import require_scoring
from toolkit.vlm.model import LoadedVLM

LEFT_OUT = {"qwen3-vl": {"n_layer_features": lambda self, config: 0}}
"""What an adapter may forget of its family."""


def changed(vlm: LoadedVLM, **attributes: object) -> LoadedVLM:
    """The same model behind an adapter that says something else of its family."""
    kind: type[Adapter] = type("Changed", (type(vlm.adapter),), attributes)
    return LoadedVLM("changed", kind(vlm.adapter.processor), vlm.model)


@pytest.mark.parametrize("family", LEFT_OUT)
def test_an_adapter_that_leaves_out_what_its_family_does_is_refused(family: str) -> None:
    vlm = make_subject(f"released-{family}")
    assert require_scoring(vlm).passed
    with pytest.raises(CheckpointError, match="is not scored as itself"):
        require_scoring(changed(vlm, **LEFT_OUT[family]))


@pytest.mark.parametrize("explainer", ["input-x-gradient", "grad-cam", "attn-lrp", "rollout", "tam", "occlusion"])
@pytest.mark.parametrize("family", NEWER)
def test_explainers_of_every_kind_score_every_player(family: str, explainer: str) -> None:
    vlm = make_subject(f"released-{family}")
    assert explainer in EXPLAINERS
    s = sample(1)
    scores = toolkit.explain(explainer, vlm, s, target="yes").scores
    assert scores.shape == (vlm.players(s).n,)
    assert np.isfinite(scores).all()
    assert np.ptp(scores) > 0


def test_every_layer_feature_of_qwen3_vl_reaches_the_answer() -> None:
    model, processor = released("qwen3-vl")
    vlm = make_subject("released-qwen3-vl")
    game = LoadedVLM("m", type(vlm.adapter)(processor), model).game(sample(2), target="yes")
    everything = np.ones((1, game.players.n), dtype=bool)
    before = game(everything)[0]
    for merger in model.model.visual.deepstack_merger_list:
        with torch.no_grad():
            merger.linear_fc2.bias += 0.5
        after = game(everything)[0]
        assert after != pytest.approx(before, rel=1e-4)
        before = after
