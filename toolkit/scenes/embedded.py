"""The embedded world as a dataset; images are drawn on demand."""

from __future__ import annotations

from collections.abc import Iterator

from toolkit.datasets.load import DatasetRequest
from toolkit.datasets.sample import Sample


def samples(request: DatasetRequest) -> Iterator[Sample]:
    """The first n samples of a split."""
    from toolkit.scenes import load

    n = 20 if request.n is None else request.n
    yield from load(request.name, request.split, n, seed=request.seed, prior_strength=request.prior_strength)
