"""Rows of a hub dataset: downloaded once at a pinned revision, read from the cache or a local copy afterwards."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from toolkit.datasets.image_file import ImageError, decode_image, open_image
from toolkit.datasets.load import DATASETS, DatasetRequest, OnUnreadable
from toolkit.extras import need

Row = Mapping[str, Any]

SHUFFLE_BUFFER = 500


class DatasetUnavailableError(OSError):
    """A hub dataset is neither cached nor reachable."""


def rows(request: DatasetRequest, columns: tuple[str, ...], keep: Callable[[Row], bool] | None = None) -> Iterator[Row]:
    """Yield the rows that a request asks for; the column ``image`` is left encoded.

    Args:
        request: Dataset, revision, local copy, number and seed.
        columns: Columns that must be there.
        keep: Which rows belong to the dataset, from everything but the picture; None keeps all.

    Raises:
        DatasetUnavailableError: Neither cached nor reachable, or the local copy has no parquet file.
        ModuleNotFoundError: The library datasets is not installed (extra ``datasets``).
        ValueError: A column is missing, or more samples are asked for than there are.
    """
    need("datasets", f"the dataset {request.name}")
    from datasets import Image as ImageFeature
    from datasets import load_dataset

    files = _remote_files(request) if request.streaming else [str(path) for path in parquet_files(request)]
    table = load_dataset("parquet", data_files=files, split="train", streaming=request.streaming)
    names = table.column_names
    missing = [column for column in columns if names is not None and column not in names]
    if missing:
        raise ValueError(f"{request.name} lacks the columns {missing}, it has {names}; is it the right revision?")
    if isinstance((table.features or {}).get("image"), ImageFeature):
        table = table.cast_column("image", ImageFeature(decode=False))
    if request.streaming:
        shuffled = table.shuffle(seed=request.seed, buffer_size=SHUFFLE_BUFFER)
        yield from islice((row for row in shuffled if keep is None or keep(row)), request.n)
        return
    light = table.remove_columns("image")
    kept = [i for i, row in enumerate(light) if keep is None or keep(row)]
    yield from table.select([kept[i] for i in subset(request, len(kept))])


def subset(request: DatasetRequest, size: int) -> list[int]:
    """Row numbers of the seeded subset, in the dataset's order; a larger one contains every smaller one.

    Raises:
        ValueError: More samples are asked for than there are.
    """
    if request.n is None or request.n == size:
        return list(range(size))
    if request.n > size:
        raise ValueError(f"{request.name} has {size} samples, {request.n} were asked for; ask for fewer or n=None")
    chosen = np.random.default_rng(request.seed).permutation(size)[: request.n]
    return sorted(int(i) for i in chosen)


def parquet_files(request: DatasetRequest) -> list[Path]:
    """The dataset's parquet files on this machine, downloaded if they are not.

    Raises:
        DatasetUnavailableError: As for ``rows``.
    """
    folder = request.source if request.source is not None else _cached(request)
    if not folder.is_dir():
        raise DatasetUnavailableError(f"the local copy {str(folder)!r} of {request.name} is not a folder")
    files = sorted(folder.rglob("*.parquet"))
    if not files:
        raise DatasetUnavailableError(f"{str(folder)!r} holds no parquet file of {request.name}")
    return files


def unpinned_note(name: str, revision: str | None) -> str | None:
    """How to repeat a run on a hub dataset that was read without a pinned revision; None where there is nothing to say.

    Args:
        name: A dataset.
        revision: The commit that was asked for, or None.
    """
    if name not in DATASETS or not DATASETS[name].is_hub or revision or DATASETS[name].revision:
        return None
    folder = _cached(DatasetRequest(name, "test", None, 0))
    return (
        f"{name} is not pinned; what was read is commit {folder.name} (on the dataset's page: Files, History). "
        f"To repeat it: --revision {name}={folder.name}"
    )


def _revision(request: DatasetRequest) -> str | None:
    return request.revision or DATASETS[request.name].revision or None


def _cached(request: DatasetRequest) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    origin = DATASETS[request.name].origin
    ask = partial(snapshot_download, origin, repo_type="dataset", revision=_revision(request))
    try:
        return Path(ask(allow_patterns=["*.parquet", "**/*.parquet"]))
    except HFValidationError as error:
        raise ValueError(f"{request.revision!r} is no revision of {request.name}: {error}") from error
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        with suppress(LocalEntryNotFoundError):  # an older huggingface_hub asks the hub for what is here
            return Path(ask(local_files_only=True))
        raise DatasetUnavailableError(
            f"{request.name} ({origin}, revision {_revision(request) or 'main'}) is neither cached nor reachable: "
            f"{type(error).__name__}. Load it once with network access, or give source=FOLDER with its parquet files"
        ) from error


def _remote_files(request: DatasetRequest) -> list[str]:
    revision = _revision(request) or "main"
    return [f"hf://datasets/{DATASETS[request.name].origin}@{revision}/**.parquet"]


def image_bytes(value: object, name: str) -> bytes:
    """The encoded bytes of an image field as parquet stores it.

    Raises:
        ImageError: There are none.
    """
    data = value.get("bytes") if isinstance(value, Mapping) else value
    if not isinstance(data, bytes) or not data:
        raise ImageError(f"{name} has no picture")
    return data


def field_text(row: Row, column: str, name: str) -> str:
    """A field that must be a text, without blanks at its ends; ``name`` is what error messages call the row.

    Raises:
        ValueError: It is something else, or empty.
    """
    value = row[column]
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"{name}: the {column} is {value!r}; expected a text")
    return value.strip()


def image_id(data: bytes) -> str:
    """Identifies a picture by its encoded bytes."""
    return hashlib.sha256(data).hexdigest()[:16]


def decode(row: Row, name: str, on_unreadable: OnUnreadable | None) -> tuple[Image.Image, str] | None:
    """The picture of a row and its identity; None if it was reported as unreadable.

    Raises:
        ImageError: It cannot be decoded and nobody wants to be told.
    """
    try:
        value = row["image"]
        if isinstance(value, Image.Image):
            image = open_image(value)
            return image, image_id(image.tobytes())
        data = image_bytes(value, name)
        return decode_image(data, name), image_id(data)
    except ImageError as error:
        if on_unreadable is None:
            raise
        on_unreadable(name, str(error))
        return None
