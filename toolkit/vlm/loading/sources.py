"""Resolve a model's name to its files, and describe the model before its weights are read or downloaded."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from reprlib import repr as short
from typing import Any

import torch
import transformers
from huggingface_hub import try_to_load_from_cache
from transformers import AutoConfig

from toolkit.arguments import as_path
from toolkit.paths import models_dir
from toolkit.registry import UnknownNameError
from toolkit.vlm.adapters.families import adapter_class
from toolkit.vlm.loading import snapshots as hub
from toolkit.vlm.loading.catalogue import CATALOGUE
from toolkit.vlm.loading.checkpoint import (
    ADAPTER_CONFIG,
    Checkpoint,
    CheckpointError,
    adapter_files,
    check_config,
    check_folder,
    check_revision,
    read_json,
)
from toolkit.vlm.loading.digests import file_digests, listed
from toolkit.vlm.server.address import EXAMPLE, is_server, parse_address


@dataclass(frozen=True)
class Source:
    """A checkpoint that may be loaded.

    Attributes:
        name: The name that was asked for.
        repo: Its hub id, or None for a folder.
        revision: Commit on the hub; None for a folder, which its digest identifies.
        model_type: Family key.
        n_parameters: Number of weights.
        checkpoint: The folder, or None where it has to be downloaded first.
        lora: Folder of a LoRA adapter that is put upon it, or None.
    """

    name: str
    repo: str | None
    revision: str | None
    model_type: str
    n_parameters: int
    checkpoint: Checkpoint | None
    lora: Path | None = None

    def fetched(self) -> Source:
        """The same with its folder, downloaded if it is not here.

        Raises:
            CheckpointError: It cannot be downloaded, or what was downloaded is no checkpoint.
        """
        if self.checkpoint is not None or self.repo is None or self.revision is None:
            return self
        found = check_folder(hub.download(self.repo, self.revision))
        return replace(self, checkpoint=found, lora=self.lora or (found.folder if found.has_adapter else None))

    @property
    def folder(self) -> Path:
        """The folder of a source that was fetched."""
        if self.checkpoint is None:
            raise CheckpointError(f"{self.name!r} has not been downloaded yet")
        return self.checkpoint.folder

    @property
    def quantisation(self) -> str | None:
        """Method by which the weights are stored quantised, or None."""
        return None if self.checkpoint is None else self.checkpoint.quantisation

    def digests(self, *, verify: bool = False) -> dict[str, str]:
        """Digest of every file that decides numbers, of a source that was fetched; an adapter's are its own."""
        if self.checkpoint is None:
            return {}
        found = self.checkpoint.digests(verify=verify)
        if self.lora is not None and self.lora != self.folder:
            upon = file_digests(self.lora, adapter_files(self.lora), verify=verify)
            found |= {f"adapter/{name}": digest for name, digest in upon.items()}
        return found


def find_source(name: str, *, revision: str | None = None, pinned: bool = False) -> Source:
    """Look at the checkpoint behind a name, without reading its weights.

    Args:
        name: An embedded name, a folder, or a hub id. A folder may hold a LoRA adapter that names its base.
        revision: Commit of a hub id; None takes the catalogue's, or the newest.
        pinned: Refuse a hub revision that is not a full commit.

    Raises:
        UnknownNameError: No such model; the message suggests the nearest name.
        CheckpointError: It is missing, damaged, unsafe, of an unknown family, unreachable, or not pinned.
    """
    path, is_hub = locate(name)
    if is_hub:
        revision = revision or catalogued(name)
        check_revision(name, revision, pinned=pinned)
        return _on_the_hub(name, revision, pinned=pinned)
    _check_unversioned(name, revision)
    if _is_adapter(Path(path)):
        return _upon_its_base(name, Path(path), pinned=pinned)
    found = check_folder(Path(path))
    return _in_a_folder(name, found)


def _check_unversioned(name: str, revision: str | None) -> None:
    if revision is not None:
        raise CheckpointError(
            f"{name!r} is a folder and has no revisions (its files identify it); leave out revision={revision!r}"
        )


def _in_a_folder(name: str, found: Checkpoint, repo: str | None = None, revision: str | None = None) -> Source:
    lora = found.folder if found.has_adapter else None
    return Source(name, repo, revision, found.model_type, found.n_parameters, found, lora)


