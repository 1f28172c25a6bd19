"""Check that a checkpoint's files fit each other, before memory is spent and again when they are read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
import transformers
from transformers import PreTrainedConfig, PreTrainedModel

from toolkit.vlm.loading.checkpoint import CheckpointError

_LAYER = re.compile(r"\.(layers|layer|blocks)\.\d+\.")


def check_weights(class_name: str, folder: Path, name: str, config: PreTrainedConfig) -> None:
    """Compare the model that config.json describes with the headers of the weights; no weight is read.

    Args:
        class_name: Class of transformers.
        folder: The checkpoint's folder.
        name: What it is called in errors.
        config: What its config.json says.

    Raises:
        CheckpointError: A weight is missing, has another shape, or is one too many.
    """
    _, info = _from_pretrained(class_name, folder, {"config": config, "device_map": {"": torch.device("meta")}})
    _check_names(info, class_name, name)


def load_weights(class_name: str, folder: Path, name: str, options: Mapping[str, Any]) -> PreTrainedModel:
    """The model with its weights.

    Args:
        class_name: Class of transformers.
        folder: The checkpoint's folder.
        name: What it is called in errors.
        options: Further arguments of ``from_pretrained``, the configuration among them.

    Raises:
        CheckpointError: A weight is missing, has another shape, or is one too many.
    """
    model, info = _from_pretrained(class_name, folder, options)
    _check_names(info, class_name, name)
    return model


def check_finite(model: PreTrainedModel, name: str) -> None:
    """Refuse weights that are no numbers.

    Raises:
        CheckpointError: A weight is NaN or infinite, in the precision in which it was loaded.
    """
    for weight_name, weight in model.named_parameters():
        n = weight.numel() - int(torch.isfinite(weight).sum()) if weight.is_floating_point() else 0
        if n:
            raise CheckpointError(
                f"{name}: {n} of {weight.numel()} values of {weight_name} are NaN or infinite as "
                f"{str(weight.dtype).removeprefix('torch.')}; copy it again, or load it with another dtype"
            )


def _from_pretrained(class_name: str, folder: Path, options: Mapping[str, Any]) -> tuple[PreTrainedModel, Any]:
    loaded: tuple[PreTrainedModel, Any] = getattr(transformers, class_name).from_pretrained(
        folder,
        trust_remote_code=False,
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # listed in info, and refused
        output_loading_info=True,
        **options,
    )
    return loaded


def _check_names(info: Mapping[str, Any], class_name: str, name: str) -> None:
    missing = sorted(map(str, info["missing_keys"]))
    foreign = sorted(str(key) for key in info["unexpected_keys"] if _LAYER.search(str(key)))
    mismatched = sorted(map(_with_shapes, info["mismatched_keys"]))
    # Missing names first where there are many: another size of model lacks layers and has every shape wrong.
    for keys, what in ((missing, "lacks"), (mismatched, "has with another shape"), (foreign, "has too many:")):
        if keys:
            raise CheckpointError(
                f"{name} {what} {len(keys)} weights of {class_name} as its config.json describes it, among them "
                f"{keys[0]}; config.json and weights are of different models, or a copy is not whole: copy both again"
            )


def _with_shapes(key: object) -> str:
    """A weight's name; newer versions of transformers say its shapes too."""
    if not isinstance(key, tuple):
        return str(key)
    name, *shapes = key
    told = [str(tuple(shape)) for shape in shapes]
    return f"{name} ({told[0]} in the file, {told[1]} by config.json)" if len(told) == 2 else str(name)
