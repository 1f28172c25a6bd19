"""Training state on disk: model and optimisers as safetensors, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

_STATE = "state.safetensors"


class TrainingStateError(ValueError):
    """A checkpoint of a training that cannot be continued; the message says why and what to do."""


def save_state(
    folder: Path,
    model: torch.nn.Module,
    optimisers: Sequence[torch.optim.Optimizer],
    progress: dict[str, int],
    *,
    recipe: str = "",
) -> None:
    """Write a checkpoint atomically.

    Args:
        folder: Where to; made if missing.
        model: The model in training.
        optimisers: Its optimisers.
        progress: Stage and step.
        recipe: What is being trained, for ``check_state``; "" lets any training go on from here.
    """
    tensors: dict[str, Tensor] = {f"model/{k}": v.detach().cpu().clone() for k, v in model.state_dict().items()}
    for number, optimiser in enumerate(optimisers):
        for index, entries in optimiser.state_dict()["state"].items():
            for key, value in entries.items():
                tensors[f"optimiser/{number}/{index}/{key}"] = torch.as_tensor(value).detach().cpu().clone()
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{_STATE}.part"
    save_file(tensors, part, metadata={"progress": json.dumps(progress), "recipe": recipe})
    os.replace(part, folder / _STATE)


def load_state(folder: Path, model: torch.nn.Module, optimisers: Sequence[torch.optim.Optimizer], stage: int) -> int:
    """Restore a checkpoint of one stage into model and optimisers.

    Returns:
        The number of finished steps of that stage; 0 if there is no checkpoint, or one of an earlier stage.
    """
    path = folder / _STATE
    if not path.exists():
        return 0
    progress = read_progress(folder)
    if progress["stage"] < stage:
        return 0
    tensors = load_file(path)
    model.load_state_dict({k.removeprefix("model/"): v for k, v in tensors.items() if k.startswith("model/")})
    if progress["stage"] > stage:
        return -1
    for number, optimiser in enumerate(optimisers):
        entries: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith(f"optimiser/{number}/"):
                _, _, index, name = key.split("/")
                entries.setdefault(int(index), {})[name] = value
        optimiser.load_state_dict({"state": entries, "param_groups": optimiser.state_dict()["param_groups"]})
    return progress["step"]


def read_progress(folder: Path) -> dict[str, int]:
    """Stage and step of the checkpoint in a folder."""
    progress: dict[str, int] = json.loads(_metadata(folder)["progress"])
    return progress


def check_state(folder: Path, recipe: str) -> None:
    """Refuse to continue a checkpoint that belongs to another training; one that names no recipe is any training's.

    Args:
        folder: Folder of checkpoints; nothing in it is fine.
        recipe: What is going to be trained.

    Raises:
        TrainingStateError: The checkpoint is damaged, or of another recipe.
    """
    found = _metadata(folder).get("recipe", "") if (folder / _STATE).exists() else ""
    if found not in ("", recipe):
        raise TrainingStateError(
            f"{folder} holds a training of {found}, not of {recipe}; delete the folder to begin anew, or train into "
            "another one"
        )


def _metadata(folder: Path) -> dict[str, str]:
    """What the checkpoint says about itself.

    Raises:
        TrainingStateError: It is damaged.
    """
    try:
        with safe_open(folder / _STATE, framework="pt") as file:
            found: dict[str, str] = file.metadata() or {}
    except SafetensorError as error:
        raise TrainingStateError(f"{folder / _STATE} is damaged ({error}); delete the folder to begin anew") from error
    return found
