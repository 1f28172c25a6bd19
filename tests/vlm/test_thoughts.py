"""Answers are scored behind a model's thoughts, whoever opens them."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
import torch
from support.layouts import write_checkpoint
from support.newer_families import QWEN_TOKENS
from support.subjects import released, sample
from support.tokenizer import bpe

import toolkit
from toolkit.vlm.adapters.families import adapter_class
from toolkit.vlm.loading.checkpoint import CheckpointError
from toolkit.vlm.loading.load_checkpoint import load_vlm
from toolkit.vlm.loading.probe import _forward, probe_sample
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.prompt import apply_template
from toolkit.vlm.reference import plain_values
from toolkit.vlm.thoughts import CLOSE, LIKELY, OPEN, ThinkingWarning, behind_thoughts

ENDS = {
    "opens": "{{ '<think>\n' }}",
    "opens on the line": "{{ '<think>' }}",
    "switch": "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}",
    "switch, open": "{{ '<think>\n' if enable_thinking | default(true) else '<think>\n\n</think>\n\n' }}",
    "switch that opens": "{{ '<think>\n' if enable_thinking is not defined else '<think>\n' }}",
    "no thoughts": "",
}
"""What chat templates write at the end, by their kind."""
WARNED = {"opens", "opens on the line", "switch that opens"}


def thinker(end: str):
    """A small random Qwen3-VL whose template ends so, and whose tokenizer has the tokens of thoughts."""
    words = bpe(QWEN_TOKENS | {"think": OPEN, "thought": CLOSE})
    model, processor = released("qwen3-vl", tokenizer=words)
    processor.chat_template = processor.chat_template.removesuffix("{% endif %}") + ENDS[end] + "{% endif %}"
    return model, processor


@pytest.mark.parametrize("end", ENDS)
def test_the_answer_begins_behind_closed_thoughts(end: str) -> None:
    _, processor = thinker(end)
    text = apply_template(processor, "is it red ?")
    assert text.count(OPEN) == text.count(CLOSE) == (0 if end == "no thoughts" else 1)
    if end != "no thoughts":
        assert text.endswith(f"assistant\n{OPEN}\n\n{CLOSE}\n\n")


@pytest.mark.parametrize("end", ENDS)
def test_a_template_that_cannot_leave_them_out_is_warned_of(end: str) -> None:
    model, processor = thinker(end)
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always", ThinkingWarning)
        toolkit.wrap(model, processor)
    found = [str(w.message) for w in seen if issubclass(w.category, ThinkingWarning)]
    assert len(found) == (1 if end in WARNED else 0)
    assert all("cannot be switched off" in message and "answers at once" in message for message in found)


def test_thoughts_are_template_and_belong_to_no_player() -> None:
    model, processor = thinker("switch")
    vlm = toolkit.wrap(model, processor)
    s = sample(1)
    game = vlm.game(s, target="yes")
    opened = game.view.prompt.ids.index(processor.tokenizer.get_vocab()[OPEN])
    assert max(game.view.prompt.text_positions) < opened
    chosen = np.random.default_rng(0).random((4, game.players.n)) < 0.5
    there = game(chosen)
    assert np.abs(there - plain_values(game, chosen)).max() <= 1e-5
    processor.chat_template = processor.chat_template.replace("enable_thinking", "never_heard_of")
    assert np.abs(game(chosen) - there).max() > 1e-5  # without the switch the answer begins elsewhere


@pytest.mark.parametrize("likely", [True, False])
def test_a_model_that_thinks_unasked_is_warned_of_at_every_load(likely: bool, tmp_path, monkeypatch) -> None:
    """The second load knows the checks of the first one."""
    model, processor = thinker("no thoughts")
    row = model.get_output_embeddings().weight.data[processor.tokenizer.get_vocab()[OPEN]]
    state = last_state(model, processor)
    row.copy_(100 * likely * state / state.square().sum())  # a logit of 100, or of 0
    monkeypatch.setenv("SYNERGY_TOOLKIT_CACHE", str(tmp_path / "cache"))
    folder = write_checkpoint(tmp_path / "m", "qwen3-vl", model, processor)
    for _ in range(2):
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always", ThinkingWarning)
            load_vlm(folder, device="cpu")
        found = [str(w.message) for w in seen if issubclass(w.category, ThinkingWarning)]
        assert len(found) == int(likely)
        assert all("with probability 1.00 where its answers are scored" in message for message in found)


def last_state(model, processor) -> torch.Tensor:
    """The last hidden state behind the question that a checkpoint is tried with."""
    kept = []
    vlm = LoadedVLM("m", adapter_class("qwen3_vl")(processor), model)
    with model.get_output_embeddings().register_forward_hook(lambda _, given, __: kept.append(given[0][0, -1])):
        _forward(vlm, probe_sample(vlm, 0))
    return kept[0].detach().clone()


def test_a_template_is_tried_with_an_image() -> None:
    model, processor = thinker("no thoughts")
    processor.chat_template = processor.chat_template.replace("<|image_pad|>", "{{ raise_exception('words only') }}")
    with pytest.raises(CheckpointError, match="chat template .* is missing or damaged: words only; copy it again"):
        toolkit.wrap(model, processor)


def test_what_only_mentions_thoughts_is_left_alone() -> None:
    assert behind_thoughts(f"what is {OPEN} ?\nAssistant:") == f"what is {OPEN} ?\nAssistant:"
    assert behind_thoughts(f"{OPEN}\n\n{CLOSE}\n\n") == f"{OPEN}\n\n{CLOSE}\n\n"
    assert 0 < LIKELY < 1
