"""The scoring engine: every distinct image encoded once, every image prefix and every question's beginning run once.

Removed words are masked and every other token keeps its position, so a word may as well leave the sequence. All
questions about one masked picture then share the prefix (template and image tokens) and stand behind it in one row as a
tree, in which variants that begin with the same words share those and no branch sees another: exact, without a cache to
manage. Rows of similar length are batched over pictures and samples, and the last layer and the logits are computed
only where an answer is read.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from toolkit.vlm.adapters.adapter_base import Adapter
from toolkit.vlm.engine import decoder, fused_decoder
from toolkit.vlm.engine.autocast import without_autocast
from toolkit.vlm.engine.fingerprint import check_evaluating, state
from toolkit.vlm.engine.request import MaskedPrefix, Request, masked_prefixes
from toolkit.vlm.engine.row_packing import Row, RowBatch, rows_of, split_rows
from toolkit.vlm.engine.vision_cache import ImageEncoder
from toolkit.vlm.memory import Backoff, free_bytes, keep_freed_memory
from toolkit.vlm.reference import plain_answers

_MAX_TOKENS = {"cpu": 3072}
_MAX_ENTRIES = {"cpu": 1 << 21}
"""What is fastest on a CPU, where larger batches leave the processor's cache; a GPU takes what memory allows."""

_FEATURE_BYTES = 256 << 20
_FEATURE_TOKENS = 1 << 15
"""Image tokens that are kept at most: a model of 7 billion weights fills ``_FEATURE_BYTES`` with them in half
precision, and an embedded model keeps 900 masked images in 16 MiB, several times what the metrics ask of one sample."""


def feature_bytes_of(token_bytes: int) -> int:
    """What ``_FEATURE_TOKENS`` image tokens of so many bytes take, and ``_FEATURE_BYTES`` at most."""
    return min(_FEATURE_BYTES, _FEATURE_TOKENS * token_bytes)


@dataclass
class Counters:
    """What the engine has done since it was made."""

    images: int = 0
    rows: int = 0
    queries: int = 0
    tokens: int = 0


