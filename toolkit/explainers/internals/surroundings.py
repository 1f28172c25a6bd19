"""What surrounds somebody's explainer: PyTorch's modes, the sample's images, and what its scores are read as."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.datasets.sample import Sample


def as_array(scores: Any, name: str) -> NDArray[Any]:
    """Scores as an array; a tensor may lie anywhere, in any format, and have a gradient.

    Raises:
        TypeError: No array can be made of them, or some are masked.
    """
    if np.ma.is_masked(scores):
        raise TypeError(
            f"{name!r} returned masked scores; expected one real number per player, 0 where it says nothing"
        )
    try:
        if hasattr(scores, "detach"):
            scores = scores.detach().cpu()
            scores = scores.double() if scores.is_floating_point() else scores
        return np.asarray(scores)
    except (TypeError, ValueError, RuntimeError) as error:
        raise TypeError(
            f"{name!r} returned a {type(scores).__name__} of which no array can be made ({error}); expected one real "
            "number per player"
        ) from error


@contextmanager
def kept_images(sample: Sample, explainer: str) -> Iterator[None]:
    """Give the sample its images back, and say so, where an explainer has drawn on them: others are asked about them.

    Raises:
        ValueError: The images were changed.
    """
    asked, kept = sample.image_digest, [image.copy() for image in sample.images]
    try:
        yield
    finally:
        if is_changed := sample.image_digest != asked:
            object.__setattr__(sample, "image", kept[0])
            object.__setattr__(sample, "further_images", tuple(kept[1:]))
    if is_changed:
        raise ValueError(f"{explainer!r} changed the sample's image; draw on a copy of it, sample.image.copy()")


def ordinary_modes() -> AbstractContextManager[None]:
    """PyTorch's modes as it starts with them, where it is there at all."""
    if "torch" not in sys.modules:
        return nullcontext()
    from toolkit.vlm.engine import autocast

    return autocast.ordinary_modes()
