"""A model in memory is scored as itself, and nobody's values are taken for its own."""

from __future__ import annotations

import pickle
from copy import copy, deepcopy

import numpy as np
import pytest
import torch
from support.subjects import processor_of, released, sample

import toolkit
from toolkit.registry import UnknownNameError
from toolkit.vlm.engine.store import CoalitionStore
from toolkit.vlm.loading.checkpoint import CheckpointError


@pytest.fixture(scope="module")
def loaded():
    return toolkit.load_vlm("tiny-llava-grounded", device="cpu")


def test_a_wrapped_model_gives_the_values_of_the_loaded_one(loaded) -> None:
    vlm = toolkit.wrap(loaded.model, loaded.adapter.processor)
    game, other = vlm.game(sample(1), target="yes"), loaded.game(sample(1), target="yes")
    chosen = np.random.default_rng(0).random((5, game.players.n)) < 0.5
    assert np.array_equal(game(chosen), other(chosen))
    assert vlm.family == "llava"
    assert (vlm.digest, vlm.revision) == (None, None)
    assert toolkit.explain("occlusion", vlm, sample(1)).scores.shape == (game.players.n,)


def test_only_a_model_with_a_name_is_remembered(loaded, tmp_path) -> None:
    store = CoalitionStore(tmp_path)
    with pytest.raises(ValueError, match="give it a name of its own"):
        toolkit.wrap(loaded.model, loaded.adapter.processor, store=store)
    vlm = toolkit.wrap(loaded.model, loaded.adapter.processor, name="mine", store=store)
    everybody = np.ones((1, vlm.players(sample(1)).n), dtype=bool)
    vlm.game(sample(1), target="yes")(everybody)
    again = toolkit.wrap(deepcopy(loaded.model), loaded.adapter.processor, name="mine", store=store)
    game = again.game(sample(1), target="yes")
    game(everybody)
    assert game.n_evaluations == 0
    changed = deepcopy(loaded.model)
    with torch.no_grad():
        changed.lm_head.weight[:] *= 0.5
    for other in (
        toolkit.wrap(loaded.model, loaded.adapter.processor, name="another", store=store),
        toolkit.wrap(changed, loaded.adapter.processor, name="mine", store=store),
    ):
        game = other.game(sample(1), target="yes")
        game(everybody)
        assert game.n_evaluations == 1


def test_what_is_no_model_to_be_scored_is_refused_with_the_way_out(loaded) -> None:
    processor = loaded.adapter.processor
    with pytest.raises(TypeError, match="expected a transformers model .* got str"):
        toolkit.wrap("tiny-llava-grounded", processor)
    with pytest.raises(TypeError, match=r"got DataParallel; give the model inside, model.module"):
        toolkit.wrap(torch.nn.DataParallel(loaded.model), processor)
    training = deepcopy(loaded.model).train()
    with pytest.raises(ValueError, match=r"the model is in training mode.*call model.eval\(\) first"):
        toolkit.wrap(training, processor)
    with pytest.raises(ValueError, match="meta device, which holds no numbers"):
        toolkit.wrap(deepcopy(loaded.model).to("meta"), processor)
    with pytest.raises(UnknownNameError, match="unknown model family 'llama'"):
        toolkit.wrap(loaded.model.get_decoder(), processor)
    from peft import LoraConfig, get_peft_model

    adapted = get_peft_model(deepcopy(loaded.model), LoraConfig(target_modules=["q_proj"])).eval()
    with pytest.raises(TypeError, match=r"got PeftModel; merge the adapter first: model = model.merge_and_unload\(\)"):
        toolkit.wrap(adapted, processor)


def test_what_is_no_processor_of_the_model_is_refused_with_the_way_out() -> None:
    model, processor = released("llava")
    with pytest.raises(TypeError, match="got .*Backend without tokenizer and image_processor; load it with .*AutoProc"):
        toolkit.wrap(model, processor.tokenizer)
    with pytest.raises(TypeError, match="got NoneType without tokenizer and image_processor"):
        toolkit.wrap(model, None)
    with pytest.raises(ValueError, match="Qwen2_5_VLProcessor is not one of the family llava .*the model's own"):
        toolkit.wrap(model, processor_of("qwen2.5-vl"))
    with pytest.raises(ValueError, match="LlavaProcessor is not one of the family qwen2.5-vl"):
        toolkit.wrap(released("qwen2.5-vl")[0], processor)


def test_a_model_without_its_head_is_refused() -> None:
    model, processor = released("llava")
    with pytest.raises(TypeError, match="LlavaModel has no head that says words; .* a LlavaForConditionalGeneration"):
        toolkit.wrap(model.model, processor)


def test_weights_that_are_no_numbers_are_named() -> None:
    model, processor = released("llava")
    model.model.language_model.layers[0].mlp.up_proj.weight.data[0, 0] = float("nan")
    with pytest.raises(CheckpointError, match=r"in memory: 1 of [0-9]+ values of .*up_proj.weight are NaN or infinite"):
        toolkit.wrap(model, processor)


@pytest.mark.parametrize("ask", ["values", "answer", "explain", "white box"])
def test_a_model_that_is_put_into_training_mode_or_exchanged_is_not_asked_on(loaded, ask) -> None:
    vlm = toolkit.wrap(deepcopy(loaded.model), loaded.adapter.processor)
    game = vlm.game(sample(1), target="yes")
    everybody = np.ones((1, game.players.n), dtype=bool)
    asked = {
        "values": lambda: game(everybody),
        "answer": lambda: vlm.answer(sample(2)),
        "explain": lambda: toolkit.explain("integrated-gradients", vlm, sample(1), target="yes"),
        "white box": lambda: vlm.white_box(sample(1), target="yes"),
    }[ask]
    before = vlm.model
    before.get_decoder().layers[0].mlp.train()
    with pytest.raises(ValueError, match=r"layers\.0\.mlp is in training mode.*call model.eval\(\) first"):
        asked()
    before.eval()
    asked()
    vlm.model = deepcopy(before)
    with pytest.raises(ValueError, match=r"another model was put in its place; make one of it: toolkit.wrap"):
        asked()


@pytest.mark.parametrize("taken_apart", [deepcopy, copy, pickle.dumps])
def test_a_model_and_its_games_are_neither_pickled_nor_copied(loaded, taken_apart) -> None:
    with pytest.raises(TypeError, match=r"tiny-llava-grounded can be neither pickled nor copied: load it in each"):
        taken_apart(loaded)
    if taken_apart is not copy:
        with pytest.raises(TypeError, match=r"toolkit.GameValues.of\(game, coalitions\) can be kept"):
            taken_apart(loaded.game(sample(1), target="yes"))
