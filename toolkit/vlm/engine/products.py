"""Float32 products on a CPU: linear layers by the faster of the two libraries in PyTorch, patches as a product.

PyTorch sends linear layers to MKL, which leaves AVX-512 of AMD's processors alone. oneDNN, which it carries for
convolutions and compiled graphs, uses it: 1.9 times as fast on an EPYC of family 26. Elsewhere it is no faster, and the
kernels that it compiles and keeps, one for every number of rows, were a third of a gigabyte in a demonstration; there
MKL stays. The decoder's own pass calls :func:`project`; transformers' modules find both within :func:`fast_products`,
with gradients of the rows. What is no plain linear layer, has few rows, wants a gradient of the weights or lies
elsewhere is called as it is.
"""

from __future__ import annotations

import math
import platform
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import FunctionType
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_FEW_ROWS = 192
"""Below so many rows, calling the module costs less than oneDNN saves."""

_LINEAR = functional.linear
"""PyTorch's own: where another library has put something in its place, that is called."""


def onednn_linear() -> Any:
    """OneDNN's linear layer; None where this PyTorch has none, and on processors other than x86."""
    if platform.machine().lower() not in {"x86_64", "amd64"} or not cast(Any, torch.backends.mkldnn).is_available():
        return None
    product = getattr(torch.ops.mkldnn, "_linear_pointwise", None)
    return product if product is not None and _is_linear(product) else None


def _is_linear(product: Any) -> bool:
    """Whether an operator computes what it did when this was written: PyTorch keeps it for its compiler alone."""
    rows, weight, bias = torch.arange(6.0).view(3, 2), torch.arange(8.0).view(4, 2), torch.arange(4.0)
    try:
        with torch.inference_mode():
            return torch.equal(product(rows, weight, bias, "none", [], ""), _LINEAR(rows, weight, bias))
    except (RuntimeError, TypeError):
        return False


def _leaves_it_to_mkl(capability: str, processor: str) -> bool:
    """Whether MKL is as fast here: it uses AVX-512 of Intel's processors, and what AVX2 has of all."""
    return not (capability.startswith("AVX512") and "AuthenticAMD" in processor)


def _processor() -> str:
    """What the system says about the processor, its maker's name in it."""
    try:
        return Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").partition("\n\n")[0]
    except OSError:
        return platform.processor()


ONEDNN: Any = None if _leaves_it_to_mkl(torch.backends.cpu.get_cpu_capability(), _processor()) else onednn_linear()
"""OneDNN's linear layer where it is the faster one, else None."""


def project(module: Any, rows: Tensor) -> Tensor:
    """A linear layer's output, ``rows @ weight.T + bias``; any other module's as it is.

    Args:
        module: One without hooks.
        rows: Shape (n, n_in), :func:`padded`.

    Returns:
        Shape (n, n_out).
    """
    if type(module) is nn.Linear and _is_taken(rows) and _is_plain(module.weight) and functional.linear is _LINEAR:
        return cast(Tensor, ONEDNN(rows, module.weight, module.bias, "none", [], ""))
    return cast(Tensor, module(rows))


def padded(rows: Tensor) -> Tensor:
    """Rows (n, width), and behind them at most n / 16 rows of zeros where oneDNN takes them.

    oneDNN compiles a kernel for every number of rows, which takes longer than the product itself; so there are only 16
    numbers between one power of two and the next.
    """
    return _filled(rows) if _is_taken(rows) else rows


def _filled(rows: Tensor) -> Tensor:
    missing = -len(rows) % (1 << max(0, len(rows).bit_length() - 5))
    return functional.pad(rows, (0, 0, 0, missing)) if missing else rows


class _Product(torch.autograd.Function):
    """``rows @ weight.T + bias`` with a gradient of the rows, which is such a product again."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Shape (n, n_out), of rows (n, n_in) of any number."""
        ctx.save_for_backward(weight)
        return cast(Tensor, ONEDNN(_filled(rows), weight, bias, "none", [], ""))[: len(rows)]

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        """Shape (n, n_in)."""
        (weight,) = ctx.saved_tensors
        return _Product.apply(gradients[0], weight.t().contiguous(), None), None, None  # type: ignore[no-untyped-call]


