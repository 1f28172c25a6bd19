"""Files of hub models, from the local cache or downloaded; never a pickle."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TypeVar

from huggingface_hub import hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)

from toolkit.vlm.loading.checkpoint import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    SETTINGS,
    TOKENIZER,
    VOCABULARY,
    CheckpointError,
    has_template,
    image_settings,
    read_json,
    weight_files,
)

T = TypeVar("T")

_WANTED = (
    *SETTINGS, *VOCABULARY, "additional_chat_templates/*.jinja", "model*.safetensors", "model*.safetensors.index.json",
    ADAPTER_CONFIG, ADAPTER_WEIGHTS,
)  # fmt: skip


def file(repo: str, revision: str | None, *names: str) -> Path:
    """The first of some files that a repository has, downloaded if it is not cached.

    Raises:
        CheckpointError: It has none of them, or cannot be reached.
    """
    first: CheckpointError | None = None
    for name in names:
        try:
            return Path(_asked(repo, revision, partial(hf_hub_download, repo, name, revision=revision)))
        except CheckpointError as error:
            first = first or error
    raise first or CheckpointError(f"no file of {repo!r} was asked for")


def commit_of(path: Path) -> str:
    """The commit of a file in the hub's cache: the folder of the snapshot that it lies in."""
    parts = path.parts
    return parts[len(parts) - parts[::-1].index("snapshots")]


def cached(repo: str, commit: str) -> Path | None:
    """The folder of a snapshot that has all that a checkpoint needs, or None.

    Whoever loaded its tokenizer and weights alone has no more in the cache: how images are prepared, or the chat
    template, has to be downloaded then.
    """
    try:
        folder = Path(snapshot_download(repo, revision=commit, local_files_only=True))
        image_settings(folder)
        weight_files(folder, read_json(folder / "config.json"))
        if all((folder / name).is_file() for name in TOKENIZER) and has_template(folder):
            return folder
    except (LocalEntryNotFoundError, CheckpointError):
        pass
    return None


def download(repo: str, commit: str) -> Path:
    """The folder of a snapshot with every file that a checkpoint may need.

    Raises:
        CheckpointError: It cannot be reached.
    """
    ask = partial(snapshot_download, repo, revision=commit, allow_patterns=list(_WANTED))
    try:
        return Path(_asked(repo, commit, ask))
    except CheckpointError:
        try:  # where there is no network, what is here: the caller looks whether it is whole
            return Path(snapshot_download(repo, revision=commit, local_files_only=True))
        except LocalEntryNotFoundError:
            pass
        raise


def _asked(repo: str, revision: str | None, ask: Callable[[], T]) -> T:
    """What the hub answers; what it raises becomes one sentence with a way out."""
    try:
        return ask()
    except (OSError, HfHubHTTPError, HFValidationError, EntryNotFoundError) as error:
        first = (str(error).strip().splitlines() or [type(error).__name__])[0]
        raise CheckpointError(f"cannot load {repo!r}: {_reason(error, repo, revision)} ({first})") from error


def _reason(error: Exception, repo: str, revision: str | None) -> str:
    if isinstance(error, GatedRepoError):
        return "its publisher asks you to accept a licence; accept it on the model's page and log in (hf auth login)"
    if isinstance(error, RevisionNotFoundError):
        return f"it has no revision {revision!r}; copy a commit from the model's page"
    if isinstance(error, HFValidationError):
        return "this is not how a hub id is written; expected publisher/name"
    if isinstance(error, RepositoryNotFoundError):
        return "there is no such model on the hub, or it is private; check the spelling"
    if isinstance(error, EntryNotFoundError) and not isinstance(error, LocalEntryNotFoundError):
        return "it is no checkpoint in the transformers format (their names often end in -hf)"
    return f"it is not in the local cache and the hub cannot be reached; {_cached_revisions(repo)}"


def _cached_revisions(repo: str) -> str:
    """What to do without a network: name a revision that is there, or get one."""
    from huggingface_hub.constants import HF_HUB_CACHE

    folder = Path(HF_HUB_CACHE) / f"models--{repo.replace('/', '--')}" / "snapshots"
    there = sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []
    if there:
        return f"the cache has {', '.join(there)}: give one as the revision, or download this one with a network"
    return "download it once with a network"
