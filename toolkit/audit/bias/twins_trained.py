"""Models between grounded and biased, made by training: the grounded twin goes on in a world with a language prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from toolkit.scenes.training.recipes import GENTLE, RECIPES
from toolkit.vlm.protocol import VLM

Report = Callable[[str, int, int], None]


def trained_twin(
    grounded: str, strength: float, out: Path, *, steps: int = 200, n_images: int = 2000, report: Report | None = None
) -> Path:
    """Train an embedded grounded model on, for some steps, in a world of this prior strength.

    The steps are those of the joint stage of its recipe (removal of question and picture regions included), begun from
    its finished weights, with a fresh optimiser at a third of the rate (``GENTLE``). Resumable: an interrupted training
    goes on from its checkpoint beside ``out``.

    Args:
        grounded: Embedded model to begin with, for example ``"tiny-llava-grounded"``; it must be installed.
        strength: Prior strength of the world, in [0, 1].
        out: Folder of the model, in the ordinary Hugging Face layout.
        steps: How long; half a second or so each on two cores.
        n_images: Pictures to draw for it, rounded up to whole 500.
        report: Called as report(name, done, total) after each step.

    Raises:
        UnknownNameError: No embedded model has this name.
        ValueError: Strength or steps out of range.
    """
    recipe = RECIPES[grounded]
    if not 0 <= strength <= 1 or steps < 1:
        raise ValueError(f"the strength must lie in [0, 1] and steps be at least 1, got {strength} and {steps}")
    from toolkit.scenes.training.train import train

    work = out.with_name(out.name + ".work")
    name = f"{grounded}@{strength:g}"
    world = replace(
        recipe, name=name, strength=strength, align_steps=0, steps=steps, more_steps=0, n_images=n_images,
        rate=recipe.rate * GENTLE, start=grounded,
    )  # fmt: skip
    told = report if report is not None else lambda name, done, total: None
    train(world, out, work=work, report=lambda progress: told(name, progress.step, progress.n_steps))
    return out


def between(
    grounded: str, biased: VLM, strengths: Sequence[float], out: Path, *, steps: int, report: Report | None = None
) -> dict[float, VLM]:
    """The twins at both ends and trained models between them, by strength."""
    from toolkit.vlm import load_vlm

    found: dict[float, VLM] = {0.0: load_vlm(grounded), 1.0: biased}
    for strength in strengths:
        if 0 < strength < 1:
            folder = trained_twin(grounded, strength, out / f"{grounded}@{strength:g}", steps=steps, report=report)
            found[strength] = load_vlm(folder)
    return found
