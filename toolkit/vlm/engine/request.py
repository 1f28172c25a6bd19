"""Requests to the engine: the masked images of a sample, and the queries read after each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from toolkit.typing import Coalitions
from toolkit.vlm.adapters.adapter_base import Adapter
from toolkit.vlm.image_view import ImageView
from toolkit.vlm.view import View


@dataclass(frozen=True)
class Query:
    """One question variant and the answers that are read after it.

    Attributes:
        image: Index of the request's image mask that it is about.
        kept: Shape (n_text,): which text players are present.
        context: Answer tokens before the last.
        finals: Last answer tokens; each is one value.
        by_token: Every answer token is a value of its own; there is one last token then.
    """

    image: int
    kept: NDArray[np.bool_]
    context: tuple[int, ...]
    finals: tuple[int, ...]
    by_token: bool = False

    @property
    def n_values(self) -> int:
        """Values that it gives."""
        return len(self.context) + 1 if self.by_token else len(self.finals)


@dataclass(frozen=True)
class Request:
    """Values wanted for one sample.

    Attributes:
        view: The sample as the model sees it.
        baseline: Name of the baseline.
        images: Shape (n_images, n_image): distinct image masks.
        queries: What to score; results come in this order.
    """

    view: View
    baseline: str
    images: Coalitions
    queries: Sequence[Query]


@dataclass(frozen=True, eq=False)
class MaskedImage:
    """One image with some of its cells removed.

    Attributes:
        view: The image.
        baseline: Name of the baseline.
        keep: Shape (n_cells,): which of its cells are present.
    """

    view: ImageView
    baseline: str
    keep: NDArray[np.bool_]

    def key(self, adapter: Adapter) -> tuple[str, bytes]:
        """What its image tokens depend on, within one model: neither the question nor another image."""
        return self.view.digest(adapter, self.baseline), np.packbits(self.keep).tobytes()


@dataclass(frozen=True)
class MaskedPrefix:
    """The masked images of a request, as many as the sample has, and the queries about them.

    Attributes:
        request: The request.
        index: Row of ``request.images``.
        queries: Each query, and where its first value goes among the values of all requests.
    """

    request: Request
    index: int
    queries: Sequence[tuple[Query, int]]

    def images(self) -> list[MaskedImage]:
        """The images, in the order of the prompt."""
        view, baseline = self.request.view, self.request.baseline
        keep = view.by_image(self.request.images[self.index])
        return [MaskedImage(image, baseline, some) for image, some in zip(view.images, keep, strict=True)]


def masked_prefixes(request: Request, start: int) -> list[MaskedPrefix]:
    """The request's masked images with their queries, values numbered from ``start``."""
    queries: list[list[tuple[Query, int]]] = [[] for _ in request.images]
    for query in request.queries:
        queries[query.image].append((query, start))
        start += query.n_values
    return [MaskedPrefix(request, index, some) for index, some in enumerate(queries)]
