"""Explainers at a released model's token count, each in plain passes of the same model."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers as hf

from tests.speed.measure import timed
from tests.speed.workload import scene_samples
from toolkit.audit.gpu.released_shapes import SHAPES, build
from toolkit.datasets.sample import Sample
from toolkit.explainers import explain
from toolkit.explainers.internals.gradients import _MEASURED
from toolkit.vlm.adapters.llava import Llava
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.reference import plain_batch

EXPLAINERS = (
    "input-x-gradient", "attn-lrp", "rollout", "grad-rollout", "llava-cam", "smoothgrad", "grad-cam", "attention-last",
    "tam", "integrated-gradients",
)  # fmt: skip
"""Those that look inside the model; the others ask the engine, which has rows of its own."""


def processor_name() -> str:
    """The processor and the instruction set that PyTorch uses of it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{named[0] if named else 'unknown processor'}, {torch.backends.cpu.get_cpu_capability()}"


def wide_llava(*, layers: int = 6, width: int = 256) -> LoadedVLM:
    """A LLaVA of 576 image tokens with random weights, both of its towers so deep and so wide."""
    processor = SHAPES["llava"].processor(False)
    like = SHAPES["llava"].config(processor.tokenizer.get_vocab(), True)
    size = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": 4}
    vision = hf.CLIPVisionConfig(**size, intermediate_size=4 * width, image_size=336, patch_size=14)
    ids = {name: getattr(like.text_config, name) for name in ("bos_token_id", "eos_token_id", "pad_token_id")}
    text = hf.LlamaConfig(**size, **ids, intermediate_size=688, num_key_value_heads=4, vocab_size=700)
    config = hf.LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=like.image_token_index, tie_word_embeddings=False
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = hf.LlavaForConditionalGeneration(config)
    return LoadedVLM(f"llava 576 ({layers} x {width})", Llava(processor), model.train(False).requires_grad_(False))


def one_plain_pass(vlm: LoadedVLM, sample: Sample) -> Callable[[], object]:
    """One ordinary forward pass, batch 1, with the logits of the last position only."""
    view = vlm.view(sample)
    kept = np.ones((1, len(view.prompt.text_positions)), dtype=np.bool_)
    return lambda: plain_batch(vlm, view, view.pixels[None], kept, ())


def explainer_row(vlm: LoadedVLM, sample: Sample, name: str, *, target: str, turns: int) -> dict[str, Any]:
    """One explainer beside plain passes, in turn, by processor time; the first time, which measures memory, apart."""
    plain = one_plain_pass(vlm, sample)

    def explained() -> None:
        explain(name, vlm, sample, target=target)

    plain()
    _MEASURED.clear()
    first = timed(vlm, explained).cpu / timed(vlm, plain).cpu
    passes, ratios = [], []
    for _ in range(turns):
        passes.append(statistics.median(timed(vlm, plain).cpu for _ in range(3)))
        ratios.append(timed(vlm, explained).cpu / passes[-1])
    return {
        "model": vlm.name,
        "explainer": name,
        "tokens": len(vlm.view(sample).prompt.ids),
        "plain_s": statistics.median(passes),
        "passes": statistics.median(ratios),
        "first": first,
        "processor": processor_name(),
    }


def explainer_rows(
    *, quick: bool, report: Callable[[str], None], explainers: Sequence[str] = EXPLAINERS, turns: int = 5
) -> list[dict[str, Any]]:
    """A row for each explainer.

    Args:
        quick: A small shape and one turn: shows that everything runs.
        report: Called with a line of text whenever something new begins.
        explainers: Registry names.
        turns: How often each is measured; the median counts.
    """
    vlm = build("llava", torch.device("cpu"), torch.float32, small=True) if quick else wide_llava()
    sample = scene_samples(1)[0]
    target = vlm.answer(sample).text
    rows = []
    for name in explainers:
        report(f"{vlm.name}: {name}")
        rows.append(explainer_row(vlm, sample, name, target=target, turns=1 if quick else turns))
    return rows