class Engine:
    """Scores queries on one model.

    Args:
        adapter: The model's family.
        model: The transformers model.
        max_tokens: Padded decoder tokens per batch; None chooses from the free memory.
        max_entries: Pixel entries per vision batch; likewise.
        query_tokens: Tokens behind the prefix of a row; None allows as many as the prefix has, at least 256.
        feature_bytes: Bound of the image-token cache; None takes what 32,768 image tokens need, at most 256 MiB.
        by_words: Run words that question variants begin with once for all of them; False runs each variant whole.
        by_layers: Run the decoder's last layer only where an answer is read; False runs it as transformers does.

    Attributes:
        adapter: The model's family.
        model: The transformers model.
        tokens: Decoder tokens per batch, halved when memory runs out.
        encode: The vision tower with its memory.
    """

    def __init__(
        self,
        adapter: Adapter,
        model: PreTrainedModel,
        *,
        max_tokens: int | None = None,
        max_entries: int | None = None,
        query_tokens: int | None = None,
        feature_bytes: int | None = None,
        by_words: bool = True,
        by_layers: bool = True,
    ) -> None:
        self.adapter = adapter
        self.model = model
        self._by_words = by_words
        self._by_layers = by_layers
        device = model.device
        if device.type == "cpu":
            keep_freed_memory()
        free = free_bytes(device)
        config = model.config.get_text_config()
        per_token = (8 * config.hidden_size + 3 * config.intermediate_size) * model.dtype.itemsize
        chosen = min(_MAX_TOKENS.get(device.type, 16384), int(0.3 * free) // per_token)
        self.tokens = Backoff(max(1, chosen if max_tokens is None else max_tokens), device)
        entries = min(_MAX_ENTRIES.get(device.type, 1 << 25), free // 1000) if max_entries is None else max_entries
        self._query_tokens = query_tokens
        self._token_bytes = (1 + adapter.n_layer_features(model.config)) * config.hidden_size * model.dtype.itemsize
        kept = feature_bytes_of(self._token_bytes) if feature_bytes is None else feature_bytes
        self._feature_bytes = min(kept, free // 8)
        self.encode = ImageEncoder(adapter, model, entries=max(1, entries), kept_bytes=self._feature_bytes)
        self._counters = Counters()
        self._state = state(model)

    @property
    def counters(self) -> Counters:
        """What has been done so far."""
        self._counters.images = self.encode.n_encoded
        return self._counters

    def record(self) -> dict[str, Any]:
        """Batch sizes in force and how often memory ran out, for records."""
        if not self.adapter.shares_prefix:
            return {"path": "one ordinary pass per coalition"}
        return {
            "tokens_per_batch": self.tokens.size,
            "pixels_per_batch": self.encode.entries.size,
            "out_of_memory": self.tokens.failures + self.encode.entries.failures,
        }

    def check(self, model: PreTrainedModel) -> None:
        """Refuse a model that is not scored as it is.

        Raises:
            ValueError: It is in training mode, or another one than the engine's.
        """
        if model is not self.model:
            raise ValueError("another model was put in its place; make one of it: toolkit.wrap(model, processor)")
        check_evaluating(model)

    def forget(self) -> None:
        """Drop all cached image tokens."""
        self.encode.forget()

    @torch.inference_mode()
    @without_autocast
    def log_probabilities(self, requests: Sequence[Request]) -> list[NDArray[np.float64]]:
        """Log-probability of every answer of every query, in float64 from a float32 log-softmax.

        Returns:
            For each request an array (n_values,): the finals of its first query, of its second, and so on; or of a
            query by token each of its tokens.
        """
        if not self.adapter.shares_prefix:
            return [plain_answers(self, request) for request in requests]
        self._look_again()
        offsets = np.cumsum([0, *(sum(b.n_values for b in r.queries) for r in requests)])
        values = np.zeros(int(offsets[-1]))
        found = [p for r, start in zip(requests, offsets[:-1], strict=True) for p in masked_prefixes(r, int(start))]
        for chunk in self._chunks(found):
            encoded = zip(chunk, self.encode(chunk), strict=True)
            self._score([row for p, tokens in encoded for row in self._rows(p, tokens)], values)
        return [values[a:b] for a, b in pairwise(offsets)]

    def _rows(self, prefix: MaskedPrefix, tokens: Tensor) -> Iterator[Row]:
        return rows_of(prefix, tokens, self._query_tokens, is_shared=self._by_words)

    def _look_again(self) -> None:
        """Drop the image tokens of a model that has been changed in place."""
        now = state(self.model)
        if now != self._state:
            self._state = now
            self.forget()

    def _chunks(self, prefixes: Sequence[MaskedPrefix]) -> Iterator[list[MaskedPrefix]]:
        """Prefixes in groups whose image tokens fit the cache together; whole images, often known already, first."""
        chunk: list[MaskedPrefix] = []
        held = 0
        for prefix in sorted(prefixes, key=lambda one: not one.request.images[one.index].all()):
            size = prefix.request.view.n_image_tokens * self._token_bytes
            if chunk and held + size > self._feature_bytes:
                yield chunk
                chunk, held = [], 0
            chunk.append(prefix)
            held += size
        if chunk:
            yield chunk

    def _score(self, rows: Sequence[Row], out: NDArray[np.float64]) -> None:
        """Decode rows in batches and write each query's values where they belong."""
        longest_first = sorted(rows, key=lambda row: -row.length)
        width = self.model.config.get_text_config().hidden_size
        for batch in split_rows([row.length for row in longest_first], self.tokens.size, width):
            waiting: Sequence[Row] = longest_first[batch.start : batch.stop]
            while waiting:
                waiting = self.tokens.run(partial(self._decode_some, waiting, out))

    def _decode_some(self, rows: Sequence[Row], out: NDArray[np.float64], tokens: int) -> Sequence[Row]:
        """Decode as many of the rows, the longest first, as there is memory for, and return the others."""
        n = max(1, tokens // rows[0].length)
        self._decode(rows[:n], out)
        return rows[n:]

    def _decode(self, rows: Sequence[Row], out: NDArray[np.float64]) -> None:
        device, model = self.model.device, self.model
        batch = RowBatch(rows, multiple=8 if device.type == "cuda" else 1)
        mask = decoder.tree_mask(torch.from_numpy(batch.ends).to(device))
        positions = torch.from_numpy(batch.positions).to(device)
        read = torch.arange(len(rows), device=device)[:, None], torch.from_numpy(batch.read).to(device)
        index = torch.from_numpy(batch.index).to(device)
        embeddings, slots = self._embed(rows, batch)
        inputs = (model, embeddings, mask, positions if len(positions) > 1 else positions[0])
        if self._by_layers:
            prefix = min(row.view.prompt.prefix_length for row in rows)
            states = fused_decoder.read_states(*inputs, read, index, slots, prefix)
        else:
            states = decoder.decode(*inputs, index, slots)[read]
        row, slot = torch.from_numpy(batch.states).to(device)
        logits = decoder.lm_head(model, states[row, slot])
        state, token = torch.from_numpy(batch.answers).to(device)
        picked = logits.float().log_softmax(dim=-1)[state, token].double().cpu().numpy()
        out[batch.value] = 0.0
        np.add.at(out, batch.value, picked)
        self._counters.rows += len(rows)
        self._counters.queries += sum(len(row.queries) for row in rows)
        self._counters.tokens += sum(row.length for row in rows)

    def _embed(self, rows: Sequence[Row], batch: RowBatch) -> tuple[Tensor, decoder.ImageSlots]:
        """Word embeddings with the image tokens in their places, (B, L, dim), and these places."""
        device = self.model.device
        embeddings = decoder.embed(self.model, torch.from_numpy(batch.ids).to(device))
        places = [row.view.prompt.image_positions for row in rows]
        number = np.repeat(np.arange(len(rows)), [len(place) for place in places])
        where = (torch.from_numpy(number).to(device), torch.from_numpy(np.concatenate(places)).to(device))
        features = torch.cat([row.features for row in rows])
        return decoder.insert_images(embeddings, features, where, both_ways=self.adapter.both_ways)
