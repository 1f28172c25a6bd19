"""A model that the engine does not score as transformers does is found out, and one that it does passes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from support.subjects import MODEL_TYPE, RANDOM_TINY, SUBJECTS, make_subject
from support.windowed import DECODERS, windowed
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from toolkit.scenes.training.tiny import build_tiny
from toolkit.vlm.adapters.families import adapter_class
from toolkit.vlm.loading import probe
from toolkit.vlm.loading.checkpoint import CheckpointError
from toolkit.vlm.loading.probe import ScoringCheck, check_decoder, check_scoring, probe_sample, require_scoring
from toolkit.vlm.model import LoadedVLM


def counted(vlm: LoadedVLM) -> list[int]:
    """Rows of every ordinary pass of the whole model from now on."""
    rows: list[int] = []
    vlm.model.register_forward_pre_hook(
        lambda module, args, kwargs: rows.append(len(kwargs["input_ids"])), with_kwargs=True
    )
    return rows


@pytest.mark.parametrize("vlm", SUBJECTS, indirect=True)
def test_every_model_that_is_shipped_is_scored_as_itself(vlm) -> None:
    found = require_scoring(vlm)
    assert found.passed
    assert found.tolerance == 1e-4
    assert found.spread is None


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", SUBJECTS)
def test_in_shorter_formats_the_plain_paths_own_spread_is_the_measure(name: str, dtype: torch.dtype) -> None:
    vlm = make_subject(name)
    vlm.model.to(dtype)
    found = check_scoring(LoadedVLM(name, vlm.adapter, vlm.model))
    assert found.spread is not None
    assert found.tolerance == 3 * found.spread
    assert found.passed
    assert max(found.engine, found.spread) > 0  # on some processors the engine agrees to the bit


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_it_costs_at_most_ten_ordinary_passes_and_leaves_nothing_behind(dtype: torch.dtype) -> None:
    vlm = make_subject("random-tiny-qwen2.5-vl")
    vlm.model.to(dtype)
    vlm = LoadedVLM("m", vlm.adapter, vlm.model)
    before = vars(vlm.model.model).get("rope_deltas")
    rows = counted(vlm)
    found = check_scoring(vlm)
    assert sum(rows) == found.n_passes <= 10
    assert vars(vlm.model.model).get("rope_deltas") is before
    assert vlm.engine.counters.rows == 0


@pytest.mark.parametrize("name", DECODERS)
def test_windows_pass_and_are_missed_where_they_are_ignored(name: str, monkeypatch) -> None:
    vlm = windowed(name)
    require_scoring(vlm)
    monkeypatch.setattr("toolkit.vlm.engine.masks._is_near", lambda window, index: torch.ones((), dtype=torch.bool))
    with pytest.raises(CheckpointError, match=r"not scored as itself: 4 random coalitions .* 0\.0001 is allowed"):
        require_scoring(vlm)


def test_a_decoder_that_sees_the_picture_both_ways_is_refused() -> None:
    vlm = make_subject("random-tiny-llava")
    stack, is_image = vlm.model.get_decoder(), []

    def both_ways(module, args, kwargs):
        """What Gemma-3's wrapper does with its own masks: where it makes one, image tokens see each other."""
        mask = kwargs["attention_mask"]
        if mask is None or mask.dim() != 2:
            return None
        length = mask.shape[1]
        allowed = torch.ones(length, length, dtype=torch.bool).tril() | (is_image[-1][:, None] & is_image[-1])
        bias = torch.zeros(len(mask), 1, length, length).masked_fill(~(allowed & mask[:, None].bool())[:, None], -1e30)
        return args, kwargs | {"attention_mask": bias}

    vlm.model.register_forward_pre_hook(
        lambda module, args, kwargs: is_image.append(kwargs["input_ids"][0] == vlm.model.config.image_token_id),
        with_kwargs=True,
    )
    stack.register_forward_pre_hook(both_ways, with_kwargs=True)
    assert not check_scoring(vlm).passed
    with pytest.raises(CheckpointError, match="masks, features or positions"):
        require_scoring(vlm)


def test_features_that_enter_deeper_layers_are_missed_and_refused() -> None:
    vlm = make_subject("random-tiny-internvl")
    seen: list[torch.Tensor] = []
    vlm.model.model.multi_modal_projector.register_forward_hook(lambda module, args, output: seen.append(output))

    def add(module, args, kwargs):
        """Qwen3-VL's DeepStack in small: only the wrapper's own forward knows where the picture is."""
        return (args[0] + seen[-1].mean() if vlm.model.model.is_wrapped else args[0], *args[1:]), kwargs

    vlm.model.model.is_wrapped = False
    vlm.model.model.register_forward_pre_hook(lambda module, args: setattr(module, "is_wrapped", True))
    vlm.model.model.register_forward_hook(lambda module, args, output: setattr(module, "is_wrapped", False))
    vlm.model.get_decoder().layers[1].register_forward_pre_hook(add, with_kwargs=True)
    found = check_scoring(vlm)
    assert not found.passed
    assert found.engine > 1e-3


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_logits_that_only_the_wrapper_caps_are_refused(dtype: torch.dtype, monkeypatch) -> None:
    vlm = make_subject("random-tiny-llava")
    vlm.model.to(dtype)
    vlm = LoadedVLM("m", vlm.adapter, vlm.model)
    kind = type(vlm.model)
    real = kind.forward

    class Capped(kind):
        def forward(self, *args, logits_to_keep=0, **kwargs):
            output = real(self, *args, logits_to_keep=logits_to_keep, **kwargs)
            output.logits = 0.5 * output.logits
            return output

    monkeypatch.setattr(vlm.model, "__class__", Capped)
    with pytest.raises(CheckpointError, match=str(dtype).removeprefix("torch.")):
        require_scoring(vlm)


