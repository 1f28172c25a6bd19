"""What the engine is asked: for one sample, pictures with removed cells and the question variants read after each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.typing import Coalitions
from toolkit.vlm.adapters.adapter_base import Adapter
from toolkit.vlm.view import View


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


@dataclass(frozen=True)
class Picture:
    """One masked picture of a request and the blocks about it.

    Attributes:
        request: The request.
        index: Row of ``request.images``.
        blocks: Each block, and where its first value goes among the values of all requests.
    """

    request: Request
    index: int
    blocks: Sequence[tuple[Block, int]]

    def key(self, adapter: Adapter) -> tuple[str, bytes]:
        """What its image tokens depend on, within one model: not the question."""
        digest = self.request.view.picture_digest(adapter, self.request.baseline)
        return digest, np.packbits(self.request.images[self.index]).tobytes()


def pictures_of(request: Request, start: int) -> list[Picture]:
    """The request's pictures with their blocks, values numbered from ``start``."""
    blocks: list[list[tuple[Block, int]]] = [[] for _ in request.images]
    for block in request.blocks:
        blocks[block.image].append((block, start))
        start += len(block.finals)
    return [Picture(request, index, some) for index, some in enumerate(blocks)]
