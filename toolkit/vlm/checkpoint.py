"""Look at a checkpoint before it is loaded: is it whole, safe, of a known family, and small enough for this machine?"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from toolkit.integrity import SEAL, check_seal
from toolkit.vlm.families import FAMILIES

_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl")
_PINNED = re.compile(r"[0-9a-f]{40}")
_OPTIONAL = ("generation_config.json", "processor_config.json", "special_tokens_map.json")
_PAPERS = ("README.md", "evaluation.json")
"""Files about a model, which may be edited: they change no number."""

_WHOLE_DIGEST = 64 << 20


class CheckpointError(ValueError):
    """A checkpoint that cannot or must not be loaded; the message says why and what to do."""


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint that may be loaded.

    Attributes:
        model_type: Family key.
        n_parameters: Number of weights.
        digest: Digest of the weights.
    """

    model_type: str
    n_parameters: int
    digest: str


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
    """The model type of a config.json.

    Raises:
        CheckpointError: It needs code of its own, or is of a family that the toolkit does not know.
    """
    if "auto_map" in config:
        raise CheckpointError(
            f"{where} brings code of its own (auto_map), which the toolkit never runs; use a checkpoint in the "
            "transformers format (their names often end in -hf)"
        )
    model_type = str(config.get("model_type", ""))
    if model_type not in FAMILIES:
        kind = f"is a {model_type!r} model" if model_type else "names no model_type in its config.json"
        raise CheckpointError(f"{where} {kind}; the toolkit has adapters for: {', '.join(FAMILIES)}")
    return model_type


def check_folder(folder: Path) -> Checkpoint:
    """Check a local checkpoint without loading it.

    Raises:
        CheckpointError: A file is missing, damaged, a pickle, or of another family.
    """
    config = _read_json(folder / "config.json")
    model_type = check_config(config, str(folder))
    shards = _shards(folder)
    n_parameters = sum(_count(shard) for shard in shards)
    for needed in ("tokenizer.json", "tokenizer_config.json", _image_settings(folder)):
        _read_json(folder / needed)
    for optional in (path for path in _OPTIONAL if (folder / path).is_file()):
        _read_json(folder / optional)
    broken = check_seal(folder, skip=_PAPERS)
    if broken is not None:
        raise CheckpointError(f"{folder}: {broken}. Copy it again; delete {SEAL} if you changed it yourself")
    return Checkpoint(model_type, n_parameters, _digest(shards))


def _image_settings(folder: Path) -> str:
    """Name of the file that says how pictures are prepared; older checkpoints have it in a file of its own."""
    older = "preprocessor_config.json"
    return older if (folder / older).is_file() else "processor_config.json"


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise CheckpointError(f"{path.parent} lacks {path.name}; a checkpoint folder is what save_pretrained writes")
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise CheckpointError(f"{path} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise CheckpointError(f"{path} holds a {type(content).__name__}, expected a JSON object")
    return content


def _shards(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        weights = _read_json(index).get("weight_map")
        if not isinstance(weights, dict) or not weights:
            raise CheckpointError(f"{index} has no weight_map")
        shards = [folder / name for name in sorted(set(weights.values()))]
    else:
        shards = [folder / "model.safetensors"]
    missing = [shard.name for shard in shards if not shard.is_file()]
    if missing:
        pickles = [path.name for pattern in _PICKLES for path in folder.glob(pattern)]
        if pickles:
            raise CheckpointError(
                f"{folder} holds {', '.join(sorted(pickles))}: pickles can run code, so only safetensors are loaded; "
                "convert it with save_pretrained, which writes model.safetensors"
            )
        raise CheckpointError(f"{folder} lacks {', '.join(missing)}")
    return shards


def _count(shard: Path) -> int:
    try:
        with safe_open(shard, framework="pt") as tensors:
            total = 0
            for name in tensors.keys():  # noqa: SIM118  # not a mapping
                size = 1
                for n in tensors.get_slice(name).get_shape():
                    size *= n
                total += size
            return total
    except (SafetensorError, OSError) as error:
        start = shard.read_bytes()[:4]
        if start == b"vers":
            raise CheckpointError(f"{shard} is a Git LFS pointer; fetch the file itself: git lfs pull") from error
        kind = "a pickle" if start[:1] == b"\x80" or start == b"PK\x03\x04" else "damaged or incomplete"
        raise CheckpointError(f"{shard} is {kind}, not a safetensors file ({error}); copy it again") from error


def _digest(shards: list[Path]) -> str:
    """Digest of the weights: of all bytes up to 64 MiB, beyond that of the first and last MiB, sizes and times."""
    digest = hashlib.sha256()
    whole = sum(shard.stat().st_size for shard in shards) <= _WHOLE_DIGEST
    for shard in shards:
        digest.update(shard.name.encode())
        if whole:
            digest.update(shard.read_bytes())
            continue
        stat = shard.stat()
        digest.update(f"{stat.st_size}:{stat.st_mtime_ns}".encode())
        with shard.open("rb") as file:
            digest.update(file.read(1 << 20))
            file.seek(-min(1 << 20, stat.st_size), 2)
            digest.update(file.read())
    return digest.hexdigest()
