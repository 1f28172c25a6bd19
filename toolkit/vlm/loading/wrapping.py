"""Wrap a model that is already in memory: fine-tuned, merged, quantised or built by hand."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import torch
from transformers import PreTrainedModel

from toolkit.arguments import check_text, check_whole
from toolkit.registry import UnknownNameError
from toolkit.vlm.adapters.adapter_base import Adapter
from toolkit.vlm.adapters.families import FAMILIES, NOT_SCORED, adapter_class, family_key, why_unknown
from toolkit.vlm.engine.fingerprint import check_evaluating, config_digest, weights_digest
from toolkit.vlm.loading.checkpoint import CheckpointError
from toolkit.vlm.loading.digests import whole_digest
from toolkit.vlm.loading.fit import check_finite
from toolkit.vlm.loading.probe import require_scoring
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.prompt import check_template
from toolkit.vlm.thoughts import warn_of_thoughts

if TYPE_CHECKING:
    from toolkit.vlm.engine.store import CoalitionStore


def wrap(
    model: PreTrainedModel,
    processor: Any,
    *,
    name: str | None = None,
    max_tokens: int | None = None,
    store: CoalitionStore | None = None,
    players: str = "auto",
) -> LoadedVLM:
    """A vision-language model in memory as the toolkit's own, for ``explain``, ``diagnose`` and all metrics.

    The model is used as it is and not copied. It is scored as its ordinary forward pass scores it, which is checked
    here. Nobody can know it again in another process, unless you name it: then its values may be stored, under the
    name and a digest of its configuration and of a part of its weights.

    Example:
        >>> import toolkit
        >>> loaded = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
        >>> vlm = toolkit.wrap(loaded.model, loaded.adapter.processor)
        >>> vlm.name, vlm.family
        ('LlavaForConditionalGeneration in memory', 'llava')

    Args:
        model: A transformers model of a known family, in evaluation mode.
        processor: Its processor.
        name: What it is called in records; give another name whenever the weights are others.
        max_tokens: Decoder tokens per batch; None chooses from the free memory.
        store: Remembers values between runs; only of a model with a name.
        players: Who plays, as in ``toolkit.load_vlm``.

    Raises:
        UnknownNameError: No adapter knows the model's family.
        TypeError: It is no transformers model, or one that something is wrapped around; or no processor.
        ValueError: It is in training mode, lies on several devices, has a store and no name, or has the processor of
            another family.
        CheckpointError: It would be scored as another model than it is, or is of a kind that is not scored.
    """
    if max_tokens is not None:
        check_whole("max_tokens", max_tokens, 1)
    if name is not None:
        check_text("name", name)
    _check_kind(model)
    _check_state(model)
    tower_type = str(getattr(getattr(model.config, "vision_config", None), "model_type", ""))
    model_type = family_key(str(model.config.model_type), tower_type)
    if model_type in NOT_SCORED and model_type not in FAMILIES:
        raise CheckpointError(f"{type(model).__name__} is a {model_type!r} model; {why_unknown(model_type)}")
    if model_type not in FAMILIES:
        raise UnknownNameError("model family", model_type, FAMILIES)
    if store is not None and not name:
        raise ValueError(
            "a model in memory has no files by which a store could know it again; give it a name of its own, "
            "wrap(..., name='my-model-step-1000'), or leave out the store"
        )
    family = adapter_class(model_type)
    _check_head(model, family.model_class)
    _check_processor(processor)
    adapter = family(processor)
    check_template(processor, name or "the processor in memory")
    _reconcile(adapter, model)
    parts = {"name": name or "", "config": config_digest(model), "weights": weights_digest(model)}
    vlm = LoadedVLM(
        name or f"{type(model).__name__} in memory",
        adapter,
        model,
        digest=whole_digest(parts) if name else None,
        quantisation=_quantisation(model),
        max_tokens=max_tokens,
        store=store,
        players=players,
    )
    try:
        found = require_scoring(vlm)
    except CheckpointError:
        check_finite(model, vlm.name)  # says more, where it is the reason
        raise
    warn_of_thoughts(vlm.name, found.thinking)
    return vlm


def _check_kind(model: object) -> None:
    if isinstance(model, PreTrainedModel):
        return
    cure = ""
    if hasattr(model, "merge_and_unload"):
        cure = "; merge the adapter first: model = model.merge_and_unload()"
    elif hasattr(model, "_orig_mod"):
        cure = "; give the model that was compiled, model._orig_mod, since hooks do not reach into compiled code"
    elif isinstance(getattr(model, "module", None), torch.nn.Module):
        cure = "; give the model inside, model.module"
    raise TypeError(f"expected a transformers model (PreTrainedModel), got {type(model).__name__}{cure}")


def _check_head(model: PreTrainedModel, model_class: str) -> None:
    if cast(Any, model).get_output_embeddings() is None:
        raise TypeError(f"{type(model).__name__} has no head that says words; give the whole model, a {model_class}")


def _check_processor(processor: object) -> None:
    missing = [part for part in ("tokenizer", "image_processor") if getattr(processor, part, None) is None]
    if missing:
        raise TypeError(
            f"expected the model's processor, a tokenizer with an image processor, got {type(processor).__name__} "
            f"without {' and '.join(missing)}; load it with transformers.AutoProcessor.from_pretrained(...)"
        )


def _reconcile(adapter: Adapter, model: PreTrainedModel) -> None:
    try:
        adapter.reconcile(model.config)
    except AttributeError as error:
        raise ValueError(
            f"the processor {type(adapter.processor).__name__} is not one of the family {adapter.family} ({error}); "
            "give the processor of the model's own checkpoint"
        ) from error


def _check_state(model: PreTrainedModel) -> None:
    check_evaluating(model)
    devices = {parameter.device for parameter in model.parameters()}
    if len(devices) > 1:
        raise ValueError(
            f"the model lies on several devices ({', '.join(sorted(map(str, devices)))}); the scoring engine needs it "
            "on one: load it with device_map={'': 0}, or a smaller or quantised one"
        )
    if "meta" in {device.type for device in devices}:
        raise ValueError("the model's weights are on the meta device, which holds no numbers; load them first")


def _quantisation(model: PreTrainedModel) -> str | None:
    settings = getattr(model.config, "quantization_config", None)
    if settings is None:
        return None
    method = settings.get("quant_method") if isinstance(settings, dict) else getattr(settings, "quant_method", None)
    return str(getattr(method, "value", method))
