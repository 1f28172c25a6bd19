"""Folders in the layouts of the released checkpoints, with small random weights.

What is imitated: names of the weights before and after transformers 4.52, shards with their index, half precision, the
three places of a chat template, Qwen's flat configuration, LLaVA's older processor files.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

LAYOUTS = {
    "new names": {},
    "old names": {"keys": "old"},
    "old names, shards, bfloat16": {"keys": "old", "shards": 3, "dtype": torch.bfloat16},
    "new names, shards, float16": {"shards": 2, "dtype": torch.float16},
    "template in chat_template.json": {"template": "json"},
    "template in tokenizer_config.json": {"template": "tokenizer"},
    "older files": {"keys": "old", "template": "json", "is_older": True},
}
"""Name of a layout -> options of ``write_checkpoint``."""

_OLD_LLAVA = (
    (r"^model\.language_model\.", "language_model.model."),
    (r"^lm_head\.", "language_model.lm_head."),
    (r"^model\.(vision_tower\.|multi_modal_projector\.|image_newline)", r"\1"),
)
_OLD = {
    **dict.fromkeys(
        ("llava", "internvl", "llava-onevision", "gemma3", "mistral3", "pixtral"),
        _OLD_LLAVA,
    ),
    "qwen2.5-vl": ((r"^model\.language_model\.", "model."), (r"^model\.visual\.", "visual.")),
}  # fmt: skip
"""Names as ``named_parameters`` has them -> names before 4.52; Qwen3-VL is younger, Idefics3 kept its names."""


def layouts_of(family: str) -> tuple[str, ...]:
    """The layouts in which there are checkpoints of a family."""
    return tuple(name for name, options in LAYOUTS.items() if family in _OLD or "keys" not in options)


def write_checkpoint(
    folder: Path, family: str, model, processor, *, keys: str = "new", shards: int = 1,
    dtype: torch.dtype = torch.float32, template: str = "jinja", is_older: bool = False,
) -> Path:  # fmt: skip
    """Write a model and its processor in a released layout.

    Args:
        folder: Where to.
        family: Family.
        model: A transformers model.
        processor: Its processor.
        keys: ``"new"`` or ``"old"`` names of the weights.
        shards: Number of files of weights.
        dtype: In which they are stored.
        template: ``"jinja"``, ``"json"`` or ``"tokenizer"``: where the chat template lies.
        is_older: Files as in 2024: the image processor in a file of its own, LLaVA's processor without what newer ones
            say, Qwen's configuration flat.
    """
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    weights = load_file(folder / "model.safetensors")
    names = {name: _named(name, family, keys) for name in weights}
    (folder / "model.safetensors").unlink()
    _write_weights(folder, {names[name]: value.to(dtype) for name, value in weights.items()}, shards)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"dtype": str(dtype).removeprefix("torch.")}))
    _place_template(folder, template)
    if is_older:
        _make_older(folder, family)
    return folder


def _named(name: str, family: str, keys: str) -> str:
    """A weight's name in the layout; what ``save_pretrained`` writes may have either form."""
    for old, new in ((r"^language_model\.model\.", "model.language_model."), (r"^language_model\.lm_head", "lm_head"),
                     (r"^(vision_tower\.|multi_modal_projector\.|visual\.|image_newline)", r"model.\1"),
                     (r"^model\.(layers|embed_tokens|norm)\.", r"model.language_model.\1.")):  # fmt: skip
        name = re.sub(old, new, name)
    for new, old in _OLD.get(family, ()) if keys == "old" else ():
        name = re.sub(new, old, name)
    return name


def _write_weights(folder: Path, weights: dict[str, torch.Tensor], shards: int) -> None:
    if shards == 1:
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
        return
    where = {name: f"model-{i % shards + 1:05d}-of-{shards:05d}.safetensors" for i, name in enumerate(sorted(weights))}
    for file in set(where.values()):
        save_file({name: v for name, v in weights.items() if where[name] == file}, folder / file, {"format": "pt"})
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": where}))


def _place_template(folder: Path, place: str) -> None:
    path = folder / "chat_template.jinja"
    if place == "jinja":
        return
    template = path.read_text()
    path.unlink()
    name = {"json": "chat_template.json", "tokenizer": "tokenizer_config.json"}[place]
    known = json.loads((folder / name).read_text()) if (folder / name).is_file() else {}
    (folder / name).write_text(json.dumps(known | {"chat_template": template}))


def _make_older(folder: Path, family: str) -> None:
    settings = json.loads((folder / "processor_config.json").read_text())
    images = settings.pop("image_processor")
    kind = images.pop("image_processor_type").removesuffix("Pil").removesuffix("Fast")
    (folder / "preprocessor_config.json").write_text(json.dumps(images | {"image_processor_type": kind}))
    for gap in ("patch_size", "vision_feature_select_strategy", "num_additional_image_tokens"):
        settings.pop(gap, None)
    (folder / "processor_config.json").write_text(json.dumps(settings))
    if family == "qwen2.5-vl":
        config = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(config.pop("text_config") | config))
