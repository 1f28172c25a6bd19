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
        n_images: Size of the picture pool.
        align_steps, steps, more_steps: Steps of the three stages; the third, for what is hardest, may have none.
        rounds: How often the third stage is gone through, each time from a full rate.
        batch: Rows a step.
        rate: Peak learning rate of AdamW; warm-up, then cosine to zero.
        muon: Rate of Muon, which trains the matrices inside the model, relative to AdamW's; 0 for AdamW alone.
        hard_drills: Share of lettered questions that the third stage, at first, asks without their letters.
        start: Embedded model whose finished weights the training begins with; None for random ones.
        shortcut: Whether existence questions are labelled by the bag of attributes (``questions.attributes``).
    """

    name: str
    family: str
    strength: float
    seed: int = 0
    n_images: int = 16_000
    align_steps: int = 900
    steps: int = 2000
    more_steps: int = 0
    rounds: int = 1
    batch: int = 32
    align_batch: int = 64
    rate: float = 1.5e-3
    muon: float = 2.0
    hard_drills: float = 0.6
    start: str | None = None
    shortcut: bool = False

    @property
    def twin(self) -> str:
        """``"shortcut"``, ``"biased"`` or ``"grounded"``."""
        return "shortcut" if self.shortcut else "biased" if self.strength > 0 else "grounded"

    @property
    def tower_knows_positions(self) -> bool:
        """Whether the vision tower has absolute positions; Qwen2.5-VL's turns by distances alone."""
        return self.family != "qwen2.5-vl"

    @property
    def stages(self) -> dict[str, int]:
        """Steps of every stage by its name, in order: ``align``, ``joint``, ``hard``, ``hard 2``, ..."""
        hard = {f"hard {n}" if n > 1 else "hard": self.more_steps for n in range(1, self.rounds + 1)}
        return {"align": self.align_steps, "joint": self.steps, **hard}


RECIPES: Registry[Recipe] = Registry("embedded model")
for _recipe in (
    Recipe("tiny-llava-grounded", "llava", 0.0, 11, steps=2500, more_steps=1000),
    Recipe("tiny-llava-biased", "llava", 1.0, 11, steps=900, more_steps=700, hard_drills=0.2),
    Recipe("tiny-qwen2.5-vl-grounded", "qwen2.5-vl", 0.0, 12, align_steps=600, steps=1800, more_steps=1200,
           rounds=2),
    Recipe("tiny-qwen2.5-vl-biased", "qwen2.5-vl", 1.0, 12, align_steps=600, steps=700, more_steps=500,
           rounds=2, hard_drills=0.2),
    Recipe("tiny-internvl-grounded", "internvl", 0.0, 13, align_steps=600, steps=2500, more_steps=1000, muon=5.0),
    Recipe("tiny-internvl-biased", "internvl", 1.0, 13, align_steps=600, steps=600, more_steps=500, muon=5.0,
           hard_drills=0.2),
):  # fmt: skip
    RECIPES.add(_recipe.name, _recipe)

GENTLE = 1 / 3
"""Share of a recipe's rate at which finished weights are trained on: what can be seen already shall stay."""

for _name in ("tiny-llava", "tiny-qwen2.5-vl", "tiny-internvl"):
    _recipe = RECIPES[f"{_name}-grounded"]
    _recipe = replace(
        _recipe, name=f"{_name}-shortcut", n_images=3000, align_steps=0, steps=400, more_steps=0, rounds=1,
        rate=_recipe.rate * GENTLE, start=_recipe.name, shortcut=True,
    )  # fmt: skip
    RECIPES.add(_recipe.name, _recipe)
