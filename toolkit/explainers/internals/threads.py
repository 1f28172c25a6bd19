"""One thread where a pass through the model is too little work to share out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

from toolkit.datasets.sample import Sample
from toolkit.vlm.protocol import VLM

_SHARED = 32_768
"""Numbers from which PyTorch shares an operation on them out among its threads; below, only products are."""


@contextmanager
def as_many_threads_as_pay(vlm: VLM, sample: Sample) -> Iterator[None]:
    """Within it PyTorch has one thread if the hidden states of the sample's tokens are few numbers, on a CPU.

    Two threads take 1.0 to 1.6 times as long as one then, and twice the processor.
    """
    import torch

    threads, model = torch.get_num_threads(), cast(Any, getattr(vlm, "model", None))
    if threads == 1 or not isinstance(model, torch.nn.Module) or cast(Any, model).device.type != "cpu":
        yield
        return
    width = cast(Any, model).config.get_text_config().hidden_size
    if len(cast(Any, vlm).view(sample).prompt.ids) * width >= _SHARED:
        yield
        return
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)
