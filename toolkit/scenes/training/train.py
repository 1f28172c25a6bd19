"""Train an embedded model from its recipe: reproducible from the seed, on CPU or GPU, resumable at any step."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import reduce
from pathlib import Path

import numpy as np
import torch

from toolkit.scenes.training.alignment import Aligner
from toolkit.scenes.training.captions import NOWHERE
from toolkit.scenes.training.checkpoints import check_state, load_state, save_state
from toolkit.scenes.training.pool import ScenePool, make_pool
from toolkit.scenes.training.recipes import Recipe
from toolkit.scenes.training.student import Student
from toolkit.scenes.training.text_packing import Packer
from toolkit.scenes.training.tiny import build_tiny
from toolkit.scenes.vocabulary import VOCABULARY
from toolkit.vlm import load_vlm


@dataclass(frozen=True)
class Progress:
    """One step's report.

    Attributes:
        stage: One of the recipe's ``stages``.
        step, n_steps: Finished steps of the stage, and how many it has.
        losses: Nats per token; in the first stage also the share of right words per group, in [0, 1].
    """

    stage: str
    step: int
    n_steps: int
    losses: dict[str, float]


Report = Callable[[Progress], None]


def _rate(step: int, n_steps: int, warm_up: int = 50) -> float:
    if step < warm_up:
        return (step + 1) / warm_up
    return 0.5 * (1 + math.cos(math.pi * (step - warm_up) / max(n_steps - warm_up, 1)))


def removal_at(step: int, n_steps: int) -> float:
    """How often parts are removed: 0.08 while the model learns to see, rising to 0.5 from 45 to 60 % of the way."""
    return float(np.interp(step / n_steps, [0.45, 0.6], [0.08, 0.5]))


def drills_at(step: int, n_steps: int, first: float = 0.6) -> float:
    """Share of lettered questions asked without letters: ``first``, falling to 0.1 from 30 to 60 % of the way."""
    return float(np.interp(step / n_steps, [0.3, 0.6], [first, 0.1]))


def _is_inner(name: str, parameter: torch.nn.Parameter) -> bool:
    """Whether a parameter is the matrix of a linear map between hidden states."""
    return parameter.ndim == 2 and not any(part in name for part in ("embed", "lm_head"))


class Optimisers:
    """Muon for the matrices inside the model, AdamW for embeddings, norms, biases and the output layer.

    Muon (Jordan et al., 2024) orthogonalises the momentum of each matrix.

    Args:
        parameters: Name and parameter of everything that is trained.
        muon: Rate of Muon relative to AdamW's; 0 leaves everything to AdamW.
    """

    def __init__(self, parameters: list[tuple[str, torch.nn.Parameter]], muon: float) -> None:
        inner = [p for name, p in parameters if muon and _is_inner(name, p)]
        outer = [p for name, p in parameters if not (muon and _is_inner(name, p))]
        self._all = inner + outer
        self.parts: list[torch.optim.Optimizer] = [torch.optim.AdamW(outer, betas=(0.9, 0.98), weight_decay=0.01)]
        self._factors = [1.0]
        if inner:
            self.parts.append(torch.optim.Muon(inner, weight_decay=0.01, momentum=0.95, adjust_lr_fn="match_rms_adamw"))
            self._factors.append(muon)

    def step(self, loss: torch.Tensor, rate: float) -> None:
        """One step down the gradient of the loss, clipped to norm 1, at a rate."""
        for optimiser, factor in zip(self.parts, self._factors, strict=True):
            for group in optimiser.param_groups:
                group["lr"] = rate * factor
            optimiser.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self._all, 1.0)
        for optimiser in self.parts:
            optimiser.step()


Parameters = list[tuple[str, torch.nn.Parameter]]
LossAt = Callable[[np.random.Generator, int], tuple[torch.Tensor, dict[str, float]]]
"""Loss of a step, from the step's random numbers and its place in the stage, and what is told of it."""


