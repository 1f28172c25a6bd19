"""Load a model by name: embedded, from a folder, or from the hub at a fixed revision. Safe formats only."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from huggingface_hub.errors import StrictDataclassError
from transformers import AutoConfig, PreTrainedModel
from transformers.utils import logging

from toolkit.vlm.adapters.adapter_base import Adapter, ImageLimits
from toolkit.vlm.adapters.families import adapter_class
from toolkit.vlm.engine.store import code_identity
from toolkit.vlm.loading.checkpoint import CheckpointError
from toolkit.vlm.loading.digests import whole_digest
from toolkit.vlm.loading.fit import check_finite, check_weights, load_weights
from toolkit.vlm.loading.lora import check_lora, merged, without_adapter
from toolkit.vlm.loading.placement import (
    check_bitsandbytes,
    check_device,
    check_memory,
    check_option,
    choose_dtype,
    four_bit_options,
)
from toolkit.vlm.loading.probe import require_scoring
from toolkit.vlm.loading.remembered import recall, remember
from toolkit.vlm.loading.sources import Source, find_source
from toolkit.vlm.memory import is_out_of_memory
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.partition import check_players
from toolkit.vlm.prompt import check_template
from toolkit.vlm.server.address import is_server
from toolkit.vlm.server.server_vlm import ServerVLM
from toolkit.vlm.thoughts import warn_of_thoughts

if TYPE_CHECKING:
    from toolkit.vlm.engine.store import CoalitionStore

ATTENTIONS = ("sdpa", "eager")

_DAMAGE: tuple[type[Exception], ...] = (
    OSError, LookupError, TypeError, AttributeError, RuntimeError, ArithmeticError, StrictDataclassError,
)  # fmt: skip
"""What transformers raises where a file is damaged or two contradict each other; ValueErrors may be the caller's."""


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
    verify: bool = False,
    store: CoalitionStore | None = None,
    players: str = "auto",
    yes: bool = False,
) -> LoadedVLM:
    """Load a vision-language model.

    When a checkpoint is loaded for the first time, its files must fit each other, its weights must be numbers, and the
    scoring engine must give what the model's ordinary forward pass gives; that is remembered with the digest of its
    files.

    Example:
        >>> import toolkit
        >>> toolkit.load_vlm("tiny-llava-grounded", device="cpu").family
        'llava'

    Args:
        name: An embedded name (``"tiny-llava-grounded"``), a folder, or a hub id (``"llava-hf/llava-1.5-7b-hf"``). A
            LoRA adapter is merged into its base, which lies beside it or is named by it (extra ``lora``). Or a model
            behind a server (``"api:http://localhost:8000/v1#model"``), a black box that loads nothing:
            :class:`toolkit.vlm.server.server_vlm.ServerVLM`.
        revision: Commit of a hub id; None takes the catalogue's, or the newest.
        pinned: Refuse a hub revision that is not a full commit, as a benchmark run must.
        device: ``"cpu"``, ``"cuda"``, ``"cuda:1"``, ...: one device; None or ``"auto"`` takes a GPU where there is one.
        dtype: ``"float32"``, ``"bfloat16"`` or ``"float16"``; None takes bfloat16 on a GPU, else float32, in which the
            embedded models are everywhere.
        four_bit: 4-bit weights through bitsandbytes (GPU only); recorded with every number.
        attention: ``"sdpa"`` or ``"eager"``.
        max_pixels: Bound of the picture's resized area (families with a dynamic grid).
        max_tiles: Bound of the number of tiles (families that tile).
        max_tokens: Decoder tokens per batch; None chooses from the free memory.
        verify: Read and check everything again, whatever is remembered of this checkpoint.
        store: Remembers values between runs.
        players: Who plays: ``"tokens"`` (every image token, every question token), ``"words"`` (every image token,
            whole words), ``"grid:RxC"`` (cells merged into R rows and C columns, whole words), ``"segments:N"`` (about
            N segments of the image, whole words; extra ``segments``), or ``"auto"``: whole words and a grid of at most
            12 x 12, which leaves the embedded models as they are.
        yes: Images may leave this machine for the server that the name has.

    Raises:
        UnknownNameError: No such model; the message suggests the nearest name.
        CheckpointError: The checkpoint is missing, damaged, unsafe, of an unknown family, unreachable, or not pinned;
            its files contradict each other; or it would be scored as another model than it is.
        MemoryError: It does not fit into the free memory; the message has the numbers.
        ValueError: An option that does not exist.
    """
    if is_server(name):
        given: dict[str, Any] = {
            "revision": revision,
            "device": device,
            "dtype": dtype,
            "four_bit": four_bit,
            "attention": attention,
        }
        given |= {"max_tiles": max_tiles, "max_tokens": max_tokens}
        _check_server_has_none(str(name), given)
        server = ServerVLM(str(name), players=players, max_pixels=max_pixels, yes=yes, store=store)
        return cast("LoadedVLM", server)  # the same protocol, VLM; what needs more refuses it
    check_option("attention", attention, ATTENTIONS)
    check_players(players)
    for option, value in (("max_pixels", max_pixels), ("max_tiles", max_tiles), ("max_tokens", max_tokens)):
        if value is not None and not isinstance(value, int):
            raise ValueError(f"{option} is {value!r}; expected a whole number, or None")
    if max_tokens is not None and max_tokens < 1:
        raise ValueError(f"max_tokens is {max_tokens}; expected at least 1, or None to choose from the free memory")
    where = check_device(device)
    source = find_source(str(name), revision=revision, pinned=pinned)
    precision = choose_dtype(source.name, dtype, where)
    check_memory(source, precision, where, four_bit=four_bit)
    source = source.fetched()
    _check_stored(source, where, four_bit=four_bit)
    options: dict[str, Any] = {"attn_implementation": attention, "dtype": precision}
    if four_bit:
        options |= four_bit_options(where, precision)
    digest = whole_digest(source.digests(verify=verify))
    question = {"what": "checks of a checkpoint", "checkpoint": digest, "device": where.type, "four_bit": four_bit}
    question |= {"attention": attention, "dtype": str(precision), "limits": [max_pixels, max_tiles], **code_identity()}
    known = None if verify else recall(question)
    adapter, model = _read(source, options, ImageLimits(max_pixels, max_tiles), is_known=known is not None)
    if not four_bit:
        torch.nn.Module.to(model, where)
    vlm = LoadedVLM(
        source.name,
        adapter,
        model,
        revision=source.revision,
        digest=digest,
        quantisation="nf4" if four_bit else source.quantisation,
        max_tokens=max_tokens,
        store=store,
        players=players,
    )
    if known is None:
        with _explained(source):
            known = asdict(require_scoring(vlm))
        remember(question, known)
    warn_of_thoughts(vlm.name, known["thinking"])
    return vlm


