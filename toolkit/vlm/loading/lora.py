"""LoRA adapters (Hu et al. 2021, arXiv 2106.09685): put upon their base and merged, so that one model is explained."""

from __future__ import annotations

import re
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from transformers import PreTrainedModel

from toolkit.vlm.loading.checkpoint import ADAPTER_CONFIG, ADAPTER_WEIGHTS, CheckpointError, read_json, shapes

_MATRIX = re.compile(r"(?:base_model\.model\.)?(?P<module>.+)\.lora_(?P<side>[AB])\.weight")


def check_lora(folder: Path) -> None:
    """Refuse an adapter that cannot be merged here, before its base is read.

    Raises:
        CheckpointError: It is of another kind than LoRA, or the package peft is missing.
    """
    kind = read_json(folder / ADAPTER_CONFIG).get("peft_type")
    if kind != "LORA":
        raise CheckpointError(
            f"{folder} holds an adapter of the kind {kind!r}; the toolkit merges LORA. Merge it yourself where that is "
            "possible, and save the whole model or give it to toolkit.wrap(model, processor)"
        )
    if find_spec("peft") is None:
        raise CheckpointError(
            f"{folder} holds a LoRA adapter, and without the package peft it would be left out: "
            "pip install 'vlm-synergy-toolkit[lora]', or take the folder of the base alone"
        )


def merged(model: PreTrainedModel, folder: Path) -> PreTrainedModel:
    """The model with an adapter's weights added to its own: W + (alpha / r) B A.

    Args:
        model: The base.
        folder: The adapter's folder.

    Raises:
        CheckpointError: The adapter belongs to another base.
    """
    wanted = _check_base(model, folder)
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what peft misses among the weights is refused below
        adapted: Any = PeftModel.from_pretrained(model, str(folder), is_trainable=False)
    there = {name.removeprefix("base_model.model.") for name, m in adapted.named_modules() if isinstance(m, LoraLayer)}
    if there != wanted:
        raise CheckpointError(
            f"{folder}: {ADAPTER_CONFIG} names {len(there)} modules and {ADAPTER_WEIGHTS} has weights of "
            f"{len(wanted)}, among the others {min(there ^ wanted)}; copy the adapter again"
        )
    whole: PreTrainedModel = adapted.merge_and_unload()
    return whole


def _check_base(model: PreTrainedModel, folder: Path) -> set[str]:
    """The modules that an adapter changes, each of which its base must have, in its size."""
    modules = dict(model.named_modules())
    named = ((_MATRIX.fullmatch(name), shape) for name, shape in shapes(folder / ADAPTER_WEIGHTS).items())
    matrices = [(found, shape) for found, shape in named if found]
    if not matrices:
        raise CheckpointError(f"{folder / ADAPTER_WEIGHTS} has no LoRA weights (lora_A, lora_B); copy it again")
    wanted = set()
    for found, shape in matrices:
        weight = getattr(modules.get(found["module"]), "weight", None)
        axis = 1 if found["side"] == "A" else 0
        size, given = None if weight is None else weight.shape[axis], shape[axis]
        if size != given:
            has = "has no such module" if size is None else f"has {size} there"
            raise CheckpointError(
                f"the adapter in {folder} is for another base: its {found[0]} is for a module of size {given}, and "
                f"{type(model).__name__} {has}; name its own base in {ADAPTER_CONFIG} (base_model_name_or_path)"
            )
        wanted.add(found["module"])
    return wanted


@contextmanager
def without_adapter(base: Path, adapter: Path | None) -> Iterator[Path]:
    """The base's folder without an adapter beside it, which transformers would put upon it by itself, unmerged."""
    if adapter != base:
        yield base
        return
    with tempfile.TemporaryDirectory(prefix="base-") as place:
        for path in base.iterdir():
            if path.name not in (ADAPTER_CONFIG, ADAPTER_WEIGHTS):
                (Path(place) / path.name).symlink_to(path.resolve())
        yield Path(place)
