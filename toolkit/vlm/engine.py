"""The scoring engine: every distinct image encoded once, every image prefix run once, blocks packed behind it.

Removed words are masked and every other token keeps its position, so a word may as well leave the sequence. All
questions about one masked picture then share the prefix (template and image tokens) and stand behind it as blocks of
one row that do not see each other: exact, without a cache to manage. Rows of similar length are batched over pictures
and samples, and logits are computed only where an answer is read.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import groupby, pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from toolkit.typing import Coalitions
from toolkit.vlm import decoder
from toolkit.vlm.base import Adapter
from toolkit.vlm.memory import Backoff, free_bytes
from toolkit.vlm.rows import split_blocks
from toolkit.vlm.view import View

_MAX_TOKENS = {"cpu": 2048}
_MAX_ENTRIES = {"cpu": 1 << 21}


@dataclass(frozen=True)
class Block:
    """One question variant and the answers that are read after it.

    Attributes:
        image: Index of the request's image mask that it is about.
        kept: Shape (n_text,): which text players are present.
        context: Answer tokens before the last.
        finals: Last answer tokens; each is one value.
    """

    image: int
    kept: NDArray[np.bool_]
    context: tuple[int, ...]
    finals: tuple[int, ...]


@dataclass(frozen=True)
class Request:
    """Values wanted for one sample.

    Attributes:
        view: The sample as the model sees it.
        baseline: Name of the baseline.
        images: Shape (n_images, n_image): distinct image masks.
        blocks: What to score; results come in this order.
    """

    view: View
    baseline: str
    images: Coalitions
    blocks: Sequence[Block]


@dataclass
class Counters:
    """What the engine has done since it was made."""

    images: int = 0
    rows: int = 0
    blocks: int = 0
    tokens: int = 0


@dataclass(frozen=True)
class _Row:
    """One decoder row: a prefix and some blocks of one picture."""

    view: View
    features: Tensor
    blocks: list[tuple[Block, NDArray[np.int64], int]]
    """The block, its prompt indices, and where its first value goes."""

    @property
    def length(self) -> int:
        return self.view.prompt.prefix_length + sum(len(index) + len(b.context) for b, index, _ in self.blocks)


class Engine:
    """Scores blocks on one model.

    Args:
        adapter: The model's family.
        model: The transformers model.
        max_tokens: Padded decoder tokens per batch; None chooses from the free memory.
        max_entries: Pixel entries per vision batch; likewise.
        block_tokens: Block tokens per row; None allows as many as the prefix has, at least 256.
        feature_bytes: Bound of the image-token cache.

    Attributes:
        tokens: Decoder tokens per batch, halved when memory runs out.
        entries: Pixel entries per vision batch, likewise.
        counters: What has been done so far.
    """

    def __init__(
        self,
        adapter: Adapter,
        model: PreTrainedModel,
        *,
        max_tokens: int | None = None,
        max_entries: int | None = None,
        block_tokens: int | None = None,
        feature_bytes: int = 256 << 20,
    ) -> None:
        self._adapter = adapter
        self._model = model
        device = model.device
        free = free_bytes(device)
        config = model.config.get_text_config()
        per_token = (8 * config.hidden_size + 3 * config.intermediate_size) * model.dtype.itemsize
        chosen = min(_MAX_TOKENS.get(device.type, 16384), int(0.3 * free) // per_token)
        self.tokens = Backoff(max(1, chosen if max_tokens is None else max_tokens), device)
        entries = min(_MAX_ENTRIES.get(device.type, 1 << 25), free // 1000)
        self.entries = Backoff(max(1, entries if max_entries is None else max_entries), device)
        self._block_tokens = block_tokens
        self.counters = Counters()
        self._features: OrderedDict[tuple[str, str, bytes], Tensor] = OrderedDict()
        self._feature_bytes = min(feature_bytes, free // 8)
        self._held = 0

    def record(self) -> dict[str, Any]:
        """Batch sizes in force and how often memory ran out, for records."""
        return {
            "tokens_per_batch": self.tokens.size,
            "pixels_per_batch": self.entries.size,
            "out_of_memory": self.tokens.failures + self.entries.failures,
        }

    @torch.inference_mode()
    def log_probabilities(self, requests: Sequence[Request]) -> list[NDArray[np.float64]]:
        """Log-probability of every answer of every block, in float64 from a float32 log-softmax.

        Returns:
            For each request an array (n_values,): the finals of its first block, of its second, and so on.
        """
        values = [np.zeros(sum(len(b.finals) for b in r.blocks)) for r in requests]
        offsets = np.cumsum([0, *(len(v) for v in values)])
        flat = np.zeros(int(offsets[-1]))
        for chunk in self._chunks(requests, offsets):
            features = self._encode([(request, image) for request, image, _ in chunk])
            rows = [
                row
                for (request, _, blocks), tokens in zip(chunk, features, strict=True)
                for row in _rows(request.view, tokens, blocks, self._row_limit(request.view))
            ]
            self._score(rows, flat)
        return [flat[a:b] for a, b in pairwise(offsets)]

    def _row_limit(self, view: View) -> int:
        """Block tokens per row: about as many as the prefix has, beyond which attention within the row costs more."""
        return max(256, view.prompt.prefix_length) if self._block_tokens is None else self._block_tokens

    def _chunks(
        self, requests: Sequence[Request], offsets: NDArray[np.int64]
    ) -> Iterator[list[tuple[Request, int, list[tuple[Block, int]]]]]:
        """Images with their blocks, in groups whose image tokens fit the cache together."""
        chunk: list[tuple[Request, int, list[tuple[Block, int]]]] = []
        held = 0
        width = self._model.config.get_text_config().hidden_size * self._model.dtype.itemsize
        for request, start in zip(requests, offsets[:-1], strict=True):
            at = int(start)
            of_image: list[list[tuple[Block, int]]] = [[] for _ in request.images]
            for block in request.blocks:
                of_image[block.image].append((block, at))
                at += len(block.finals)
            for image, blocks in enumerate(of_image):
                size = request.view.geometry.n_tokens * width
                if chunk and held + size > self._feature_bytes:
                    yield chunk
                    chunk, held = [], 0
                chunk.append((request, image, blocks))
                held += size
        if chunk:
            yield chunk

    def _encode(self, wanted: Sequence[tuple[Request, int]]) -> list[Tensor]:
        """Image tokens (n_tokens, dim) of each masked picture; the vision tower sees each distinct one once."""
        keys = [(r.view.key, r.baseline, np.packbits(r.images[i]).tobytes()) for r, i in wanted]
        found = {key: self._features[key] for key in keys if key in self._features}
        missing: dict[tuple[str, str, bytes], tuple[Request, int]] = {}
        for key, pair in zip(keys, wanted, strict=True):
            if key not in found:
                missing.setdefault(key, pair)
        by_shape: dict[tuple[Any, ...], list[tuple[str, str, bytes]]] = {}
        for key, (request, _) in missing.items():
            by_shape.setdefault((*request.view.pixels.shape, request.view.geometry.rows), []).append(key)
        for group in by_shape.values():
            encoded = self._encode_alike([missing[key] for key in group])
            found.update(zip(group, encoded, strict=True))
        for key in missing:
            self._remember(key, found[key])
        return [found[key] for key in keys]

    def _encode_alike(self, wanted: Sequence[tuple[Request, int]]) -> list[Tensor]:
        """Encode masked pictures whose pixel tensors have one shape."""
        encoded: list[Tensor] = []

        def attempt(entries: int) -> list[Tensor]:
            some = wanted[len(encoded) :][: max(1, entries // wanted[0][0].view.pixels.numel())]
            pixels = [
                request.view.masked(self._adapter, request.baseline, request.images[[i for _, i in group]])
                for request, group in _by_request(some)
            ]
            inputs = self._adapter.pixel_inputs(torch.cat(pixels), wanted[0][0].view.geometry)
            with self._adapter.fast_vision(self._model):
                return list(decoder.encode_images(self._model, inputs, len(some)))

        while len(encoded) < len(wanted):
            encoded += self.entries.run(attempt, smallest=wanted[0][0].view.pixels.numel())
        self.counters.images += len(wanted)
        return encoded

    def _remember(self, key: tuple[str, str, bytes], features: Tensor) -> None:
        self._features[key] = features
        self._held += features.nbytes
        while self._held > self._feature_bytes and len(self._features) > 1:
            self._held -= self._features.popitem(last=False)[1].nbytes

    def forget(self) -> None:
        """Drop all cached image tokens."""
        self._features.clear()
        self._held = 0

    def _score(self, rows: Sequence[_Row], out: NDArray[np.float64]) -> None:
        """Decode rows in batches and write each block's values where they belong."""
        waiting: Sequence[_Row] = sorted(rows, key=lambda row: -row.length)
        while waiting:
            waiting = self.tokens.run(partial(self._decode_some, waiting, out))

    def _decode_some(self, rows: Sequence[_Row], out: NDArray[np.float64], tokens: int) -> Sequence[_Row]:
        """Decode the first batch of rows, which are sorted by length, and return the others."""
        n = max(1, tokens // rows[0].length)
        self._decode(rows[:n], out)
        return rows[n:]

    def _decode(self, rows: Sequence[_Row], out: NDArray[np.float64]) -> None:
        device, model = self._model.device, self._model
        arrays = _Arrays(rows, multiple=8 if device.type == "cuda" else 1)
        embeddings = decoder.embed(model, torch.from_numpy(arrays.ids).to(device))
        for i, row in enumerate(rows):
            embeddings[i, list(row.view.prompt.image_positions)] = row.features.to(embeddings.dtype)
        mask = decoder.block_mask(torch.from_numpy(arrays.blocks).to(device))
        positions = torch.from_numpy(arrays.positions).to(device)
        hidden = decoder.decode(model, embeddings, mask, positions if len(positions) > 1 else positions[0])
        read = torch.from_numpy(arrays.read).to(device)
        logits = decoder.lm_head(model, hidden[read[0], read[1]])
        said = torch.from_numpy(arrays.said).to(device)
        picked = logits.float().log_softmax(dim=-1)[said[0], said[1]].double().cpu().numpy()
        out[np.unique(arrays.value)] = 0.0
        np.add.at(out, arrays.value, picked)
        self.counters.rows += len(rows)
        self.counters.blocks += sum(len(row.blocks) for row in rows)
        self.counters.tokens += sum(row.length for row in rows)


def _by_request(pairs: Sequence[tuple[Request, int]]) -> Iterator[tuple[Request, list[tuple[Request, int]]]]:
    """Neighbouring pairs of one request, as (request, pairs)."""
    for _, group in groupby(pairs, key=lambda pair: id(pair[0])):
        members = list(group)
        yield members[0][0], members


def _rows(view: View, features: Tensor, blocks: Sequence[tuple[Block, int]], limit: int) -> Iterator[_Row]:
    """Rows of one picture: all its blocks behind one prefix, split where they grow longer than the prefix."""
    entries = [(block, view.block(block.kept), at) for block, at in blocks]
    lengths = [len(index) + len(block.context) for block, index, _ in entries]
    for members in split_blocks(lengths, limit):
        yield _Row(view, features, [entries[i] for i in members])


class _Arrays:
    """A batch of rows as padded integer arrays.

    Args:
        rows: The rows, which must be of one model.
        multiple: Round the length up to a multiple of this, which fused attention kernels on a GPU want.

    Attributes:
        ids: (B, L) tokens.
        blocks: (B, L) block numbers, 0 for the prefix and -1 for padding.
        positions: (1 or 3, B, L).
        read: (2, n_read) row and column of every hidden state that is read.
        said: (2, n_said) index into ``read`` and token, for every answer token.
        value: (n_said,) the value that each answer token belongs to.
    """

    def __init__(self, rows: Sequence[_Row], *, multiple: int) -> None:
        shape = (len(rows), -(-max(row.length for row in rows) // multiple) * multiple)
        self.ids = np.zeros(shape, dtype=np.int64)
        self.blocks = np.full(shape, -1)
        self.positions = np.zeros((len(rows[0].view.positions), *shape), dtype=np.int64)
        read: list[tuple[int, int]] = []
        said: list[tuple[int, int]] = []
        value: list[int] = []
        for r, row in enumerate(rows):
            view, prefix = row.view, row.view.prompt.prefix_length
            ids = np.array(view.prompt.ids)
            self.ids[r, :prefix], self.blocks[r, :prefix] = ids[:prefix], 0
            self.positions[:, r, :prefix] = view.positions[:, :prefix]
            at = prefix
            for number, (block, index, first) in enumerate(row.blocks, start=1):
                inside, end = at + len(index), at + len(index) + len(block.context)
                self.ids[r, at:inside], self.ids[r, inside:end] = ids[index], block.context
                self.positions[:, r, at:inside] = view.positions[:, index]
                self.positions[:, r, inside:end] = view.next_position + np.arange(end - inside)
                self.blocks[r, at:end] = number
                for i, token in enumerate((*block.context, None)):
                    read.append((r, inside - 1 + i))
                    for k, final in enumerate(block.finals):
                        said.append((len(read) - 1, final if token is None else token))
                        value.append(first + k)
                at = end
        self.read, self.said, self.value = np.array(read).T, np.array(said).T, np.array(value)
