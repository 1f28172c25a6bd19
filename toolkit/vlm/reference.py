"""The reference path: one ordinary forward pass of the transformers model per coalition, batch 1, nothing shared.

Slow and simple on purpose; the engine is checked against it.
"""

from __future__ import annotations

import inspect
import warnings
from functools import cache
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import PreTrainedModel

from toolkit.typing import Coalitions, Values
from toolkit.vlm.engine.autocast import without_autocast

if TYPE_CHECKING:
    from toolkit.vlm.adapters.adapter_base import Adapter
    from toolkit.vlm.answer_scoring import Scoring
    from toolkit.vlm.engine.request import Request
    from toolkit.vlm.view import View


class Parts(Protocol):
    """What an ordinary pass needs of a loaded model."""

    @property
    def adapter(self) -> Adapter:
        """Its family."""
        ...

    @property
    def model(self) -> PreTrainedModel:
        """The transformers model."""
        ...


class PlainGame(Protocol):
    """What the plain path needs of a sample's game."""

    @property
    def view(self) -> View:
        """The sample as the model sees it."""
        ...

    @property
    def baseline(self) -> str:
        """Name of the baseline."""
        ...

    @property
    def scoring(self) -> Scoring:
        """The forced answers, and how v is read from their tokens."""
        ...

    @property
    def vlm(self) -> Parts:
        """The model."""
        ...

    def of_tokens(self, coalitions: Coalitions) -> Coalitions:
        """The coalitions as those of image cells and question tokens."""
        ...


def plain_logits(
    vlm: Parts, view: View, pixels: Tensor, kept: NDArray[np.bool_], continuation: tuple[int, ...]
) -> Tensor:
    """Float32 logits (1 + len(continuation), vocabulary) of the answer's tokens; no others are computed.

    Args:
        vlm: The model.
        view: The sample as the model sees it.
        pixels: One pixel tensor (*pixel_shape).
        kept: Shape (n_text,): the others are masked from attention; every token keeps its position.
        continuation: Answer tokens before the one that is read last.
    """
    return plain_batch(vlm, view, pixels[None], kept[None], continuation)[0]


@torch.inference_mode()
@without_autocast
def plain_batch(
    vlm: Parts, view: View, pixels: Tensor, kept: NDArray[np.bool_], continuation: tuple[int, ...]
) -> Tensor:
    """The same for pixels (batch, *pixel_shape) and words (batch, n_text) in one pass: (batch, 1 + ..., vocabulary)."""
    device = vlm.model.device
    ids = torch.tensor([[*view.prompt.ids, *continuation]], device=device).repeat(len(pixels), 1)
    attention = torch.ones_like(ids)
    attention[:, list(view.prompt.text_positions)] = torch.from_numpy(kept).to(attention)
    extra = view.next_position + np.arange(len(continuation))
    positions = np.concatenate([view.positions, np.broadcast_to(extra, (len(view.positions), len(extra)))], axis=1)
    position_ids = torch.from_numpy(positions).to(device)[:, None].expand(-1, len(pixels), -1)
    output = vlm.model(
        input_ids=ids,
        attention_mask=attention,
        position_ids=position_ids if len(positions) > 1 else position_ids[0],
        use_cache=False,
        **last_logits(vlm.model, 1 + len(continuation)),
        **view.pixel_inputs(vlm.adapter, pixels),
        **vlm.adapter.text_inputs(ids),
    )
    logits: Tensor = output.logits[:, -1 - len(continuation) :].float()
    return logits


def last_logits(model: PreTrainedModel, n: int) -> dict[str, int]:
    """The argument with which a model computes its last logits only, which for 150,000 words is most of the memory."""
    return {"logits_to_keep": n} if _keeps(cast(Any, type(model))) else {}


@cache
def _keeps(model_class: Any) -> bool:
    if "logits_to_keep" in inspect.signature(model_class.forward).parameters:
        return True
    warnings.warn(
        f"{model_class.__name__} has no logits_to_keep: an ordinary pass computes the logits of every position, which "
        "takes more memory",
        RuntimeWarning,
        stacklevel=4,
    )
    return False


def plain_answers(vlm: Parts, request: Request) -> NDArray[np.float64]:
    """What the engine gives for a request, by one ordinary pass for each of its queries."""
    found: list[float] = []
    for query in request.queries:
        pixels = request.view.masked(vlm.adapter, request.baseline, request.images[[query.image]])[0]
        logs = plain_logits(vlm, request.view, pixels, query.kept, query.context).log_softmax(dim=-1).double()
        before = [logs[i, token].item() for i, token in enumerate(query.context)]
        if query.by_token:
            found += [*before, logs[-1, query.finals[0]].item()]
        else:
            found += [sum(before) + logs[-1, token].item() for token in query.finals]
    return np.array(found)


def plain_values(game: PlainGame, coalitions: Coalitions) -> Values:
    """The game's values, computed the plain way; shape (n_coalitions,)."""
    vlm, view, forms = game.vlm, game.view, game.scoring.forms
    n_image = view.players.n_image
    values = np.empty(len(coalitions))
    for i, coalition in enumerate(game.of_tokens(coalitions)):
        pixels = view.masked(vlm.adapter, game.baseline, coalition[None, :n_image])[0]
        found: list[float] = []
        for form in forms:
            logs = plain_logits(vlm, view, pixels, coalition[n_image:], form[:-1]).log_softmax(dim=-1)
            found += logs[torch.arange(len(form)), list(form)].double().tolist()
        values[i] = game.scoring.read(np.array([found]))[0]
    return values
