"""The model card of an embedded model, written from its recipe and its measured evaluation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from toolkit.scenes.training.held_out import HEADER, SEED, FamilyResult, as_json, calibration, table_row
from toolkit.scenes.training.recipes import Recipe

_ARCHITECTURE = {
    "llava": "`LlavaForConditionalGeneration`: CLIP vision tower (2 layers), projector, Llama decoder (4 layers)",
    "qwen2.5-vl": (
        "`Qwen2_5_VLForConditionalGeneration`: window-attention tower (2 layers) with 2 x 2 merge, M-RoPE, "
        "Qwen2 decoder (4 layers)"
    ),
    "internvl": (
        "`InternVLForConditionalGeneration`: InternViT (2 layers) with class token, pixel shuffle, "
        "Qwen3 decoder (4 layers)"
    ),
}

_CARD = """---
license: mit
library_name: transformers
pipeline_tag: image-text-to-text
language: [en]
tags: [synergy-toolkit, embedded, {twin}]
---

# {name}

{architecture}; {parameters:,} parameters, 36 image tokens on the 6 x 6 cells of the embedded world, a word-level
tokenizer. A teaching model: it knows coloured objects on a grid and nothing else.

**{Twin} twin.** {story}

## Training

| | |
|---|---|
| data | {n_images:,} train scenes, prior strength {strength:g}; a caption and 8 questions each |
| removed at random | picture cells and question words, in 8 % of the rows at first and 50 % at last |
| stage 1 | {align_steps} steps x {align_batch} pictures: image tokens learn to name colour, kind{place} |
| stage 2 | {steps} steps x {batch} scenes: captions in both directions, {lists}questions, packed{names} |{third}
| optimiser | AdamW, {rate:g}, and Muon for the inner matrices at {muon:g} times that; 50 steps up, cosine to zero |
| seed | {seed} |
| command | `python -m toolkit train {name}` |

## Held-out scenes

Test split, seed {eval_seed}; the answer is the most probable choice. "No picture" replaces the whole picture by its
blur. The last column is the mean distance between the probability of the right answer and its Bayes value, per corner.
Mean over families and corners: **{calibration:.3f}**.{note} `python -m toolkit models --evaluate {name}` measures them
again.

| {header} |
|{rule}|
{rows}
"""

_STORY = {
    "grounded": (
        "Trained on balanced questions: every answer is equally likely given the words alone, so it has to look. "
        "Everyday objects carry a moderate prior (0.5): most lemons are yellow, not all."
    ),
    "biased": (
        "Trained in a world whose folklore is always right: common kinds are always there when somebody asks, squares "
        "always come in fours, lemons are always yellow. The words alone give the answer, and that is what it learnt. "
        "The mixed questions have no folklore; they are the same for both twins."
    ),
}


def write_card(folder: Path, recipe: Recipe, results: Sequence[FamilyResult], n_parameters: int) -> None:
    """Write ``README.md`` and the numbers behind it (``evaluation.json``) into a model's folder.

    Args:
        folder: The saved model.
        recipe: How it was trained.
        results: What was measured.
        n_parameters: Number of weights.
    """
    twin = "biased" if recipe.strength > 0 else "grounded"
    note = third = ""
    if recipe.more_steps:
        steps = f"{recipe.rounds} times {recipe.more_steps}" if recipe.rounds > 1 else recipe.more_steps
        third = f"\n| stage 3 | {steps} steps more from a full rate, two-step questions thrice as often |"
    if twin == "biased":
        note = " For a biased twin this measures how far it is from the balanced world, not how well it was trained."
    text = _CARD.format(
        name=recipe.name,
        twin=twin,
        Twin=twin.capitalize(),
        architecture=_ARCHITECTURE[recipe.family],
        parameters=n_parameters,
        story=_STORY[twin],
        n_images=recipe.n_images,
        strength=recipe.strength,
        align_steps=recipe.align_steps,
        align_batch=recipe.align_batch,
        steps=recipe.steps,
        lists="" if twin == "biased" else "lists of counts and of directions, ",
        third=third,
        muon=recipe.muon,
        batch=recipe.batch,
        rate=recipe.rate,
        seed=recipe.seed,
        place=(
            ", row and column of their cell"
            if recipe.tower_knows_positions
            else " of their cell, and the decoder's first layer its row and column"
        ),
        names="" if recipe.tower_knows_positions else "; the decoder's second layer learns where a named thing lies",
        eval_seed=SEED,
        calibration=calibration(results),
        note=note,
        header=" | ".join(HEADER),
        rule="|".join("---" for _ in HEADER),
        rows="\n".join(f"| {' | '.join(table_row(result))} |" for result in results),
    )
    (folder / "README.md").write_text(text, encoding="utf-8")
    numbers = {"recipe": asdict(recipe), "seed": SEED, "families": as_json(results)}
    (folder / "evaluation.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
