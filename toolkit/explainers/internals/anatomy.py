"""Where the parts of a transformers vision-language model are, found without knowing its family.

The decoder, the vision tower and the output head come from the model's own ``get_*`` methods. Which tower tokens feed
which image player (class tokens dropped, windows permuted, 2 x 2 tokens merged) is read off the computation itself:
the gradient of one image token with respect to the tower's last layer is zero outside its own patches.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from toolkit.explainers.internals.scope import hooks, is_attention
from toolkit.vlm.protocol import WhiteBox


@dataclass(frozen=True)
class Anatomy:
    """The parts of a model.

    Attributes:
        decoder: The language model, with ``layers`` and a final ``norm``.
        decoder_layers: Its blocks, first to last.
        head: The matrix (vocabulary, dim) and bias that turn hidden states into logits.
        vision_layers: The vision tower's blocks, first to last.
    """

    decoder: nn.Module
    decoder_layers: tuple[nn.Module, ...]
    head: nn.Module
    vision_layers: tuple[nn.Module, ...]


def anatomy(model: nn.Module) -> Anatomy:
    """Find the parts of a model.

    Raises:
        ValueError: It is not a transformers vision-language model, or its parts have other names.
    """
    missing = [name for name in ("get_decoder", "get_encoder", "get_output_embeddings") if not hasattr(model, name)]
    if missing:
        raise ValueError(
            f"{type(model).__name__} has no {', '.join(missing)}; attention and activation explainers need a "
            "transformers vision-language model (gradient and game explainers work on any)"
        )
    parts: Any = model
    decoder, tower = parts.get_decoder(), parts.get_encoder(modality="image")
    layers = getattr(decoder, "layers", None)
    if layers is None or not hasattr(decoder, "norm") or tower is model:
        raise ValueError(f"cannot find the decoder's layers and norm, or the vision tower, in {type(model).__name__}")
    blocks = [
        block
        for stack in tower.modules()
        if isinstance(stack, nn.ModuleList)
        for block in stack
        if any(is_attention(child) for child in block.children())
    ]
    if not blocks:
        raise ValueError(f"the vision tower {type(tower).__name__} has no blocks with attention")
    return Anatomy(decoder, tuple(layers), parts.get_output_embeddings(), tuple(blocks))


def first_tensor(output: object) -> Tensor:
    """A layer's hidden states, whether it returns a tensor or a tuple."""
    return cast(Tensor, output[0] if isinstance(output, tuple) else output)


@dataclass(frozen=True)
class Merge:
    """Which vision tokens make up which image player.

    Attributes:
        members: Bool (n_image, n_tokens): the player's own patches, in the order of the tower's tokens.
        used_layers: Number of tower layers that the image tokens depend on.
    """

    members: Tensor
    used_layers: int

    @property
    def shares(self) -> Tensor:
        """Float64 (n_image, n_tokens): a player's mass spread evenly over its tokens; rows sum to one."""
        weights = self.members.double()
        return weights / weights.sum(1, keepdim=True)


class _DecoderReachedError(Exception):
    """What enters the decoder is known; the rest of the pass is not needed."""


def _members(players: Tensor, tokens: Tensor) -> Tensor:
    """Bool (n_image, n_tokens): the tokens that each player depends on.

    For each binary digit of the players' numbers, one backward pass from those that have it and one from the others:
    a token that only one player uses answers to its number. Where a token answers to both, several use it, and the
    players are asked one by one.
    """
    probe = torch.randn(players.shape[1], generator=torch.Generator().manual_seed(0)).to(players)
    numbers = torch.arange(len(players), device=players.device)

    def reached(asked: Tensor) -> Tensor:
        (gradient,) = torch.autograd.grad((players[asked] @ probe).sum(), tokens, retain_graph=True)
        return gradient.flatten(0, -2).abs().sum(-1) > 0

    digits = range(max(1, (len(players) - 1).bit_length()))
    have, lack = (torch.stack([reached((numbers >> d & 1 == 1) == is_set) for d in digits]) for is_set in (True, False))
    if bool((have & lack).any()):
        return torch.stack([reached(numbers == number) for number in numbers])
    owner = torch.stack([row.long() << digit for digit, row in enumerate(have)]).sum(0)
    return (numbers[:, None] == owner) & (have[0] | lack[0])


def merge_of(box: WhiteBox) -> Merge:
    """Read the merge off one pass of the vision tower and a few small backward passes (projector only).

    The pass stops where the decoder begins, and every tower layer starts from a detached input, so that no more than
    what lies between tower and decoder is kept for the gradients.

    Raises:
        ValueError: An image player depends on no vision token.
    """
    parts = anatomy(box.model)
    outputs: dict[int, Tensor] = {}
    entered: list[Tensor] = []

    def keep(index: int, output: object) -> None:
        states = first_tensor(output)
        outputs[index] = states if states.requires_grad else states.requires_grad_(True)

    def cut(_: nn.Module, args: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        return (args[0].detach(), *args[1:])

    def enter(_: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        entered.append(cast(Tensor, kwargs["inputs_embeds"]))
        raise _DecoderReachedError

    with torch.enable_grad(), hooks([]) as handles:
        for index, layer in enumerate(parts.vision_layers):
            handles.append(layer.register_forward_pre_hook(cut))
            handles.append(layer.register_forward_hook(lambda _, __, output, index=index: keep(index, output)))
        handles.append(parts.decoder.register_forward_pre_hook(enter, with_kwargs=True))
        with contextlib.suppress(_DecoderReachedError):
            box.logit(box.pixels.detach(), box.question.detach())
        players = entered[0][0, box.image_positions]
        total = torch.autograd.grad(players.sum(), list(outputs.values()), allow_unused=True, retain_graph=True)
        used = 1 + max(index for index, gradient in zip(outputs, total, strict=True) if gradient is not None)
        tokens = outputs[used - 1]
        found = _members(players, tokens)
    if not bool(found.any(dim=1).all()):
        raise ValueError("an image player depends on no token of the vision tower; rollout cannot follow it")
    return Merge(found, used)