def fast_products(at_least: int = _FEW_ROWS) -> AbstractContextManager[object]:
    """Within it, ``functional.linear`` is oneDNN's where that is faster, and patches under a gradient are a product.

    Patches are a convolution whose kernels do not overlap, where a gradient of its input is wanted.

    Args:
        at_least: Rows below which a linear layer is PyTorch's. With 2 one library makes an image's tokens whether it is
            encoded alone or with others: to the bit the same numbers, where they were tried.

    Under autocast nothing happens, nor where somebody else's code stands behind a name of ``torch.nn.functional``:
    PyTorch calls such a function once more for every mode that looks on, and not every one can be called twice.
    """
    is_own = all(_is_torchs(vars(functional)[name]) for name in _NAMES)
    return _FastProducts(at_least) if is_own and not torch.is_autocast_enabled("cpu") else nullcontext()


def _is_torchs(function: object) -> bool:
    return not isinstance(function, FunctionType) or str(function.__globals__.get("__name__")).startswith("torch")


_NAMES = tuple(name for name, value in vars(functional).items() if callable(value))


class _FastProducts(TorchFunctionMode):
    """Looks for ``functional.linear``, and for patches, among what PyTorch is asked for."""

    def __init__(self, at_least: int) -> None:
        super().__init__()
        self._at_least = at_least

    def __torch_function__(
        self, func: Any, types: Sequence[type], args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Call the function, or what takes its place."""
        if func is _LINEAR and ONEDNN is not None and not kwargs and len(args) in (2, 3):
            x, weight, bias = (*args, None)[:3]
            if _is_constant(weight) and (bias is None or _is_constant(bias)) and _is_plain(x):
                rows = x.reshape(-1, x.shape[-1])
                if len(rows) >= self._at_least:
                    found = _Product.apply(rows, weight, bias)  # type: ignore[no-untyped-call]
                    return found.view(*x.shape[:-1], found.shape[-1])
        if func in _CONVOLUTIONS and not kwargs and len(args) == 7 and _is_of_patches(*args):
            return _patches(*args[:3])
        return func(*args, **(kwargs or {}))


_CONVOLUTIONS = (functional.conv2d, functional.conv3d)


def _is_of_patches(x: Any, weight: Any, bias: Any, stride: Any, padding: Any, dilation: Any, groups: Any) -> bool:
    """Whether a convolution of which a gradient is wanted cuts its input into patches that do not overlap.

    Its backward pass, of Qwen2.5-VL's patches above all, takes far longer than that of the same product.
    """
    if not (_is_plain(x) and x.numel() and x.requires_grad and torch.is_grad_enabled() and _is_constant(weight)):
        return False
    padding = (0,) if padding == "valid" else padding
    is_listed = all(isinstance(setting, tuple | list) for setting in (stride, padding, dilation))
    if not (is_listed and (bias is None or _is_constant(bias))):
        return False
    kernel = tuple(weight.shape[2:])
    is_tiled = x.dim() == weight.dim() and all(n % k == 0 for n, k in zip(x.shape[2:], kernel, strict=True))
    return is_tiled and tuple(stride) == kernel and not any(padding) and set(dilation) == {1} and groups == 1


def _patches(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """The convolution as a product of its patches, (n, n_channels, *grid)."""
    kernel = weight.shape[2:]
    grid = [n // k for n, k in zip(x.shape[2:], kernel, strict=True)]
    axes = range(2, 2 + 2 * len(kernel), 2)
    cut = x.reshape(*x.shape[:2], *(n for pair in zip(grid, kernel, strict=True) for n in pair))
    rows = cut.permute(0, *axes, 1, *(axis + 1 for axis in axes)).reshape(len(x) * math.prod(grid), -1)
    product = _LINEAR if ONEDNN is None else _Product.apply
    found = product(rows, weight.flatten(1), bias)
    return cast(Tensor, found.view(len(x), *grid, -1).movedim(-1, 1).contiguous())


def _is_constant(x: Any) -> bool:
    return _is_plain(x) and not (x.requires_grad and torch.is_grad_enabled())


def _is_taken(rows: Tensor) -> bool:
    return ONEDNN is not None and len(rows) >= _FEW_ROWS and _is_plain(rows) and not torch.is_grad_enabled()


def _is_plain(x: Tensor) -> bool:
    is_tensor = type(x) in (Tensor, nn.Parameter) and x.layout == torch.strided
    return is_tensor and x.dtype == torch.float32 and x.device.type == "cpu"
