"""A sample as a model's inputs: prompt, positions, images, players. Made once per sample and shared by its games."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from toolkit.datasets.sample import Sample
from toolkit.datasets.sheet import boxes_on_sheet
from toolkit.games.game import Players
from toolkit.typing import Coalitions
from toolkit.vlm.adapters.adapter_base import Adapter, Geometry, check_image
from toolkit.vlm.engine import decoder
from toolkit.vlm.image_view import ImageView
from toolkit.vlm.partition import ImageGrid, Partition, grid_labels, make_partition
from toolkit.vlm.prompt import Prompt, as_asked, build_prompt, check_words, render

MANY_TOKENS = 1024
"""An image that makes more is worth a warning: LLaVA's make 576."""


@dataclass(frozen=True)
class View:
    """What enters the model for one sample.

    Pixel tensors of several images are joined along their first axis, as the images stand in the prompt.

    Attributes:
        images: The images, in the order of the prompt.
        question: The question.
        prompt: Token ids and players.
        players: Image cells, image by image, then question tokens.
        positions: Shape (1 or 3, n_tokens): position ids of the prompt.
        next_position: Position of the first answer token.
    """

    images: tuple[ImageView, ...]
    question: str
    prompt: Prompt = field(repr=False)
    players: Players
    positions: NDArray[np.int64] = field(repr=False)
    next_position: int
    _partitions: dict[str, Partition] = field(default_factory=dict, repr=False)

    @property
    def only(self) -> ImageView:
        """The only image.

        Raises:
            ValueError: There are several.
        """
        if len(self.images) > 1:
            raise ValueError(
                f"this is defined for one image, and the sample has {len(self.images)}; ask about one of them"
            )
        return self.images[0]

    @property
    def geometry(self) -> Geometry:
        """Where the cells of the only image lie; ValueError where there are several."""
        return self.only.geometry

    @cached_property
    def pixels(self) -> Tensor:
        """The pixel tensor, on the model's device."""
        return _joined([image.pixels for image in self.images])

    @cached_property
    def player_of_pixel(self) -> Tensor:
        """The player that each pixel shows, ``n_image`` for none; axes along which it does not change may be short."""
        if len(self.images) == 1:
            return self.images[0].player_of_pixel
        owners = []
        for image, first in zip(self.images, self._bounds, strict=False):
            owner, n_cells = image.player_of_pixel, image.geometry.n_players
            owner = torch.where(owner < n_cells, owner + first, self._bounds[-1])
            owners.append(owner.expand(len(image.pixels), *image.pixels.shape[1:]))
        return torch.cat(owners)

    @cached_property
    def token_of_player(self) -> NDArray[np.int64]:
        """Shape (n_image,): index of each image player among all image tokens of the prompt."""
        firsts = np.cumsum([0, *(image.geometry.n_tokens for image in self.images)])
        pairs = zip(self.images, firsts, strict=False)
        return np.concatenate([image.geometry.token_of_player + first for image, first in pairs])

    @property
    def n_image_tokens(self) -> int:
        """Image tokens in the prompt; may exceed the number of image players."""
        return len(self.prompt.image_positions)

    @cached_property
    def _bounds(self) -> list[int]:
        """Where the players of each image begin, and where those of the last end."""
        sizes = [image.geometry.n_players for image in self.images]
        return [sum(sizes[:i]) for i in range(len(sizes) + 1)]

    def by_image(self, keep: Coalitions) -> list[Coalitions]:
        """Coalitions (..., n_image) of image players as those of each image's own cells."""
        return [keep[..., a:b] for a, b in pairwise(self._bounds)]

    def partition(self, name: str) -> Partition:
        """How this sample's tokens are grouped into players.

        Raises:
            PlayersError: It has no such players.
            ImportError: Segments without the extra ``segments``.
        """
        if name not in self._partitions:
            boxes = boxes_on_sheet([image.image for image in self.images])
            cells = [
                ImageGrid(image.geometry.rows, image.geometry.columns, image.geometry.regions, image.image, box)
                for image, box in zip(self.images, boxes, strict=True)
            ]
            self._partitions[name] = make_partition(name, question=self.question, spans=self.prompt.spans, images=cells)
        return self._partitions[name]

    def baseline(self, adapter: Adapter, name: str) -> Tensor:
        """Pixel tensor of the sample with everything removed."""
        return _joined([image.baseline(adapter, name) for image in self.images])

    def digest(self, adapter: Adapter, baseline: str) -> str:
        """Digest of all arrays that enter the model, whatever settings made them."""
        prompt = (self.prompt.ids, self.prompt.text_positions, self.prompt.prefix_length, self.next_position)
        parts = (prompt, self.positions.tolist(), self.image_digest(adapter, baseline))
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def image_digest(self, adapter: Adapter, baseline: str) -> str:
        """Digest of pixels, the baseline's pixels, and which player each pixel shows; equal for all questions."""
        found = [image.digest(adapter, baseline) for image in self.images]
        return found[0] if len(found) == 1 else hashlib.sha256(repr(found).encode()).hexdigest()

    def masked(self, adapter: Adapter, baseline: str, keep: Coalitions) -> Tensor:
        """Pixel tensors (n, *pixel_shape) with the absent players' pixels replaced by the baseline's.

        Args:
            adapter: The model's family.
            baseline: Name of the baseline.
            keep: Shape (n, n_image): which image players are present.
        """
        pairs = zip(self.images, self.by_image(keep), strict=True)
        return _joined([image.masked(adapter, baseline, some) for image, some in pairs], axis=1)

    def split(self, pixels: Tensor) -> list[Tensor]:
        """Each image's own pixel tensors (n, *shape) of pixel tensors (n, *pixel_shape)."""
        return list(torch.split(pixels, [len(image.pixels) for image in self.images], dim=1))

    def pixel_inputs(self, adapter: Adapter, pixels: Tensor) -> dict[str, Tensor]:
        """The model's keyword arguments for pixel tensors (n, *pixel_shape): the images of a row one after another."""
        parts = zip(self.images, self.split(pixels), strict=True)
        found = [adapter.pixel_inputs(part, image.geometry) for image, part in parts]
        if len(found) == 1:
            return found[0]
        n = len(pixels)
        by_row = {name: [one[name].reshape(n, -1, *one[name].shape[1:]) for one in found] for name in found[0]}
        return {name: torch.cat(rows, dim=1).flatten(0, 1) for name, rows in by_row.items()}

    @property
    def nbytes(self) -> int:
        """Memory that the view holds, in bytes; of several images also what was joined so far."""
        held = sum(image.nbytes for image in self.images)
        if len(self.images) > 1:
            joined: list[Tensor] = [self.__dict__[name] for name in ("pixels", "player_of_pixel") if name in vars(self)]
            held += sum(tensor.nbytes for tensor in joined)
        return held

    def query_indices(self, kept: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Prompt indices after the prefix that remain when only the ``kept`` text players are present."""
        present = np.ones(len(self.prompt.ids) - self.prompt.prefix_length, dtype=np.bool_)
        present[self.prompt.players_after_prefix] = kept
        return np.flatnonzero(present) + self.prompt.prefix_length


def _joined(tensors: Sequence[Tensor], axis: int = 0) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(list(tensors), dim=axis)


def sample_key(sample: Sample) -> str:
    """Digest of everything of a sample that enters a model: pixels, question, instruction."""
    parts = (sample.image_digest, sample.question, sample.instruction)
    return hashlib.sha256(repr(parts).encode()).hexdigest()


@torch.inference_mode(False)
def make_view(adapter: Adapter, model: PreTrainedModel, sample: Sample) -> View:
    """Process a sample.

    Raises:
        ValueError: The images or the words cannot be represented, the prompt exceeds the model's context, or the family
            is asked about one image only.
    """
    sample = as_asked(adapter, sample)
    _check_several(adapter, sample)
    check_words(adapter, sample)
    images = [check_image(image) for image in sample.images]
    text, _ = render(adapter, sample)
    inputs = adapter.processor(text=[text], images=images, return_tensors="pt")
    views = [_image_view(adapter, model, image, one) for image, one in _by_image(adapter, images, inputs)]
    geometries = [view.geometry for view in views]
    prompt = build_prompt(adapter, sample, inputs, geometries)
    context = model.config.get_text_config().max_position_embeddings
    if len(prompt.ids) >= context:
        n_image, n_text = len(prompt.image_positions), len(prompt.text_positions)
        of = f"{n_image} of {'the image' if len(images) == 1 else f'{len(images)} images'}, {n_text} of the question"
        smaller = " or ".join(
            (f"take {'a smaller image' if len(images) == 1 else 'fewer or smaller images'}", *adapter.bounds)
        )
        cure = "shorten the question" if n_text > n_image else smaller
        raise ValueError(f"the prompt has {len(prompt.ids)} tokens ({of}); the model's context is {context}: {cure}")
    for geometry in geometries:
        _warn_of_many(adapter, geometry)
    positions, following = _positions(model, prompt, inputs)
    cells = [name for i, g in enumerate(geometries) for name in grid_labels(g.rows, g.columns, i, len(geometries))]
    view = View(
        images=tuple(views),
        question=sample.question,
        prompt=prompt,
        players=Players.make(tuple(cells), tuple(sample.question[a:b] for a, b in prompt.spans)),
        positions=positions,
        next_position=following,
    )
    if len(views) > 1:
        _check_same(adapter, view, inputs)
    return view


def _check_several(adapter: Adapter, sample: Sample) -> None:
    """Refuse several images for a family that is asked about one.

    Raises:
        ValueError: It is such a family.
    """
    if sample.further_images and not adapter.several_images:
        from toolkit.vlm.adapters.families import families_of_several

        raise ValueError(
            f"sample {sample.id!r} has {len(sample.images)} images, and {adapter.family} is asked about one here; "
            f"families that take several: {', '.join(families_of_several())}"
        )


def _by_image(
    adapter: Adapter, images: Sequence[Image.Image], inputs: Mapping[str, Tensor]
) -> list[tuple[Image.Image, Mapping[str, Tensor]]]:
    """Each image with what the processor makes of it alone."""
    if len(images) == 1:
        return [(images[0], inputs)]
    alone = (adapter.processor.image_processor(i, return_tensors="pt", **adapter.image_settings()) for i in images)
    return list(zip(images, alone, strict=True))


def _image_view(
    adapter: Adapter, model: PreTrainedModel, image: Image.Image, inputs: Mapping[str, Tensor]
) -> ImageView:
    pixels = adapter.pixels(inputs).to(model.device, model.dtype)
    return ImageView.make(image, adapter.geometry(image, inputs), pixels)


def _check_same(adapter: Adapter, view: View, inputs: Mapping[str, Tensor]) -> None:
    """Refuse a processor that makes something else of several images than of each alone.

    Raises:
        ValueError: It does, so that a cell's pixels would not be its own image's.
    """
    for name, made in view.pixel_inputs(adapter, view.pixels[None]).items():
        own = inputs[name].to(made)
        if own.shape != made.shape or not torch.equal(own, made):
            raise ValueError(
                f"the processor of {adapter.family} makes {name} {tuple(own.shape)} of {len(view.images)} images "
                f"together and {tuple(made.shape)} of each alone, or other numbers; ask about one image"
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


def _positions(model: PreTrainedModel, prompt: Prompt, inputs: Mapping[str, Tensor]) -> tuple[NDArray[np.int64], int]:
    positions, following = decoder.prefix_positions(model, torch.tensor(prompt.ids), inputs)
    return positions.reshape(-1, len(prompt.ids)).numpy(), following
