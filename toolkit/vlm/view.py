"""A sample as a model's inputs: prompt, positions, pixels, players. Made once per sample and shared by its games."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from toolkit.datasets.baselines import BASELINES
from toolkit.datasets.sample import Sample
from toolkit.games.game import Players
from toolkit.typing import Coalitions
from toolkit.vlm.adapters.adapter_base import Adapter, Geometry, check_image
from toolkit.vlm.engine import decoder
from toolkit.vlm.partition import Partition, make_partition
from toolkit.vlm.prompt import Prompt, as_asked, build_prompt, check_words, render

MANY_TOKENS = 1024
"""An image that makes more is worth a warning: LLaVA's make 576."""


@dataclass(frozen=True)
class View:
    """What enters the model for one sample.

    Attributes:
        image: The original picture, RGB.
        question: The question.
        prompt: Token ids and players.
        geometry: Where the image players lie.
        players: Image cells, then question tokens.
        pixels: The picture's pixel tensor, on the model's device.
        player_of_pixel: The geometry's map, on the model's device, -1 replaced by ``n_image``; axes along which it does
            not change have length 1.
        positions: Shape (1 or 3, n_tokens): position ids of the prompt.
        next_position: Position of the first answer token.
    """

    image: Image.Image = field(repr=False)
    question: str
    prompt: Prompt = field(repr=False)
    geometry: Geometry
    players: Players
    pixels: Tensor = field(repr=False)
    player_of_pixel: Tensor = field(repr=False)
    positions: NDArray[np.int64] = field(repr=False)
    next_position: int
    _baselines: dict[str, Tensor] = field(default_factory=dict, repr=False)
    _digests: dict[str, str] = field(default_factory=dict, repr=False)
    _partitions: dict[str, Partition] = field(default_factory=dict, repr=False)

    def partition(self, name: str) -> Partition:
        """How this sample's tokens are grouped into players.

        Raises:
            PlayersError: It has no such players.
            ImportError: Segments without the extra ``segments``.
        """
        if name not in self._partitions:
            geometry = self.geometry
            self._partitions[name] = make_partition(
                name,
                question=self.question,
                spans=self.prompt.spans,
                rows=geometry.rows,
                columns=geometry.columns,
                regions=geometry.regions,
                image=self.image,
            )
        return self._partitions[name]

    def baseline(self, adapter: Adapter, name: str) -> Tensor:
        """Pixel tensor of the picture with everything removed: the baseline picture, through the same processor."""
        if name not in self._baselines:
            removed = BASELINES[name](self.image)
            inputs = adapter.processor.image_processor(removed, return_tensors="pt", **adapter.image_settings())
            self._baselines[name] = adapter.pixels(inputs).to(self.pixels)
        return self._baselines[name]

    def digest(self, adapter: Adapter, baseline: str) -> str:
        """Digest of all arrays that enter the model, whatever settings made them."""
        prompt = (self.prompt.ids, self.prompt.text_positions, self.prompt.prefix_length, self.next_position)
        parts = (prompt, self.positions.tolist(), self.image_digest(adapter, baseline))
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def image_digest(self, adapter: Adapter, baseline: str) -> str:
        """Digest of the pixels, the baseline's pixels, and which player each pixel shows; equal for all questions."""
        if baseline not in self._digests:
            tensors = (self.pixels, self.baseline(adapter, baseline), self.player_of_pixel)
            digest = hashlib.sha256(repr([(tensor.shape, tensor.dtype) for tensor in tensors]).encode())
            for tensor in tensors:
                digest.update(tensor.contiguous().view(torch.uint8).cpu().numpy().data)
            self._digests[baseline] = digest.hexdigest()
        return self._digests[baseline]

    def masked(self, adapter: Adapter, baseline: str, keep: Coalitions, out: Tensor | None = None) -> Tensor:
        """Pixel tensors (n, *pixel_shape) with the absent players' pixels replaced by the baseline's.

        Args:
            adapter: The model's family.
            baseline: Name of the baseline.
            keep: Shape (n, n_image): which image players are present.
            out: Where to write them; None for a new tensor.
        """
        removed = self.baseline(adapter, baseline)
        with_nobody = np.concatenate([keep, np.ones((len(keep), 1), dtype=np.bool_)], axis=1)
        shown = torch.from_numpy(with_nobody).to(self.pixels.device)[:, self.player_of_pixel]
        return torch.where(shown, self.pixels, removed, out=out)

    @property
    def nbytes(self) -> int:
        """Memory that the view holds, in bytes."""
        return self.pixels.nbytes * (1 + len(self._baselines)) + self.player_of_pixel.nbytes

    def query_indices(self, kept: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Prompt indices after the prefix that remain when only the ``kept`` text players are present."""
        present = np.ones(len(self.prompt.ids) - self.prompt.prefix_length, dtype=np.bool_)
        present[self.prompt.players_after_prefix] = kept
        return np.flatnonzero(present) + self.prompt.prefix_length


def sample_key(sample: Sample) -> str:
    """Digest of everything of a sample that enters a model: pixels, question, instruction."""
    parts = (sample.image_digest, sample.question, sample.instruction)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


def make_view(adapter: Adapter, model: PreTrainedModel, sample: Sample) -> View:
    """Process a sample.

    Raises:
        ValueError: The picture or the words cannot be represented, or the prompt exceeds the model's context.
    """
    sample = as_asked(adapter, sample)
    check_words(adapter, sample)
    image = check_image(sample.image)
    text, _ = render(adapter, sample)
    inputs = adapter.processor(text=[text], images=[image], return_tensors="pt")
    geometry = adapter.geometry(image, inputs)
    prompt = build_prompt(adapter, sample, inputs, geometry)
    context = model.config.get_text_config().max_position_embeddings
    if len(prompt.ids) >= context:
        raise ValueError(
            f"the prompt has {len(prompt.ids)} tokens ({len(prompt.text_positions)} of the question); "
            f"the model's context is {context}: shorten the question"
        )
    _warn_of_many(adapter, geometry)
    players = _players(sample, prompt, geometry)
    positions, following = _positions(model, prompt, inputs)
    device = model.device
    owners = _compact(geometry.player_of_pixel)
    nobody = np.where(owners < 0, geometry.n_players, owners)
    return View(
        image=image,
        question=sample.question,
        prompt=prompt,
        geometry=geometry,
        players=players,
        pixels=adapter.pixels(inputs).to(device, model.dtype),
        player_of_pixel=torch.from_numpy(nobody.astype(np.int64)).to(device),
        positions=positions,
        next_position=following,
    )


def _warn_of_many(adapter: Adapter, geometry: Geometry) -> None:
    """Say which option bounds an image that makes more tokens than ``MANY_TOKENS``."""
    if geometry.n_players > MANY_TOKENS and adapter.bounds:
        warnings.warn(
            f"the image makes {geometry.n_players:,} cells ({geometry.rows} x {geometry.columns}), each of them a "
            f"token of every pass; {' or '.join(adapter.bounds)} bounds them (on the command line "
            f"{' or '.join('--' + bound.replace('_', '-') for bound in adapter.bounds)})",
            RuntimeWarning,
            stacklevel=4,
        )


def _compact(owners: NDArray[np.int32]) -> NDArray[np.int32]:
    """The array with its broadcast axes, whose stride is 0, cut to length 1."""
    return owners[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in owners.strides)]


def _players(sample: Sample, prompt: Prompt, geometry: Geometry) -> Players:
    cells = (f"row {r + 1}, column {c + 1}" for r in range(geometry.rows) for c in range(geometry.columns))
    return Players.make(tuple(cells), tuple(sample.question[a:b] for a, b in prompt.spans))


def _positions(model: PreTrainedModel, prompt: Prompt, inputs: Mapping[str, Tensor]) -> tuple[NDArray[np.int64], int]:
    positions, following = decoder.prefix_positions(model, torch.tensor(prompt.ids), inputs)
    return positions.reshape(-1, len(prompt.ids)).numpy(), following