def _is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter and no model."""
    return (folder / ADAPTER_CONFIG).is_file() and not (folder / "config.json").is_file()


def _upon_its_base(name: str, folder: Path, *, pinned: bool) -> Source:
    """The base that an adapter names, with the adapter upon it."""
    adapter_files(folder)
    settings = read_json(folder / ADAPTER_CONFIG)
    base = settings.get("base_model_name_or_path")
    if not isinstance(base, str) or not base:
        raise CheckpointError(
            f"{folder} is an adapter whose {ADAPTER_CONFIG} names no base (base_model_name_or_path); write the "
            "folder or hub id of its base there"
        )
    if Path(base).is_dir() and _is_adapter(Path(base)):
        raise CheckpointError(f"{folder} is an adapter upon an adapter, {base}; merge that one into its base first")
    try:
        commit = settings.get("revision") if locate(base)[1] else None
        source = find_source(base, revision=commit, pinned=pinned)
    except (CheckpointError, UnknownNameError) as error:
        raise CheckpointError(f"{folder} is an adapter, and its base cannot be used: {error}") from error
    if source.lora is not None:
        raise CheckpointError(f"{folder} is an adapter upon {base}, which holds one itself; merge that one first")
    return replace(source, name=name, lora=folder)


def identity_of(name: str, revision: str | None = None, *, pinned: bool = True) -> str:
    """What a benchmark run remembers of a model: its commit, digests of its files, or its server. No network.

    Raises:
        UnknownNameError, CheckpointError: As ``find_source``.
    """
    if is_server(name):
        if revision is not None:
            raise CheckpointError(f"{name!r} is behind a server and has no revisions; leave out {revision!r}")
        address = parse_address(name)
        return f"{address.model} at {address.url}"
    path, is_hub = locate(name)
    if is_hub:
        revision = revision or catalogued(name)
        check_revision(name, revision, pinned=pinned)
        return f"commit {revision}"
    _check_unversioned(name, revision)
    if _is_adapter(Path(path)):
        base = str(read_json(Path(path) / ADAPTER_CONFIG).get("base_model_name_or_path"))
        upon = file_digests(Path(path), adapter_files(Path(path)))
        return f"{identity_of(base, pinned=pinned)} with {listed(upon)}"
    return listed(check_folder(Path(path)).digests())


def stored_config(name: str, revision: str | None = None) -> dict[str, Any] | None:
    """The content of a model's ``config.json`` where it is on this machine, else None. No network."""
    try:
        path, is_hub = locate(name)
    except (CheckpointError, UnknownNameError):
        return None
    if not is_hub:
        found = Path(path) / "config.json"
        return read_json(found) if found.is_file() else None
    cached = try_to_load_from_cache(name, "config.json", revision=revision or catalogued(name))
    return read_json(Path(cached)) if isinstance(cached, str) else None


def catalogued(name: str) -> str | None:
    """The commit that the catalogue has for a hub id, if any."""
    return CATALOGUE[name].revision if name in CATALOGUE else None


def locate(name: str) -> tuple[str, bool]:
    """Folder or hub id of a name, and whether it is a hub id.

    Raises:
        UnknownNameError: It is none of them; the message suggests the nearest name.
        CheckpointError: A folder that is not there, or something that cannot be a checkpoint.
    """
    if not isinstance(name, str) or not name.strip() or "\0" in name:
        raise UnknownNameError("model", name, CATALOGUE)
    if is_server(name):
        raise CheckpointError(f"{name!r} is behind a server and has no files; choose a model that has")
    if name in CATALOGUE and CATALOGUE[name].source == "embedded":
        folder = models_dir() / name
        if not folder.is_dir():
            raise CheckpointError(f"{name!r} is not in {folder.parent}; train it: python -m toolkit train {name}")
        return str(folder), False
    if name.startswith(("http://", "https://")):
        raise CheckpointError(
            f"{name!r} is an address; give the hub id at its end, for example llava-hf/llava-1.5-7b-hf, or for a model "
            f"behind a server {EXAMPLE}"
        )
    try:
        path = as_path("the name of a model", name)
        is_there = path.exists()
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{short(name)} is no model's name: {error}; known: {', '.join(CATALOGUE)}") from error
    if path.is_dir():
        return str(path), False
    if is_there:
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


def _on_the_hub(name: str, revision: str | None, *, pinned: bool) -> Source:
    """What is known of a hub model: all of it where it is in the cache, else what its configuration says."""
    settings = hub.file(name, revision, "config.json", ADAPTER_CONFIG)
    commit = hub.commit_of(settings)
    if settings.name == ADAPTER_CONFIG:
        return _upon_its_base(name, hub.download(name, commit), pinned=pinned)
    model_type = check_config(read_json(settings), name)
    cached = hub.cached(name, commit)
    if cached is not None:
        return _in_a_folder(name, check_folder(cached), name, commit)
    try:
        with torch.device("meta"):
            config = AutoConfig.from_pretrained(settings.parent, trust_remote_code=False)
            model = getattr(transformers, adapter_class(model_type).model_class)(config)
    except (RuntimeError, TypeError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{name!r} has a config.json that makes no model: {error}; copy it again") from error
    n_parameters = sum(p.numel() for p in model.parameters())
    return Source(name, name, commit, model_type, n_parameters, None)