def _check_server_has_none(name: str, options: dict[str, Any]) -> None:
    """Refuse options that only the server itself could obey."""
    given = [option for option, value in options.items() if value not in (None, False, "auto", "sdpa")]
    if given:
        raise ValueError(f"{name} is behind a server, where {', '.join(given)} cannot be chosen; start it with them")


def _read(
    source: Source, options: dict[str, Any], limits: ImageLimits, *, is_known: bool
) -> tuple[Adapter, PreTrainedModel]:
    """Processor and model of a checkpoint, an adapter merged; what is known to fit is not compared again."""
    family = adapter_class(source.model_type)
    with _quiet(source.n_parameters < 10_000_000), without_adapter(source.folder, source.lora) as folder:
        with _explained(source):
            processor = family.load_processor(str(folder), None, limits)
        with _explained(source, ValueError):
            config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        adapter = family(processor)
        check_template(processor, str(source.folder))
        adapter.reconcile(config)
        with _explained(source, ValueError):
            if not is_known and source.quantisation is None:
                with _quiet(True):
                    check_weights(family.model_class, folder, str(source.folder), config)
            model = load_weights(family.model_class, folder, str(source.folder), options | {"config": config})
        if source.lora is not None:
            model = merged(model, source.lora)
    if not is_known:
        check_finite(model, str(source.folder))
    model.train(False)
    return adapter, model.requires_grad_(False)


@contextmanager
def _explained(source: Source, *further: type[Exception]) -> Iterator[None]:
    """Turn what the loaders raise, and further kinds of errors, into one sentence."""
    try:
        yield
    except CheckpointError:
        raise
    except Exception as error:
        is_tokenizers = type(error) is Exception  # the package tokenizers raises nothing finer
        if is_out_of_memory(error) or not (is_tokenizers or isinstance(error, _DAMAGE + further)):
            raise
        first = " ".join(str(error).split())[:300]
        cure = "; copy it again" + (
            ", or update tokenizers, if a newer one wrote tokenizer.json" if is_tokenizers else ""
        )
        raise CheckpointError(
            f"cannot load {source.name!r}: a file in {source.folder} is missing or damaged, or contradicts another "
            f"({type(error).__name__}: {first}){cure}"
        ) from error


def _check_stored(source: Source, device: torch.device, *, four_bit: bool) -> None:
    """Refuse weights that are stored in a form which is not loaded here, and combinations that would be another model.

    Raises:
        CheckpointError: They are stored quantised, or an adapter cannot be merged.
    """
    method = source.quantisation
    if method is not None and (method != "bitsandbytes" or four_bit):
        raise CheckpointError(
            f"{source.name!r} is stored quantised by {method}, whose weights the toolkit does not load: take the "
            "checkpoint that is not quantised (on a GPU with four_bit=True where memory is short), or load it "
            "yourself and give it to toolkit.wrap(model, processor)"
        )
    if method is not None:
        check_bitsandbytes(device, f"{source.name!r} is stored quantised by bitsandbytes, which")
    if source.lora is not None:
        if method is not None or four_bit:
            raise CheckpointError(
                f"{source.name!r} has a LoRA adapter, which cannot be merged into 4-bit weights exactly: load it "
                "without four_bit, for example with dtype='bfloat16'"
            )
        check_lora(source.lora)


@contextmanager
def _quiet(is_at_once: bool) -> Iterator[None]:
    """No loading report, whose content is checked here, and no progress bar for what is done at once."""
    transformers_logging: Any = logging
    verbosity, shown = transformers_logging.get_verbosity(), transformers_logging.is_progress_bar_enabled()
    transformers_logging.set_verbosity_error()
    if is_at_once and shown:
        transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.set_verbosity(verbosity)
        if is_at_once and shown:
            transformers_logging.enable_progress_bar()
