"""Training state on disk: model and optimisers as safetensors, written whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

_STATE = "state.safetensors"


def save_state(
    folder: Path, model: torch.nn.Module, optimisers: Sequence[torch.optim.Optimizer], progress: dict[str, int]
) -> None:
    """Write a checkpoint atomically."""
    tensors: dict[str, Tensor] = {f"model/{k}": v.detach().cpu().clone() for k, v in model.state_dict().items()}
    for number, optimiser in enumerate(optimisers):
        for index, entries in optimiser.state_dict()["state"].items():
            for key, value in entries.items():
                tensors[f"optimiser/{number}/{index}/{key}"] = torch.as_tensor(value).detach().cpu().clone()
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{_STATE}.part"
    save_file(tensors, part, metadata={"progress": json.dumps(progress)})
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
    from safetensors import safe_open

    with safe_open(folder / _STATE, framework="pt") as file:
        progress: dict[str, int] = json.loads(file.metadata()["progress"])
    return progress
