"""Detect that a loaded model was changed: its weights, modules, hooks or code."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Hashable, Iterator
from typing import Any, NamedTuple, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from transformers import PreTrainedModel

from toolkit.vlm.engine.patches import Code, code_of, configs, patches

_WHOLE = 64 << 20
_PROBES = 64
_RECORDER = "transformers.utils.output_capturing"
_TRACKER = "torch.utils.module_tracker"
_NOT_SETTINGS = ("transformers_version", "dtype")


class State(NamedTuple):
    """What a model's values depend on, as far as it can be told at once; equal as long as nothing was changed.

    Attributes:
        tensors: Where weights and buffers lie, and how often they were changed in place.
        probes: 64 values of each of them.
        modules: Class, mode, hooks and replaced methods of every module, and hooks on all modules.
        settings: What stands in the configurations.
        code: The methods, functions and attention tables that compute it.
        processing: Settings and template of the processor that prepares what it sees; empty without one.
    """

    tensors: Hashable
    probes: bytes
    modules: Hashable
    settings: Hashable
    code: Code
    processing: str = ""


_CHANGED = {
    "tensors": "its weights or buffers were replaced or changed in place",
    "probes": "its weights or buffers were changed in place",
    "modules": "its modules, their modes, hooks or methods were changed",
    "settings": "its configuration was changed",
    "processing": "settings or the template of its processor were changed",
    "code": "code of its classes, of the functions that they use or of an attention table was replaced",
}


def state(model: PreTrainedModel, processor: Any = None) -> State:
    """What tells at once that a model was changed, or the processor that prepares what it sees.

    A write to single values through ``tensor.data`` leaves no trace here; :func:`fingerprint` sees that in small
    models too.
    """
    modules = _modules(model)
    tensors = [
        tensor
        for module in modules
        for tensor in (*module._parameters.values(), *module._buffers.values())
        if tensor is not None
    ]
    places = tuple([tensor.data_ptr() for tensor in tensors])
    versions = tuple(map(_version, tensors))
    about = tuple((id(type(module)), module.training, attached(module)) for module in modules)
    settings = tuple(tuple(map(id, vars(config).values())) for config in configs(model))
    code = code_of(model, frozenset(map(type, modules)))
    about_all = about, _hooks_on_all()
    return State((places, versions), _probed(model, tensors, places), about_all, settings, code, _processing(processor))


def _processing(processor: Any) -> str:
    """Everything that a processor and its image processor hold, and the size of the vocabulary."""
    if processor is None:
        return ""
    tokenizer, images = processor.tokenizer, processor.image_processor
    own = {name: value for name, value in vars(processor).items() if not hasattr(value, "__dict__")}
    return f"{own} {vars(images)} {tokenizer.chat_template} {len(tokenizer)}"


def check_evaluating(model: nn.Module) -> None:
    """Refuse a model in training mode, whose maps would differ from call to call.

    Raises:
        ValueError: A module is in training mode; it is named.
    """
    if not any(module.training for module in _modules(model)):
        return
    training = next(name or "the model" for name, module in model.named_modules() if module.training)
    raise ValueError(f"{training} is in training mode, where dropout may draw numbers: call model.eval() first")


def changed(before: State, now: State) -> str | None:
    """In words what was changed between two states; None if nothing was."""
    for field, words in _CHANGED.items():
        if getattr(before, field) != getattr(now, field):
            return words
    return None


def is_altered(module: nn.Module) -> bool:
    """Whether hooks or methods of its own anywhere in a module, or code of somebody else, may change what it computes.

    Whoever runs a module in another way than transformers steps aside then.
    """
    return any(map(attached, _modules(module))) or bool(_hooks_on_all()) or bool(patches(module))


def _hooks_on_all() -> tuple[int, ...]:
    """Hooks on all modules of the process; PyTorch's own tracker, which counts and changes nothing, is left out."""
    everywhere = cast(Any, torch.nn.modules.module)
    hooks = (*everywhere._global_forward_hooks.items(), *everywhere._global_forward_pre_hooks.items())
    return tuple(number for number, hook in hooks if getattr(hook, "__module__", "") != _TRACKER)


def _modules(model: nn.Module) -> list[nn.Module]:
    """Every module once, as ``model.modules()`` gives them, in a third of the time."""
    found, seen = [model], {id(model)}
    for module in found:
        for child in module._modules.values():
            if child is not None and id(child) not in seen:
                seen.add(id(child))
                found.append(child)
    return found


_PROBED: WeakKeyDictionary[nn.Module, tuple[Hashable, list[list[Tensor]]]] = WeakKeyDictionary()


def _probed(model: nn.Module, tensors: list[Tensor], places: Hashable) -> bytes:
    """Up to 64 values of each tensor; the views that read them are made once per model."""
    known = _PROBED.get(model)
    if known is None or known[0] != places:
        views: dict[tuple[torch.device, torch.dtype], list[Tensor]] = {}
        for tensor in tensors:
            if tensor.numel() and not tensor.is_meta and tensor.layout == torch.strided and _is_dense(tensor):
                step = -(-tensor.numel() // _PROBES)
                n = -(-tensor.numel() // step)
                view = tensor.detach().as_strided((n,), (step,))
                views.setdefault((tensor.device, tensor.dtype), []).append(view)
        known = _PROBED[model] = places, list(views.values())
    read = [torch.cat(alike).view(torch.uint8).cpu().numpy().tobytes() for alike in known[1]]
    return b"".join(read)


def _is_dense(tensor: Tensor) -> bool:
    """Whether as many values as it has lie one behind the other in memory."""
    end = (tensor.storage_offset() + tensor.numel()) * tensor.itemsize
    return type(tensor.data) is Tensor and tensor.untyped_storage().nbytes() >= end


def attached(module: nn.Module) -> tuple[int, ...]:
    """What is attached to a module and may change what it computes: hooks, and a forward method of its own.

    The hooks that transformers leaves behind when hidden states were asked for once do nothing unless they are asked
    for again, and do not count.
    """
    if not (module._forward_hooks or module._forward_pre_hooks or "forward" in vars(module)):
        return ()
    hooks = (*module._forward_hooks.items(), *module._forward_pre_hooks.items())
    foreign = tuple(number for number, hook in hooks if getattr(hook, "__module__", "") != _RECORDER)
    return (*foreign, id(vars(module)["forward"])) if "forward" in vars(module) else foreign


@torch.no_grad()
def fingerprint(model: PreTrainedModel) -> str:
    """Digest of :func:`state`, of the configuration, and of the weights' content.

    Of models above 64 MiB, 64 values of each tensor are read: a change of a few of its values through ``tensor.data``
    goes unseen there; any other change of weights in place counts in ``state``.
    """
    now = state(model)
    digest = hashlib.sha256(repr((now.tensors, now.modules, now.code)).encode())
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
