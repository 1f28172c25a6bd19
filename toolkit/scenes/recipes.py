"""What each embedded model is trained on, and for how long."""

from __future__ import annotations

from dataclasses import dataclass

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
        align_steps, steps, more_steps: Steps of the three stages; the third, for what is hardest, may have none.
        batch: Rows a step.
        rate: Peak learning rate of AdamW; warm-up, then cosine to zero.
        muon: Rate of Muon, which trains the matrices inside the model, relative to AdamW's; 0 for AdamW alone.
    """

    name: str
    family: str
    strength: float
    seed: int = 0
    n_pictures: int = 16_000
    align_steps: int = 900
    steps: int = 2000
    more_steps: int = 0
    batch: int = 32
    align_batch: int = 64
    rate: float = 1.5e-3
    muon: float = 2.0


RECIPES: Registry[Recipe] = Registry("embedded model")
for _family, _seed, _align_steps, _steps, _muon in (
    ("llava", 11, 900, 2500, 2.0),
    ("qwen2.5-vl", 12, 600, 1900, 5.0),
    ("internvl", 13, 600, 2500, 5.0),
):
    for _twin, _strength, _n, _more in (("grounded", 0.0, _steps, 1000), ("biased", 1.0, 900, 0)):
        _name = f"tiny-{_family}-{_twin}"
        RECIPES.add(_name, Recipe(_name, _family, _strength, _seed, 16_000, _align_steps, _n, _more, muon=_muon))
