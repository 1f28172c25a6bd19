"""Values in the model's own precision, whatever PyTorch was told around them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")
_DEVICES = ("cpu", "cuda")


def without_autocast(function: Callable[P, R]) -> Callable[P, R]:
    """The function outside ``torch.autocast``, under which a float32 model would be scored in bfloat16."""

    @wraps(function)
    def inner(*args: P.args, **kwargs: P.kwargs) -> R:
        with _no_autocast():
            return function(*args, **kwargs)

    return inner


@contextmanager
def _no_autocast() -> Iterator[None]:
    with ExitStack() as stack:
        for device in _DEVICES:
            if torch.is_autocast_enabled(device):
                stack.enter_context(torch.autocast(device, enabled=False))
        yield


@contextmanager
def ordinary_modes() -> Iterator[None]:
    """PyTorch's modes as Python starts with them: gradients, no inference mode, no autocast."""
    with torch.inference_mode(False), torch.enable_grad(), _no_autocast():
        yield
