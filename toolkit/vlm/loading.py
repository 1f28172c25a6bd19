"""Load a model by name: embedded, from a folder, or from the hub at a fixed revision. Safe formats only."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import jinja2
import torch
import transformers
from transformers import PreTrainedModel
from transformers.utils import logging

from toolkit.vlm.base import ImageLimits
from toolkit.vlm.checkpoint import CheckpointError
from toolkit.vlm.families import adapter_class
from toolkit.vlm.memory import free_bytes
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.prompt import apply_template
from toolkit.vlm.sources import Source, explained, find_source

if TYPE_CHECKING:
    from toolkit.vlm.store import CoalitionStore

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
ATTENTIONS = ("sdpa", "eager")

_LAYER = re.compile(r"\.(layers|layer|blocks)\.\d+\.")


def load_vlm(
    name: str | Path,
    *,
    revision: str | None = None,
    pinned: bool = False,
    device: str | None = None,
    dtype: str | None = None,
    four_bit: bool = False,
    attention: str = "sdpa",
    max_pixels: int | None = None,
    max_tiles: int | None = None,
    max_tokens: int | None = None,
    store: CoalitionStore | None = None,
) -> LoadedVLM:
    """Load a vision-language model.

    Args:
        name: An embedded name (``"tiny-llava-grounded"``), a folder, or a hub id (``"llava-hf/llava-1.5-7b-hf"``).
        revision: Commit of a hub id; None takes the catalogue's, or the newest.
        pinned: Refuse a hub revision that is not a full commit, as a benchmark run must.
        device: ``"cpu"``, ``"cuda"``, ...; None takes a GPU where there is one.
        dtype: ``"float32"``, ``"bfloat16"`` or ``"float16"``; None takes float32, on a GPU bfloat16 for hub models.
        four_bit: 4-bit weights through bitsandbytes (GPU only); recorded with every number.
        attention: ``"sdpa"`` or ``"eager"``.
        max_pixels: Bound of the picture's resized area (families with a dynamic grid).
        max_tiles: Bound of the number of tiles (families that tile).
        max_tokens: Decoder tokens per batch; None chooses from the free memory.
        store: Remembers values between runs.

    Raises:
        UnknownNameError: No such model; the message suggests the nearest name.
        CheckpointError: The checkpoint is missing, damaged, unsafe, of an unknown family, unreachable, or not pinned.
        MemoryError: It does not fit into the free memory; the message has the numbers.
        ValueError: An option that does not exist.
    """
    _check_name("attention", attention, ATTENTIONS)
    if max_tokens is not None and max_tokens < 1:
        raise ValueError(f"max_tokens is {max_tokens}; expected at least 1, or None to choose from the free memory")
    where = check_device(device)
    source = find_source(str(name), revision=revision, pinned=pinned)
    precision = _precision(dtype, where, is_hub=source.is_hub)
    check_memory(source, precision, where, four_bit=four_bit)
    options = {"attn_implementation": attention, "dtype": precision} | (_four_bit(where, precision) if four_bit else {})
    adapter_type = adapter_class(source.found.model_type)
    with _quiet(source.found.n_parameters < 10_000_000), explained(source.name):
        processor = adapter_type.load_processor(source.path, source.revision, ImageLimits(max_pixels, max_tiles))
        model = _load_model(adapter_type.model_class, source, options)
    _check_template(processor, source)
    if not four_bit:
        torch.nn.Module.to(model, where)
    return LoadedVLM(
        source.name,
        adapter_type(processor),
        model,
        revision=source.revision,
        digest=source.found.digest,
        quantisation="nf4" if four_bit else None,
        max_tokens=max_tokens,
        store=store,
    )


def check_device(device: str | None) -> torch.device:
    """The device of this name, or the best one there is.

    Raises:
        ValueError: There is no such kind of device, or this machine has none.
    """
    if device is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(device)
    except RuntimeError:
        found = torch.device("meta")
    if found.type not in ("cpu", "cuda", "mps"):
        raise ValueError(f"unknown device {device!r}; expected 'cpu', 'cuda', 'cuda:0' or 'mps'")
    there = {"cpu": 1, "cuda": torch.cuda.device_count(), "mps": int(torch.backends.mps.is_available())}[found.type]
    if (found.index or 0) >= there:
        raise ValueError(
            f"device {device!r}: PyTorch sees {there} of its kind here; use device='cpu', or see "
            "python -m toolkit doctor"
        )
    return found


def check_memory(source: Source, dtype: torch.dtype, device: torch.device, *, four_bit: bool = False) -> None:
    """Refuse a model that cannot fit, before anything is read.

    Raises:
        MemoryError: Weights and a fifth more for working space exceed the free memory.
    """
    size, n_parameters = 0.6 if four_bit else dtype.itemsize, source.found.n_parameters
    needed, free = 1.2 * n_parameters * size, free_bytes(device)
    if needed > free:
        kind = "4-bit" if four_bit else str(dtype).removeprefix("torch.")
        raise MemoryError(
            f"{source.name!r} has {n_parameters / 1e9:.2f} billion weights and needs about {needed / 2**30:.1f} GiB in "
            f"{kind} with working space; {free / 2**30:.1f} GiB are free on {device}. Use a smaller model, "
            "dtype='bfloat16', four_bit=True on a GPU, or a larger machine"
        )


def _check_name(option: str, value: str, known: Iterable[str]) -> None:
    if value not in known:
        raise ValueError(f"unknown {option} {value!r}; expected one of {', '.join(known)}")


def _precision(dtype: str | None, device: torch.device, *, is_hub: bool) -> torch.dtype:
    if dtype is None:
        return torch.bfloat16 if is_hub and device.type == "cuda" else torch.float32
    _check_name("dtype", dtype, DTYPES)
    return DTYPES[dtype]


def _load_model(class_name: str, source: Source, options: dict[str, Any]) -> PreTrainedModel:
    """Load the weights: every weight must be there, have the right shape, belong to the model, and be a number."""
    model, info = getattr(transformers, class_name).from_pretrained(
        source.path,
        revision=source.revision,
        trust_remote_code=False,
        use_safetensors=True,
        ignore_mismatched_sizes=True,  # listed in info, and refused below
        output_loading_info=True,
        **options,
    )
    mismatched = sorted(str(key[0] if isinstance(key, tuple) else key) for key in info["mismatched_keys"])
    foreign = sorted(key for key in info["unexpected_keys"] if _LAYER.search(key))
    for keys, what in (
        (sorted(info["missing_keys"]), "lacks"), (mismatched, "has with another shape"), (foreign, "has too many:")
    ):  # fmt: skip
        if keys:
            raise CheckpointError(
                f"{source.path} {what} {len(keys)} weights of {class_name} as its config.json describes it, among them "
                f"{keys[0]}; copy the whole checkpoint again"
            )
    _check_finite(model, source)
    loaded: PreTrainedModel = model.eval().requires_grad_(False)
    return loaded


def _check_finite(model: PreTrainedModel, source: Source) -> None:
    for name, weight in model.named_parameters():
        n = weight.numel() - int(torch.isfinite(weight).sum())
        if n:
            raise CheckpointError(
                f"{source.path}: {n} of {weight.numel()} values of {name} are NaN or infinite; copy it again"
            )


def _check_template(processor: Any, source: Source) -> None:
    """Without its chat template a model is asked in a form that it was never trained on."""
    try:
        apply_template(processor, "?")
    except (ValueError, jinja2.TemplateError) as error:
        raise CheckpointError(
            f"{source.path}: its chat template (chat_template.jinja) is missing or damaged: {error}; copy it again"
        ) from error


def _four_bit(device: torch.device, dtype: torch.dtype) -> dict[str, Any]:
    if device.type != "cuda":
        raise ValueError(f"four_bit needs a GPU; the device is {device}")
    lacking = [module for module in ("bitsandbytes", "accelerate") if find_spec(module) is None]
    if lacking:
        raise ValueError(f"four_bit needs {' and '.join(lacking)}; install the 'gpu' extra")
    settings_class: Any = transformers.BitsAndBytesConfig
    settings = settings_class(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=dtype)
    return {"quantization_config": settings, "device_map": {"": device}}


@contextmanager
def _quiet(is_small: bool) -> Iterator[None]:
    """No loading report, whose content is checked here, and no progress bar for a checkpoint that loads at once."""
    transformers_logging: Any = logging
    verbosity, shown = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    if is_small and shown:
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if is_small and shown:
            transformers_logging.enable_progress_bar()
