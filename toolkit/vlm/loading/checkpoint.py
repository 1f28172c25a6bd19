"""Inspect a checkpoint's folder before loading: complete, safe, of a known family, and one checkpoint only."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from toolkit.vlm.adapters.families import FAMILIES, family_key, why_unknown
from toolkit.vlm.loading.digests import file_digests, whole_digest
from toolkit.vlm.loading.integrity import SEAL, check_seal

WEIGHTS = "model.safetensors"
ADAPTER_CONFIG, ADAPTER_WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
SETTINGS = (
    "config.json", "generation_config.json", "processor_config.json", "preprocessor_config.json",
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "chat_template.json",
)  # fmt: skip
"""Files of JSON that decide numbers, where they are there."""

TOKENIZER = ("tokenizer.json", "tokenizer_config.json")
"""Files without which no prompt is tokenised."""

VOCABULARY = ("vocab.json", "merges.txt", "tokenizer.model", "chat_template.jinja")
"""Other files that do; so do the weights, their index, and an adapter."""

_SHARD = re.compile(r"model-\d+-of-\d+\.safetensors")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_POINTER = b"version https://git-lfs"
_PINNED = re.compile(r"[0-9a-f]{40}")
_PAPERS = ("README.md", "evaluation.json")
"""Files about a model, which may be edited: they change no number."""

_MOST_MODULES = 1000
_COUNTED = re.compile(r"layers|depth|blocks|experts")
"""Settings that say how many modules there are, which transformers makes one by one."""

_SIZES = re.compile(r"(hidden_size|intermediate_size|vocab_size|attention_heads|hidden_layers|depth|patch_size)$")
"""Settings without which there is no model."""


class CheckpointError(ValueError):
    """A checkpoint that cannot or must not be loaded; the message says why and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A folder with a checkpoint that may be loaded.

    Attributes:
        folder: The folder.
        model_type: Family key.
        n_parameters: Number of weights.
        files: Names of exactly the files that decide numbers, weights as transformers will read them.
        quantisation: Method by which its weights are stored quantised, or None.
        has_adapter: Whether a LoRA adapter lies beside the weights.
    """

    folder: Path
    model_type: str
    n_parameters: int
    files: tuple[str, ...]
    quantisation: str | None = None
    has_adapter: bool = False

    def digests(self, *, verify: bool = False) -> dict[str, str]:
        """Digest of each of the files; ``verify`` reads large ones again, whatever is remembered of them."""
        return file_digests(self.folder, self.files, verify=verify)

    @property
    def digest(self) -> str:
        """One digest of all these files."""
        return whole_digest(self.digests())


def check_revision(name: str, revision: str | None, *, pinned: bool) -> None:
    """Refuse a moving revision where a fixed one is needed.

    Raises:
        CheckpointError: ``pinned`` and the revision is not 40 hexadecimal digits.
    """
    if pinned and (revision is None or not _PINNED.fullmatch(revision)):
        raise CheckpointError(
            f"revision {revision!r} of {name!r} can move; a benchmark run needs a commit of 40 hexadecimal digits "
            "(on the model's page: Files, History)"
        )


def check_config(config: dict[str, Any], where: str) -> str:
    """The registry's name of the family of a config.json.

    Raises:
        CheckpointError: It needs code of its own, is of a family that the toolkit does not know, or names a number of
            modules that no model has.
    """
    if "auto_map" in config:
        raise CheckpointError(
            f"{where} brings code of its own (auto_map), which the toolkit never runs; use a checkpoint in the "
            "transformers format (their names often end in -hf)"
        )
    tower = config.get("vision_config")
    tower_type = str(tower.get("model_type", "")) if isinstance(tower, dict) else ""
    model_type = family_key(str(config.get("model_type", "")), tower_type)
    if model_type not in FAMILIES:
        kind = f"is a {model_type!r} model" if model_type else "names no model_type in its config.json"
        raise CheckpointError(f"{where} {kind}; {why_unknown(model_type)}")
    for key, number in _numbers(config):
        if _COUNTED.search(key) and number > _MOST_MODULES:
            raise CheckpointError(
                f"{where}: config.json has {key} = {number:,}, and no model has more than {_MOST_MODULES:,}; "
                "copy config.json again"
            )
        if _SIZES.search(key) and number < 1:
            raise CheckpointError(f"{where}: config.json has {key} = {number}, expected at least 1; copy it again")
    return model_type


def _numbers(config: dict[str, Any], within: str = "") -> Iterator[tuple[str, int]]:
    """All whole numbers of a configuration, with their place in it."""
    for key, value in config.items():
        if isinstance(value, dict):
            yield from _numbers(value, f"{within}{key}.")
        elif isinstance(value, int):
            yield f"{within}{key}", value


def check_folder(folder: Path) -> Checkpoint:
    """Check a local checkpoint without loading it.

    Raises:
        CheckpointError: A file is missing, damaged, a pickle, or of another family; or there are two sets of weights.
    """
    config = read_json(folder / "config.json")
    model_type = check_config(config, str(folder))
    weights = weight_files(folder, config)
    n_parameters = sum(prod(shape) for name in weights if _is_weights(name) for shape in shapes(folder / name).values())
    for needed in (*TOKENIZER, image_settings(folder)):
        read_json(folder / needed)
    has_adapter = (folder / ADAPTER_CONFIG).is_file()
    named = (*SETTINGS, *VOCABULARY, *(adapter_files(folder) if has_adapter else ()))
    there = [name for name in named if (folder / name).is_file()]
    for name in there:
        if name in SETTINGS:
            read_json(folder / name)
    files = (*there, *_further_templates(folder), *weights)
    broken = check_seal(folder, skip=_PAPERS, read=files)
    if broken is not None:
        raise CheckpointError(f"{folder}: {broken}. Copy it again; delete {SEAL} if you changed it yourself")
    return Checkpoint(folder, model_type, n_parameters, files, _quantisation(config), has_adapter)


def weight_files(folder: Path, config: dict[str, Any]) -> tuple[str, ...]:
    """The safetensors files that transformers will read, and their index.

    Raises:
        CheckpointError: There are none, pickles only, some are missing, or there are two sets of them.
    """
    single = str(config.get("transformers_weights") or WEIGHTS)
    index = single if single.endswith(".index.json") else f"{single}.index.json"
    if not (folder / index).is_file():
        if index != single and (folder / single).is_file():
            _refuse_others(folder, single, ())
            return (single,)
        raise _no_weights(folder, [index if index == single else single])
    weight_map = read_json(folder / index).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise CheckpointError(f"{folder / index} has no weight_map")
    shards = sorted({str(name) for name in weight_map.values()})
    _refuse_others(folder, index, shards)
    missing = [shard for shard in shards if Path(shard).name != shard or not (folder / shard).is_file()]
    if missing:
        raise _no_weights(folder, missing)
    return (index, *shards)


def _refuse_others(folder: Path, read: str, shards: tuple[str, ...] | list[str]) -> None:
    """Refuse weights beside those that are read, which somebody may have meant instead."""
    others = sorted(
        path.name
        for path in folder.glob("model*.safetensors")
        if path.name not in (read, *shards) and (path.name == WEIGHTS or _SHARD.fullmatch(path.name))
    )
    if others:
        more = f" and {len(others) - 1} more" if len(others) > 1 else ""
        raise CheckpointError(
            f"{folder} holds two sets of weights: {read} and, beside it, {others[0]}{more}; delete the set that is "
            "not meant"
        )


def _no_weights(folder: Path, missing: list[str]) -> CheckpointError:
    pickles = sorted(path.name for pattern in _PICKLES for path in folder.glob(pattern))
    if pickles:
        return CheckpointError(
            f"{folder} holds {', '.join(pickles)}: pickles can run code, so only safetensors are loaded; "
            "convert it with save_pretrained, which writes model.safetensors"
        )
    return CheckpointError(f"{folder} lacks {', '.join(missing)}")


def adapter_files(folder: Path) -> tuple[str, str]:
    """Names of the files of a LoRA adapter.

    Raises:
        CheckpointError: One is missing, or its weights are a pickle.
    """
    read_json(folder / ADAPTER_CONFIG)
    if not (folder / ADAPTER_WEIGHTS).is_file():
        raise _no_weights(folder, [ADAPTER_WEIGHTS])
    return ADAPTER_CONFIG, ADAPTER_WEIGHTS


def _is_weights(name: str) -> bool:
    return name.endswith(".safetensors")


def image_settings(folder: Path) -> str:
    """Name of the file that says how images are prepared; older checkpoints have it in a file of its own.

    Raises:
        CheckpointError: There is none.
    """
    older, newer = "preprocessor_config.json", "processor_config.json"
    if (folder / older).is_file():
        return older
    if "image_processor" not in read_json(folder / newer):
        raise CheckpointError(
            f"{folder} lacks {older}, which says how images are prepared, and its {newer} has no image_processor "
            "either; copy it from where the checkpoint came from"
        )
    return newer


def has_template(folder: Path) -> bool:
    """Whether a chat template lies in one of its three places.

    Raises:
        CheckpointError: The settings of the tokenizer are missing or damaged.
    """
    files = ("chat_template.jinja", "chat_template.json")
    return any((folder / name).is_file() for name in files) or "chat_template" in read_json(folder / TOKENIZER[1])


def _further_templates(folder: Path) -> Iterator[str]:
    return (path.relative_to(folder).as_posix() for path in sorted(folder.glob("additional_chat_templates/*.jinja")))


def _quantisation(config: dict[str, Any]) -> str | None:
    """The method that a config.json names, wherever releases put it."""
    text = config.get("text_config")
    places = (config, text) if isinstance(text, dict) else (config,)
    found = [place[key] for place in places for key in ("quantization_config", "compression_config") if key in place]
    settings = next((some for some in found if isinstance(some, dict)), None)
    return None if settings is None else str(settings.get("quant_method", "a method that it does not name"))


def read_json(path: Path) -> dict[str, Any]:
    """The object in a file of JSON.

    Raises:
        CheckpointError: It is missing, damaged, or holds something else.
    """
    if not path.is_file():
        raise CheckpointError(f"{path.parent} lacks {path.name}; a checkpoint folder is what save_pretrained writes")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        _refuse_pointer(path)
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, expected a JSON object")
    return content


def shapes(path: Path) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the tensors in a safetensors file, from its header.

    Raises:
        CheckpointError: It is something else, or damaged.
    """
    try:
        with safe_open(path, framework="pt") as tensors:
            return {name: tuple(tensors.get_slice(name).get_shape()) for name in tensors.keys()}  # noqa: SIM118
    except (SafetensorError, OSError) as error:
        _refuse_pointer(path)
        with path.open("rb") as file:
            start = file.read(4)
        kind = "a pickle" if start[:1] == b"\x80" or start == b"PK\x03\x04" else "damaged or incomplete"
        raise CheckpointError(f"{path} is {kind}, not a safetensors file ({error}); copy it again") from error


def _refuse_pointer(path: Path) -> None:
    """Refuse what git leaves in the place of a large file where Git LFS is not installed.

    Raises:
        CheckpointError: It is a pointer.
    """
    with path.open("rb") as file:
        if file.read(len(_POINTER)) == _POINTER:
            raise CheckpointError(f"{path} is a Git LFS pointer; fetch the file itself: git lfs pull")
