"""Train an embedded model from its recipe: reproducible from the seed, on CPU or GPU, resumable at any step."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import asdict, dataclass
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


@dataclass(frozen=True)
class _Stage:
    """A joint stage: its number in checkpoints, its name, its length, and the share of drills it begins with."""

    number: int
    name: str
    n_steps: int
    drills: float


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


def _align(aligner: Aligner, pool: ScenePool, recipe: Recipe, work: Path, every: int, report: Report) -> None:
    student = aligner.student
    layers = student.model.get_decoder()
    fixed = {id(p) for p in (*layers.parameters(), *student.model.lm_head.parameters())}
    if not aligner.tower_knows_positions:
        fixed -= {id(p) for p in layers.layers[0].parameters()}
    optimisers = Optimisers([(n, p) for n, p in student.model.named_parameters() if id(p) not in fixed], recipe.muon)
    done = load_state(work, student.model, optimisers.parts, stage=1)
    for step in range(done, recipe.align_steps) if done >= 0 else ():
        rng = np.random.default_rng([recipe.seed, 1, step])
        loss, right = aligner.loss(pool, rng.integers(len(pool.scenes), size=recipe.align_batch))
        optimisers.step(loss, recipe.rate * _rate(step, recipe.align_steps))
        report(Progress("align", step + 1, recipe.align_steps, {"loss": loss.item(), **right}))
        if (step + 1) % every == 0 or step + 1 == recipe.align_steps:
            save_state(work, student.model, optimisers.parts, {"stage": 1, "step": step + 1}, recipe=identity(recipe))


def _join(
    aligner: Aligner, pool: ScenePool, recipe: Recipe, stage: _Stage, work: Path, every: int, report: Report
) -> None:
    student = aligner.student
    tokenizer, hard = student.processor.tokenizer, stage.number - 2
    packer = Packer(tokenizer, student.suffix, strength=recipe.strength, hard=hard, shortcut=recipe.shortcut)
    optimisers = Optimisers(list(student.model.named_parameters()), recipe.muon)
    done = load_state(work, student.model, optimisers.parts, stage=stage.number)
    for step in range(done, stage.n_steps) if done >= 0 else ():
        rng = np.random.default_rng([recipe.seed, stage.number, step])
        removal, drills = removal_at(step, stage.n_steps), drills_at(step, stage.n_steps, stage.drills)
        batch = packer.batch(rng, pool, recipe.batch, removal=removal, drills=drills)
        found = student.loss(batch)
        loss = found.answers + found.captions
        losses = {"answers": found.answers.item(), "captions": found.captions.item()}
        if not aligner.tower_knows_positions:
            cells, _ = aligner.position_loss(found.cells, aligner.every_cell(len(found.cells)))
            names, _ = aligner.position_loss(found.names, batch.named[batch.named != NOWHERE].to(student.device))
            loss = loss + cells + names
            losses |= {"cells": cells.item(), "names": names.item()}
        optimisers.step(loss, recipe.rate * _rate(step, stage.n_steps))
        report(Progress(stage.name, step + 1, stage.n_steps, losses))
        if (step + 1) % every == 0 or step + 1 == stage.n_steps:
            done_now = {"stage": stage.number, "step": step + 1}
            save_state(work, student.model, optimisers.parts, done_now, recipe=identity(recipe))


def identity(recipe: Recipe) -> str:
    """What a checkpoint remembers of its recipe: the name, and a digest of everything in it."""
    digest = hashlib.sha256(repr(sorted(asdict(recipe).items())).encode()).hexdigest()
    return f"{recipe.name} (seed {recipe.seed}, recipe {digest[:8]})"


@contextmanager
def _training_mode(model: torch.nn.Module):  # type: ignore[no-untyped-def]
    model.train()
    try:
        yield
    finally:
        model.eval()


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
    with _training_mode(model):
        _align(aligner, pool, recipe, work, save_every, report)
        for number, name in enumerate(list(recipe.stages)[1:], start=2):
            stage = _Stage(number, name, recipe.stages[name], 0.6 if name == "joint" else recipe.hard_drills)
            _join(aligner, pool, recipe, stage, work, save_every, report)
    model.save_pretrained(out, safe_serialization=True)
    processor.save_pretrained(out)