def test_an_adapter_that_describes_other_pixels_is_refused(monkeypatch) -> None:
    vlm = make_subject("random-tiny-qwen2.5-vl")
    inputs = vlm.adapter.pixel_inputs

    def darker(pixels, geometry):
        found = inputs(pixels, geometry)
        return found | {"pixel_values": 0.5 * found["pixel_values"]}

    monkeypatch.setattr(vlm.adapter, "pixel_inputs", darker)
    found = check_scoring(vlm)
    assert found.engine <= 1e-4  # both paths are wrong in the same way
    assert found.forward > 1e-4
    assert not found.passed


def test_a_model_that_answers_with_nan_does_not_pass() -> None:
    for dtype in (torch.float32, torch.bfloat16):
        vlm = make_subject("random-tiny-llava")
        vlm.model.lm_head.weight.data[3] = torch.nan
        vlm.model.to(dtype)
        assert not check_scoring(LoadedVLM("m", vlm.adapter, vlm.model)).passed


@pytest.mark.parametrize("n", [1, 2, 3])
def test_any_number_of_coalitions_may_be_asked(n: int) -> None:
    found = check_scoring(make_subject("random-tiny-llava"), n=n)
    assert (found.n_coalitions, found.passed) == (n, True)


def test_no_coalitions_are_refused() -> None:
    with pytest.raises(ValueError, match="n is 0"):
        check_scoring(make_subject("random-tiny-llava"), n=0)


def test_the_same_seed_gives_the_same_numbers() -> None:
    vlm = make_subject("random-tiny-llava")
    assert check_scoring(vlm, seed=3) == check_scoring(vlm, seed=3)


def test_the_message_has_every_number() -> None:
    found = ScoringCheck(0.5, 0.25, 0.01, 0.03, "bfloat16", 4, 10)
    assert str(found) == (
        "4 random coalitions of a test picture differ by 0.5 in log-probability from an ordinary pass each, and "
        "everything present by 0.25 from transformers' own forward; 0.03 is allowed in bfloat16, where ordinary "
        "passes in batches of 1 and 4 differ by 0.01"
    )


@pytest.mark.parametrize("family", ["llava", "qwen2.5-vl", "internvl"])
@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (("circle", "is", "apple"), "is circle"),
        (("apple", "pear", "plum"), "apple pear plum"),
        (("apple", "circle"), "apple circle"),
    ],
)
def test_a_closed_vocabulary_is_asked_in_its_own_words(family: str, words: tuple[str, ...], asked: str) -> None:
    model, processor = build_tiny(family, words, seed=0)
    vlm = LoadedVLM("m", adapter_class(MODEL_TYPE[family])(processor), model)
    assert probe_sample(vlm, 0).question == asked
    assert check_scoring(vlm).passed


def test_the_picture_has_structure_at_every_place() -> None:
    image = np.asarray(probe_sample(make_subject("random-tiny-llava"), 0).image).astype(float)
    blocks = image.reshape(7, 16, 7, 16, 3).std(axis=(1, 3))
    assert blocks.min() > 5


@pytest.mark.parametrize("name", RANDOM_TINY)
def test_the_decoders_of_the_three_families_are_known(name: str) -> None:
    vlm = make_subject(name)
    check_decoder(vlm.model)
    vlm.model.get_decoder().config.is_causal = False
    with pytest.raises(CheckpointError, match="attends both ways"):
        require_scoring(vlm)


def test_a_window_beyond_the_test_picture_is_refused_where_the_decoder_is_not_known(monkeypatch) -> None:
    vlm = make_subject("random-tiny-llava")
    text = vlm.model.get_decoder()
    monkeypatch.setattr(text, "__class__", type("OtherModel", (type(text),), {}))
    text.config.sliding_window = 4096
    assert check_scoring_is_blind(vlm)
    with pytest.raises(CheckpointError, match="OtherModel .* a sliding window"):
        require_scoring(vlm)


def check_scoring_is_blind(vlm: LoadedVLM) -> bool:
    """Whether the numbers alone would let a model pass: its window is longer than the whole prompt."""
    view = vlm.view(probe_sample(vlm, 0))
    return len(view.prompt.ids) < vlm.model.get_decoder().config.sliding_window


def test_words_are_single_tokens_of_the_vocabulary_where_nothing_else_is_known() -> None:
    backend = Tokenizer(models.WordLevel({"<unk>": 0, "?": 1, "uno": 2, "due": 3}, unk_token="<unk>"))
    backend.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, unk_token="<unk>")
    assert probe._question(tokenizer) == "uno due"
