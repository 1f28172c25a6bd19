"""Image tokens of masked pictures: each distinct one goes through the vision tower once, in batches, and is kept."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel

from toolkit.vlm.adapters.adapter_base import Adapter
from toolkit.vlm.engine import decoder
from toolkit.vlm.engine.products import fast_products
from toolkit.vlm.engine.request import MaskedImage, MaskedPrefix
from toolkit.vlm.memory import Backoff

_Key = tuple[str, bytes]


class ImageEncoder:
    """The vision tower of one model, with a bounded memory.

    Args:
        adapter: The model's family.
        model: The transformers model.
        entries: Pixel entries per batch.
        kept_bytes: Bound of the remembered image tokens; the latest picture is always remembered.

    Attributes:
        entries: Pixel entries per batch, halved when memory runs out.
        n_encoded: Pictures encoded since it was made.
    """

    def __init__(self, adapter: Adapter, model: PreTrainedModel, *, entries: int, kept_bytes: int) -> None:
        self._adapter = adapter
        self._model = model
        self.entries = Backoff(entries, model.device)
        self.n_encoded = 0
        self._kept_bytes = kept_bytes
        self._kept: OrderedDict[_Key, Tensor] = OrderedDict()
        self._held = 0

    def __call__(self, prefixes: Sequence[MaskedPrefix]) -> list[Tensor]:
        """Image tokens (n_tokens, dim) of each prefix: those of its images, one behind the other."""
        images = [prefix.images() for prefix in prefixes]
        places = sorted((i, k) for k, some in enumerate(images) for i in range(len(some)))  # all first ones first
        tokens = self.encode([images[k][i] for i, k in places])
        found: list[list[Tensor]] = [[] for _ in images]
        for (_, k), own in zip(places, tokens, strict=True):
            found[k].append(own)
        return [own[0] if len(own) == 1 else torch.cat(own) for own in found]

    def encode(self, images: Sequence[MaskedImage]) -> list[Tensor]:
        """Image tokens (n_tokens, dim) of each masked image, which other images and the question do not change."""
        keys = [image.key(self._adapter) for image in images]
        found = {key: self._kept[key] for key in keys if key in self._kept}
        missing = {key: image for key, image in zip(keys, images, strict=True) if key not in found}
        by_shape: dict[tuple[Any, ...], list[_Key]] = {}
        for key, image in missing.items():
            view = image.view
            geometry = view.geometry
            by_shape.setdefault((*view.pixels.shape, geometry.rows, geometry.columns, geometry.size), []).append(key)
        for alike in by_shape.values():
            found.update(zip(alike, self._encode([missing[key] for key in alike]), strict=True))
        for key in missing:
            self._remember(key, found[key])
        return [found[key] for key in keys]

    def forget(self) -> None:
        """Drop all remembered image tokens."""
        self._kept.clear()
        self._held = 0

    def _encode(self, images: Sequence[MaskedImage]) -> list[Tensor]:
        """Encode masked pictures whose pixel tensors have one shape."""
        encoded: list[Tensor] = []
        size = images[0].view.pixels.numel()
        while len(encoded) < len(images):
            waiting = images[len(encoded) :]
            encoded += self.entries.run(
                lambda entries, some=waiting: self._encode_some(some[: _count(entries // size)]),  # type: ignore[misc]
                smallest=size,
            )
        self.n_encoded += len(images)
        return encoded

    def _encode_some(self, images: Sequence[MaskedImage]) -> list[Tensor]:
        inputs = self._adapter.pixel_inputs(self._pixels(images), images[0].view.geometry)
        with self._adapter.fast_vision(self._model), fast_products(at_least=2):
            n_layers = self._adapter.n_layer_features(self._model.config)
            return list(decoder.encode_images(self._model, inputs, len(images), n_layers))

    def _pixels(self, images: Sequence[MaskedImage]) -> Tensor:
        """Pixel tensors of all pictures, (n, *pixel_shape)."""
        shape = images[0].view.pixels.shape
        pixels = images[0].view.pixels.new_empty(len(images), *shape)
        done = 0
        for (_, baseline), group in groupby(images, key=lambda image: (id(image.view), image.baseline)):
            members = list(group)
            keep = np.stack([image.keep for image in members])
            out = pixels[done : done + len(members)]
            members[0].view.masked(self._adapter, baseline, keep, out)
            done += len(members)
        return pixels

    def _remember(self, key: _Key, tokens: Tensor) -> None:
        self._kept[key] = tokens
        self._held += tokens.nbytes
        while self._held > self._kept_bytes and len(self._kept) > 1:
            self._held -= self._kept.popitem(last=False)[1].nbytes


def _count(limit: int) -> int:
    """Pictures in a full batch: a power of two, so that few sizes of batch come again and again."""
    return 1 << max(1, limit).bit_length() - 1