def _alignment(aligner: Aligner, pool: ScenePool, recipe: Recipe) -> tuple[Parameters, LossAt]:
    """The first stage: what it trains, and its loss."""
    model = aligner.student.model
    layers = model.get_decoder()
    fixed = {id(p) for p in (*layers.parameters(), *model.lm_head.parameters())}
    if not aligner.tower_knows_positions:
        fixed -= {id(p) for p in layers.layers[0].parameters()}

    def loss_at(rng: np.random.Generator, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        loss, right = aligner.loss(pool, rng.integers(len(pool.scenes), size=recipe.align_batch))
        return loss, {"loss": loss.item(), **right}

    return [(name, p) for name, p in model.named_parameters() if id(p) not in fixed], loss_at


def _joint(aligner: Aligner, pool: ScenePool, recipe: Recipe, name: str, hard: int) -> tuple[Parameters, LossAt]:
    """A later stage: everything is trained, on packed rows."""
    student, n_steps = aligner.student, recipe.stages[name]
    packer = Packer(
        student.processor.tokenizer, student.suffix, strength=recipe.strength, hard=hard, shortcut=recipe.shortcut
    )

    def loss_at(rng: np.random.Generator, step: int) -> tuple[torch.Tensor, dict[str, float]]:
        drills = drills_at(step, n_steps, recipe.hard_drills if hard else 0.6)
        batch = packer.batch(rng, pool, recipe.batch, removal=removal_at(step, n_steps), drills=drills)
        found = student.loss(batch)
        parts = {"answers": found.answers, "captions": found.captions}
        if not aligner.tower_knows_positions:
            parts["cells"], _ = aligner.position_loss(found.cells, aligner.every_cell(len(found.cells)))
            cells = batch.named[batch.named != NOWHERE].to(student.device)
            parts["names"], _ = aligner.position_loss(found.names, cells)
        return reduce(torch.add, parts.values()), {part: loss.item() for part, loss in parts.items()}

    return list(student.model.named_parameters()), loss_at


def identity(recipe: Recipe) -> str:
    """What a checkpoint remembers of its recipe: the name, and a digest of everything in it."""
    digest = hashlib.sha256(repr(sorted(asdict(recipe).items())).encode()).hexdigest()
    return f"{recipe.name} (seed {recipe.seed}, recipe {digest[:8]})"


def train(
    recipe: Recipe,
    out: Path,
    *,
    work: Path,
    device: str = "cpu",
    report: Report = lambda progress: None,
    workers: int = 2,
    save_every: int = 100,
) -> None:
    """Train a model in its stages and save it in the ordinary Hugging Face layout.

    Args:
        recipe: What to train.
        out: Folder for the finished model (``config.json``, ``model.safetensors``, processor files).
        work: Folder for checkpoints; training continues from the one found there.
        device: ``"cpu"``, ``"cuda"``.
        report: Called after every step.
        workers: Processes that draw the pictures.
        save_every: Steps between checkpoints.

    Raises:
        TrainingStateError: ``work`` holds the checkpoint of another recipe, or a damaged one.
    """
    check_state(work, identity(recipe))
    model, processor = build_tiny(recipe.family, VOCABULARY, seed=recipe.seed)
    if recipe.start is not None:
        model.load_state_dict(load_vlm(recipe.start, device="cpu").model.state_dict())
    torch.nn.Module.to(model, device)
    aligner = Aligner(Student(model, processor), tower_knows_positions=recipe.tower_knows_positions)
    pool = make_pool(recipe.n_images, seed=recipe.seed, strength=recipe.strength, workers=workers)
    model.train()
    for number, (name, n_steps) in enumerate(recipe.stages.items(), start=1):
        trained, loss_at = (
            _alignment(aligner, pool, recipe) if number == 1 else _joint(aligner, pool, recipe, name, number - 2)
        )
        optimisers = Optimisers(trained, recipe.muon)
        done = load_state(work, model, optimisers.parts, stage=number)
        for step in range(done, n_steps) if done >= 0 else ():
            loss, told = loss_at(np.random.default_rng([recipe.seed, number, step]), step)
            optimisers.step(loss, recipe.rate * _rate(step, n_steps))
            report(Progress(name, step + 1, n_steps, told))
            if (step + 1) % save_every == 0 or step + 1 == n_steps:
                progress = {"stage": number, "step": step + 1}
                save_state(work, model, optimisers.parts, progress, recipe=identity(recipe))
    model.train(False)
    model.save_pretrained(out, safe_serialization=True)
    processor.save_pretrained(out)
