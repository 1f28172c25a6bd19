"""Whether a model still computes what it computed when it was loaded."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterator
from typing import Any, cast

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

_WHOLE = 64 << 20
_PROBES = 64
_RECORDER = "transformers.utils.output_capturing"
_NOT_SETTINGS = ("transformers_version", "dtype")


def state(model: PreTrainedModel) -> Hashable:
    """What tells at once that a model was changed: its tensors' places and versions, hooks, replaced methods, modes.

    Writing through ``tensor.data`` leaves no trace here; :func:`fingerprint` sees that too.
    """
    tensors = tuple((tensor.data_ptr(), _version(tensor)) for tensor in _tensors(model))
    modules = tuple((id(type(module)), module.training, attached(module)) for module in model.modules())
    everywhere = cast(Any, torch.nn.modules.module)
    return tensors, modules, (*everywhere._global_forward_hooks, *everywhere._global_forward_pre_hooks)


def attached(module: nn.Module) -> tuple[int, ...]:
    """What is attached to a module and may change what it computes: hooks, and a forward method of its own.

    The hooks that transformers leaves behind when hidden states were asked for once do nothing unless they are asked
    for again, and do not count.
    """
    hooks = (*module._forward_hooks.items(), *module._forward_pre_hooks.items())
    foreign = tuple(number for number, hook in hooks if getattr(hook, "__module__", "") != _RECORDER)
    return (*foreign, id(vars(module)["forward"])) if "forward" in vars(module) else foreign


@torch.no_grad()
def fingerprint(model: PreTrainedModel) -> str:
    """Digest of :func:`state`, of the configuration, and of the weights' content.

    Of models above 64 MiB, 64 values of each tensor are read: a change of a few of its values through ``tensor.data``
    goes unseen there; any other change of weights in place counts in ``state``.
    """
    digest = hashlib.sha256(repr(state(model)).encode())
    digest.update(config_digest(model).encode())
    tensors = [tensor.detach().flatten() for tensor in _tensors(model)]
    if sum(tensor.nbytes for tensor in tensors) > _WHOLE:
        tensors = [tensor[:: max(1, len(tensor) // _PROBES)].contiguous() for tensor in tensors]
    content = torch.cat([tensor.view(torch.uint8) for tensor in tensors])
    digest.update(content.cpu().numpy().data)
    return digest.hexdigest()


@torch.no_grad()
def weights_digest(model: PreTrainedModel) -> str:
    """Digest of up to 64 values of every weight, which tells models apart whatever memory they lie in."""
    digest = hashlib.sha256()
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        flat = tensor.detach().flatten()
        values = flat[:: max(1, len(flat) // _PROBES)].contiguous().view(torch.uint8)
        digest.update(f"{name} {tuple(tensor.shape)} {tensor.dtype}".encode() + values.cpu().numpy().tobytes())
    return digest.hexdigest()


def _tensors(model: PreTrainedModel) -> Iterator[Tensor]:
    yield from model.parameters()
    yield from model.buffers()


def _version(tensor: Tensor) -> int:
    """How often it has been changed in place; one made in inference mode does not count."""
    return 0 if tensor.is_inference() else tensor._version


def config_digest(model: PreTrainedModel) -> str:
    """Digest of a model's configuration, which may be edited beside the same weights; names and versions left out."""
    return hashlib.sha256(
        json.dumps(_settings(model.config.to_dict()), sort_keys=True, default=str).encode()
    ).hexdigest()


def _settings(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {str(k): _settings(v) for k, v in value.items() if str(k)[0] != "_" and k not in _NOT_SETTINGS}


def precision(device: torch.device) -> str:
    """How products of float32 matrices are computed on a device: its libraries may be allowed shorter formats."""
    backends = cast(Any, torch.backends)
    parts = (backends.cuda.matmul, backends.cudnn.conv) if device.type == "cuda" else (backends.mkldnn.matmul,)
    return " ".join(str(getattr(part, "fp32_precision", "")) for part in parts)
