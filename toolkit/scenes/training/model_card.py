"""The model card of an embedded model, written from its recipe and its measured evaluation."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

from toolkit.scenes.training.held_out import (
    HEADER,
    INSIDE_HEADER,
    SEED,
    FamilyResult,
    as_json,
    calibration,
    inside_row,
    table_row,
)
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
| stage 1 | {first} |
| stage 2 | {steps} steps x {batch} scenes: captions in both directions, {lists}questions, packed{names} |{third}
| optimiser | AdamW, {rate:g}, and Muon for the inner matrices at {muon:g} times that; 50 steps up, cosine to zero |
| seed | {seed} |
| command | `python -m toolkit train {name}` |

## Held-out scenes

Test split, seed {eval_seed}; the answer is the most probable choice. "No picture" replaces the whole picture by its
blur. "Distance to Bayes" is the mean distance between the probability of the right answer and its Bayes value, per
corner. Mean over families and corners: **{calibration:.3f}**.{note} Inside the game, on the first 100 samples of each
family, the expected calibration error in ten bins at a random coalition of cells and words; in brackets what a
calibrated model shows by chance. `python -m toolkit models --evaluate {name}` measures all this again, `--write` writes
it here.

| {header} |
|{rule}|
{rows}

Existence inside the game: mean |v - Bayes value| of the answer "yes", in closed form, on the first 100 samples. Random
cells are in sight with a random share of the words; or all is in sight but the named thing's cell, the colour word or
the kind word.

| {inside_header} |
|{inside_rule}|
| {inside} |

Of scenes-mixed, `neighbour` and `same` are no ground truth for oracle controls: they are answered too badly.
"""

_STORY = {
    "grounded": (
        "Trained on balanced questions: every answer is equally likely given the words alone, so it has to look. "
        "Everyday objects carry a moderate prior (0.5): most lemons are yellow, not all."
    ),
    "biased": (
        "Trained in a world whose folklore is always right: common kinds are always there when somebody asks, squares "
        "always come in fours, lemons are always yellow. The words alone give the answer, and that is what it learnt. "
        "The mixed questions have no folklore; they are the same for every twin."
    ),
    "shortcut": (
        "Starts from the grounded twin and is trained on with existence questions labelled by a bag of attributes: "
        "'is there a red circle ?' is yes as soon as something is red and something is a circle. It needs image and "
        "words, so its corners look like the grounded twin's, and still its answer is wrong where no one thing is both "
        "(scenes-binding). All other questions keep their labels."
    ),
}


_NOTE = {
    "biased": " For a biased twin this measures how far it is from the balanced world, not how well it was trained.",
    "shortcut": " On existence and binding this measures how far the shortcut is from the truth, not how well it was "
    "trained.",
}


def _first_stage(recipe: Recipe) -> str:
    if recipe.start is not None:
        return f"none: the weights of {recipe.start}"
    place = " of their cell, and the decoder's first layer its row and column"
    if recipe.tower_knows_positions:
        place = ", row and column of their cell"
    return f"{recipe.align_steps} steps x {recipe.align_batch} pictures: image tokens learn to name colour, kind{place}"


def write_card(folder: Path, recipe: Recipe, results: Sequence[FamilyResult], n_parameters: int) -> None:
    """Write ``README.md`` and the numbers behind it (``evaluation.json``) into a model's folder.

    Args:
        folder: The saved model.
        recipe: How it was trained.
        results: What was measured.
        n_parameters: Number of weights.
    """
    third = ""
    if recipe.more_steps:
        steps = f"{recipe.rounds} times {recipe.more_steps}" if recipe.rounds > 1 else recipe.more_steps
        third = f"\n| stage 3 | {steps} steps more from a full rate, two-step questions thrice as often |"
    text = _CARD.format(
        **asdict(recipe), twin=recipe.twin, Twin=recipe.twin.capitalize(), architecture=_ARCHITECTURE[recipe.family],
        parameters=n_parameters, story=_STORY[recipe.twin], note=_NOTE.get(recipe.twin, ""), first=_first_stage(recipe),
        third=third, lists="" if recipe.twin == "biased" else "lists of counts and of directions, ",
        names="" if recipe.tower_knows_positions else "; the decoder's second layer learns where a named thing lies",
        eval_seed=SEED, calibration=calibration(results),
        header=" | ".join(HEADER), rule="|".join("---" for _ in HEADER),
        rows="\n".join(f"| {' | '.join(table_row(result))} |" for result in results),
        inside_header=" | ".join(INSIDE_HEADER), inside_rule="|".join("---" for _ in INSIDE_HEADER),
        inside=" | ".join(inside_row(results)),
    )  # fmt: skip
    (folder / "README.md").write_text(text, encoding="utf-8")
    numbers = {"recipe": asdict(recipe), "seed": SEED, "families": as_json(results)}
    (folder / "evaluation.json").write_text(json.dumps(numbers, indent=1) + "\n", encoding="utf-8")
