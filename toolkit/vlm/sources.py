"""Where a model's name leads, and what is known of the model before its weights are read or downloaded."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import torch
import transformers
from transformers import AutoConfig

from toolkit.paths import models_dir
from toolkit.registry import UnknownNameError
from toolkit.vlm.catalogue import CATALOGUE
from toolkit.vlm.checkpoint import Checkpoint, CheckpointError, check_config, check_folder, check_revision
from toolkit.vlm.families import adapter_class


@dataclass(frozen=True)
class Source:
    """A checkpoint that may be loaded.

    Attributes:
        name: The name that was asked for.
        path: A folder, or a hub id.
        is_hub: Whether ``path`` is a hub id.
        revision: Commit on the hub; None for a folder, which its digest identifies.
        found: Family, size and digest.
    """

    name: str
    path: str
    is_hub: bool
    revision: str | None
    found: Checkpoint


def find_source(name: str, *, revision: str | None = None, pinned: bool = False) -> Source:
    """Look at the checkpoint behind a name, without reading its weights.

    Args:
        name: An embedded name, a folder, or a hub id.
        revision: Commit of a hub id; None takes the catalogue's, or the newest.
        pinned: Refuse a hub revision that is not a full commit.

    Raises:
        UnknownNameError: No such model; the message suggests the nearest name.
        CheckpointError: It is missing, damaged, unsafe, of an unknown family, unreachable, or not pinned.
    """
    path, is_hub = locate(name)
    if not is_hub:
        if revision is not None:
            raise CheckpointError(
                f"{name!r} is a folder and has no revisions (its weights identify it); leave out revision={revision!r}"
            )
        return Source(name, path, is_hub, None, check_folder(Path(path)))
    revision = revision or catalogued(name)
    check_revision(name, revision, pinned=pinned)
    found = _on_the_hub(name, revision)
    return Source(name, path, is_hub, found.digest or revision, found)


def identity_of(name: str, revision: str | None = None, *, pinned: bool = True) -> str:
    """What a benchmark run remembers of a model: commit of a hub model, digest of a folder's weights. No network.

    Raises:
        UnknownNameError, CheckpointError: As ``find_source``.
    """
    if locate(name)[1]:
        revision = revision or catalogued(name)
        check_revision(name, revision, pinned=pinned)
        return f"commit {revision}"
    return f"weights {find_source(name, revision=revision).found.digest}"


def catalogued(name: str) -> str | None:
    """The commit that the catalogue has for a hub id, if any."""
    return CATALOGUE[name].revision if name in CATALOGUE else None


def locate(name: str) -> tuple[str, bool]:
    """Folder or hub id of a name, and whether it is a hub id.

    Raises:
        UnknownNameError: It is none of them; the message suggests the nearest name.
        CheckpointError: A folder that is not there, or something that cannot be a checkpoint.
    """
    if not name.strip():
        raise UnknownNameError("model", name, CATALOGUE)
    if name in CATALOGUE and CATALOGUE[name].source == "embedded":
        folder = models_dir() / name
        if not folder.is_dir():
            raise CheckpointError(f"{name!r} is not in {folder.parent}; train it: python -m toolkit train {name}")
        return str(folder), False
    if name.startswith(("http://", "https://")):
        raise CheckpointError(
            f"{name!r} is an address; give the hub id at its end, for example llava-hf/llava-1.5-7b-hf"
        )
    path = Path(name).expanduser()
    if path.is_dir():
        return str(path), False
    if path.exists():
        raise CheckpointError(f"{name!r} is a file; give the checkpoint's folder")
    if name.startswith((".", "/", "~")) or name.count("/") > 1 or name.endswith("/"):
        raise CheckpointError(f"there is no folder {name!r}")
    if name.count("/") != 1:
        raise UnknownNameError("model", name, CATALOGUE)
    return name, True


def card_folder(name: str) -> Path:
    """Folder of an embedded model that has the numbers of its card.

    Raises:
        CheckpointError: The model or its numbers are not there.
    """
    folder = Path(locate(name)[0])
    if not (folder / "evaluation.json").is_file():
        raise CheckpointError(
            f"{folder} has no evaluation.json, the numbers of its card; restore it from the repository"
        )
    return folder


def _on_the_hub(name: str, revision: str | None) -> Checkpoint:
    """What the configuration of a hub model says; its digest is the commit that was found."""
    with explained(name):
        raw, _ = transformers.PreTrainedConfig.get_config_dict(name, revision=revision)
        model_type = check_config(raw, name)
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    with torch.device("meta"):
        model = getattr(transformers, adapter_class(model_type).model_class)(config)
    return Checkpoint(model_type, sum(p.numel() for p in model.parameters()), config._commit_hash or "")


@contextmanager
def explained(name: str) -> Iterator[None]:
    """Turn what the hub and the loaders raise into one sentence with a way out."""
    try:
        yield
    except (OSError, KeyError, TypeError) as error:
        chain = " ".join(f"{type(e).__name__} {e}" for e in (error, error.__cause__, error.__context__) if e).lower()
        raise CheckpointError(f"cannot load {name!r}: {_reason(chain)} ({_first_line(error)})") from error


def _reason(chain: str) -> str:
    if "gated" in chain:
        return "its publisher asks you to accept a licence; accept it on the model's page and log in (hf auth login)"
    if "revisionnotfound" in chain or "not a valid git identifier" in chain:
        return "it has no such revision; copy a commit from the model's page"
    if "repo id must" in chain:
        return "this is not how a hub id is written; expected publisher/name"
    if "repositorynotfound" in chain or "not a valid model identifier" in chain or "404" in chain:
        return "there is no such model on the hub, or it is private; check the spelling"
    if "offline" in chain or "connect" in chain or "couldn't find" in chain or "resolve" in chain:
        return "it is not in the local cache and the hub cannot be reached; download it once with a network"
    if "safetensors" in chain or "pytorch_model.bin" in chain:
        return "it has no safetensors weights, and pickles are never loaded"
    return "a file is missing or damaged"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
