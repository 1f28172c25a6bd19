"""Load a model by name: embedded, from a folder, or from the hub at a fixed revision. Safe formats only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import transformers
from transformers import AutoConfig, PreTrainedModel
from transformers.utils import logging

from toolkit.paths import models_dir
from toolkit.registry import UnknownNameError
from toolkit.vlm.base import ImageLimits
from toolkit.vlm.catalogue import CATALOGUE
from toolkit.vlm.checkpoint import Checkpoint, CheckpointError, check_config, check_folder, check_revision
from toolkit.vlm.families import adapter_class
from toolkit.vlm.memory import free_bytes
from toolkit.vlm.model import LoadedVLM

if TYPE_CHECKING:
    from toolkit.vlm.store import CoalitionStore

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}


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
        CheckpointError: The checkpoint is missing, damaged, unsafe, of an unknown family, or unreachable.
        MemoryError: It does not fit into the free memory; the message has the numbers.
        ValueError: An option that does not exist.
    """
    name = str(name)
    source, is_hub = _locate(name)
    chosen_device = torch.device(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    chosen_dtype = _dtype(dtype, chosen_device, is_hub)
    if attention not in ("sdpa", "eager"):
        raise ValueError(f"unknown attention {attention!r}; expected 'sdpa' or 'eager'")
    if is_hub:
        revision = revision or (CATALOGUE[name].revision if name in CATALOGUE else None)
        check_revision(name, revision, pinned=pinned)
        config, found = _hub_config(name, revision)
        revision = config._commit_hash or revision
    else:
        found = check_folder(Path(source))
    _check_memory(name, found.n_parameters, chosen_dtype, chosen_device, four_bit=four_bit)
    adapter_type = adapter_class(found.model_type)
    with _quiet(found.n_parameters < 10_000_000), _explained(name):
        processor = adapter_type.load_processor(source, revision, ImageLimits(max_pixels, max_tiles))
        model = _load_model(
            adapter_type.model_class,
            source,
            revision,
            chosen_dtype,
            chosen_device,
            four_bit=four_bit,
            attention=attention,
        )
    return LoadedVLM(
        name,
        adapter_type(processor),
        model,
        revision=revision,
        digest=found.digest,
        quantisation="nf4" if four_bit else None,
        max_tokens=max_tokens,
        store=store,
    )


def _locate(name: str) -> tuple[str, bool]:
    """Where to load a name from, and whether that is the hub."""
    if name in CATALOGUE and CATALOGUE[name].source == "embedded":
        folder = models_dir() / name
        if not folder.is_dir():
            raise CheckpointError(f"{name!r} is not in {folder.parent}; train it: python -m toolkit train {name}")
        return str(folder), False
    path = Path(name).expanduser()
    if path.is_dir():
        return str(path), False
    if path.exists():
        raise CheckpointError(f"{name!r} is a file; give the checkpoint's folder")
    looks_like_path = name.startswith((".", "/", "~")) or name.count("/") > 1
    if looks_like_path:
        raise CheckpointError(f"there is no folder {name!r}")
    if name.count("/") != 1:
        raise UnknownNameError("model", name, CATALOGUE)
    return name, True


def _dtype(dtype: str | None, device: torch.device, is_hub: bool) -> torch.dtype:
    if dtype is None:
        return torch.bfloat16 if is_hub and device.type == "cuda" else torch.float32
    if dtype not in DTYPES:
        raise ValueError(f"unknown dtype {dtype!r}; expected one of {', '.join(DTYPES)}")
    return DTYPES[dtype]


def _hub_config(name: str, revision: str | None) -> tuple[Any, Checkpoint]:
    """Configuration of a hub model and what is known of its weights before they are downloaded."""
    with _explained(name):
        raw, _ = transformers.PreTrainedConfig.get_config_dict(name, revision=revision)
        model_type = check_config(raw, name)
        config = AutoConfig.from_pretrained(name, revision=revision, trust_remote_code=False)
    with torch.device("meta"):
        model = getattr(transformers, adapter_class(model_type).model_class)(config)
    return config, Checkpoint(model_type, sum(p.numel() for p in model.parameters()), config._commit_hash or "")


def _check_memory(name: str, n_parameters: int, dtype: torch.dtype, device: torch.device, *, four_bit: bool) -> None:
    """Refuse a model that cannot fit, before anything is read.

    Raises:
        MemoryError: Weights and a fifth more for working space exceed the free memory.
    """
    size = 0.6 if four_bit else dtype.itemsize
    needed, free = 1.2 * n_parameters * size, free_bytes(device)
    if needed > free:
        kind = "4-bit" if four_bit else str(dtype).removeprefix("torch.")
        raise MemoryError(
            f"{name!r} has {n_parameters / 1e9:.2f} billion weights and needs about {needed / 2**30:.1f} GiB in {kind} "
            f"with working space; {free / 2**30:.1f} GiB are free on {device}. Use a smaller model, "
            "dtype='bfloat16', four_bit=True on a GPU, or a larger machine"
        )


def _load_model(
    class_name: str,
    source: str,
    revision: str | None,
    dtype: torch.dtype,
    device: torch.device,
    *,
    four_bit: bool,
    attention: str,
) -> PreTrainedModel:
    """Load the weights; every weight must be there."""
    options: dict[str, Any] = {"attn_implementation": attention, "dtype": dtype, "use_safetensors": True}
    if four_bit:
        options |= _four_bit(device, dtype)
    model_class = getattr(transformers, class_name)
    model, info = model_class.from_pretrained(
        source, revision=revision, trust_remote_code=False, output_loading_info=True, **options
    )
    absent = sorted(info["missing_keys"]) + sorted(str(key) for key in info["mismatched_keys"])
    if absent:
        raise CheckpointError(
            f"{source} lacks {len(absent)} weights of {class_name}, among them {absent[0]}; copy the checkpoint again"
        )
    if not four_bit:
        model = model.to(device)
    loaded: PreTrainedModel = model.eval().requires_grad_(False)
    return loaded


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
    """No progress bar for a checkpoint that loads at once."""
    bars: Any = logging
    shown = bars.is_progress_bar_enabled()
    if is_small and shown:
        bars.disable_progress_bar()
    try:
        yield
    finally:
        if is_small and shown:
            bars.enable_progress_bar()


@contextmanager
def _explained(name: str) -> Iterator[None]:
    """Turn what the hub and the loaders raise into one sentence with a way out."""
    try:
        yield
    except (OSError, KeyError, TypeError) as error:
        chain = " ".join(f"{type(e).__name__} {e}" for e in (error, error.__cause__, error.__context__) if e).lower()
        raise CheckpointError(f"cannot load {name!r}: {_reason(chain)} ({_first_line(error)})") from error


def _reason(chain: str) -> str:
    if "gated" in chain:
        return "its publisher asks you to accept a licence; accept it on the model's page and log in (hf auth login)"
    if "revisionnotfound" in chain or "not a valid git identifier" in chain:
        return "it has no such revision; copy a commit from the model's page"
    if "repositorynotfound" in chain or "not a valid model identifier" in chain or "404" in chain:
        return "there is no such model on the hub, or it is private; check the spelling"
    if "offline" in chain or "connect" in chain or "couldn't find" in chain or "resolve" in chain:
        return "it is not in the local cache and the hub cannot be reached; download it once with a network"
    if "safetensors" in chain or "pytorch_model.bin" in chain:
        return "it has no safetensors weights, and pickles are never loaded"
    return "a file is missing or damaged"


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
