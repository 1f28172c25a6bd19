"""What each embedded model is trained on, and for how long."""

from __future__ import annotations

from dataclasses import dataclass, replace

from toolkit.registry import Registry


@dataclass(frozen=True)
class Recipe:
    """Everything that determines a checkpoint.

    Attributes:
        name: Registry name of the model.
        family: ``"llava"``, ``"qwen2.5-vl"`` or ``"internvl"``.
        strength: Prior strength s of the training world: 0 for the grounded twin, 1 for the biased one.
        seed: Seeds weights, pictures and rows.
        n_pictures: Size of the picture pool.
        align_steps, steps, more_steps, last_steps: Steps of the four stages; the third, for what is hardest, and the
            fourth, the joint stage once more for what learns slowly, may have none.
        batch: Rows a step.
        rate: Peak learning rate of AdamW; warm-up, then cosine to zero.
        muon: Rate of Muon, which trains the matrices inside the model, relative to AdamW's; 0 for AdamW alone.
        hard_drills: Share of lettered questions that the third stage, at first, asks without their letters.
    """

    name: str
    family: str
    strength: float
    seed: int = 0
    n_pictures: int = 16_000
    align_steps: int = 900
    steps: int = 2000
    more_steps: int = 0
    last_steps: int = 0
    batch: int = 32
    align_batch: int = 64
    rate: float = 1.5e-3
    muon: float = 2.0
    hard_drills: float = 0.6


RECIPES: Registry[Recipe] = Registry("embedded model")
for _family, _seed, _align_steps, _steps, _last, _biased_steps, _more, _muon, _drills in (
    ("llava", 11, 900, 2500, 0, 900, 700, 2.0, 0.6),
    ("qwen2.5-vl", 12, 600, 1900, 0, 500, 400, 5.0, 0.2),
    ("internvl", 13, 600, 2500, 0, 600, 500, 5.0, 0.6),
):
    for _recipe in (
        Recipe(
            f"tiny-{_family}-grounded",
            _family,
            0.0,
            steps=_steps,
            more_steps=1000,
            last_steps=_last,
            hard_drills=_drills,
        ),
        Recipe(f"tiny-{_family}-biased", _family, 1.0, steps=_biased_steps, more_steps=_more, hard_drills=0.2),
    ):
        RECIPES.add(_recipe.name, replace(_recipe, seed=_seed, align_steps=_align_steps, muon=_muon))
