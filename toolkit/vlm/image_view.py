"""One image of a sample as a model's input: its pixels, its baselines', and which cell each pixel shows."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from toolkit.datasets.baselines import BASELINES
from toolkit.typing import Coalitions
from toolkit.vlm.adapters.adapter_base import Adapter, Geometry


@dataclass(frozen=True, eq=False)
class ImageView:
    """What enters the vision tower for one image.

    Attributes:
        image: The original image, RGB.
        geometry: Where its cells lie.
        pixels: Its pixel tensor, on the model's device.
        player_of_pixel: The geometry's map, on the model's device, -1 replaced by the number of cells; axes along which
            it does not change have length 1.
    """

    image: Image.Image = field(repr=False)
    geometry: Geometry
    pixels: Tensor = field(repr=False)
    player_of_pixel: Tensor = field(repr=False)
    _baselines: dict[str, Tensor] = field(default_factory=dict, repr=False)
    _digests: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def make(cls, image: Image.Image, geometry: Geometry, pixels: Tensor) -> ImageView:
        """The view of an image; ``pixels`` are on the model's device, in its precision."""
        owners = _compact(geometry.player_of_pixel)
        nobody = np.where(owners < 0, geometry.n_players, owners)
        return cls(image, geometry, pixels, torch.from_numpy(nobody.astype(np.int64)).to(pixels.device))

    def baseline(self, adapter: Adapter, name: str) -> Tensor:
        """Pixel tensor of the image with everything removed: the baseline image, through the same processor."""
        if name not in self._baselines:
            removed = BASELINES[name](self.image)
            inputs = adapter.processor.image_processor(removed, return_tensors="pt", **adapter.image_settings())
            self._baselines[name] = adapter.pixels(inputs).to(self.pixels)
        return self._baselines[name]

    def digest(self, adapter: Adapter, baseline: str) -> str:
        """Digest of the pixels, the baseline's pixels, and which cell each pixel shows."""
        if baseline not in self._digests:
            tensors = (self.pixels, self.baseline(adapter, baseline), self.player_of_pixel)
            digest = hashlib.sha256(repr([(tensor.shape, tensor.dtype) for tensor in tensors]).encode())
            for tensor in tensors:
                digest.update(tensor.contiguous().view(torch.uint8).cpu().numpy().data)
            self._digests[baseline] = digest.hexdigest()
        return self._digests[baseline]

    def masked(self, adapter: Adapter, baseline: str, keep: Coalitions, out: Tensor | None = None) -> Tensor:
        """Pixel tensors (n, *pixel_shape) with the absent cells' pixels replaced by the baseline's.

        Args:
            adapter: The model's family.
            baseline: Name of the baseline.
            keep: Shape (n, n_cells): which cells are present.
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


def _compact(owners: NDArray[np.int32]) -> NDArray[np.int32]:
    """The array with its broadcast axes, whose stride is 0, cut to length 1."""
    return owners[tuple(slice(0, 1) if stride == 0 else slice(None) for stride in owners.strides)]
