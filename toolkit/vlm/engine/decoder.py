"""The family-neutral inside of a vision-language model: encode pictures, embed words, run the decoder under any mask.

Training and scoring both pack several queries behind one picture: ``[prefix | query | query | ...]``. Each query
attends to the prefix and, causally, to itself, and its positions restart after the prefix, so every query computes
exactly what it would compute alone in a row of its own. Queries that begin alike may share their beginning.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from toolkit.vlm.engine.masks import layer_biases, mask_argument


@dataclass(frozen=True)
class ImageSlots:
    """Where the image tokens of a batch stand, and what a family does with them there.

    Attributes:
        where: Row and column of each image token, row by row and from left to right.
        added: What is added to their hidden states behind the first layers, one layer after the other, each
            (n_slots, dim): DeepStack, arXiv 2406.04334.
        both_ways: Whether the image tokens of a row attend to each other in both directions.
    """

    where: tuple[Tensor, Tensor]
    added: Sequence[Tensor] = ()
    both_ways: bool = False

    def is_image(self, like: Tensor) -> Tensor:
        """Bool (batch, length) of a batch of embeddings (batch, length, dim)."""
        found = torch.zeros(like.shape[:2], dtype=torch.bool, device=like.device)
        found[self.where] = True
        return found

    def seen(self, like: Tensor) -> Tensor | None:
        """Bool (batch, length, length): what is seen whatever the order; None where that is nothing."""
        if not self.both_ways:
            return None
        is_image = self.is_image(like)
        return is_image[:, :, None] & is_image[:, None, :]

    def arguments(self, like: Tensor) -> dict[str, Any]:
        """The arguments with which transformers' decoder adds them itself."""
        return (
            {"visual_pos_masks": self.is_image(like), "deepstack_visual_embeds": list(self.added)} if self.added else {}
        )


def insert_images(
    embeddings: Tensor, features: Tensor, where: tuple[Tensor, Tensor], *, both_ways: bool = False
) -> tuple[Tensor, ImageSlots]:
    """Word embeddings (batch, length, dim) with image tokens in their places.

    Args:
        embeddings: Word embeddings; not changed.
        features: Shape (n_slots, (1 + n_layers) * dim), as ``encode_images`` gives them.
        where: Row and column of each.
        both_ways: Whether they attend to each other in both directions.
    """
    tokens, *added = torch.split(features.to(embeddings.dtype), embeddings.shape[-1], dim=-1)
    return embeddings.index_put(where, tokens), ImageSlots(where, added, both_ways)


def encode_images(
    model: PreTrainedModel, pixel_inputs: Mapping[str, Tensor], n_images: int, n_layers: int = 0
) -> Tensor:
    """Image tokens of pictures that give equally many tokens each.

    Args:
        model: A model with ``get_image_features``.
        pixel_inputs: What the image processor returned for the model: ``pixel_values`` and, where the family has a
            grid, ``image_grid_thw``; the rows of all pictures one after the other.
        n_images: Number of pictures.
        n_layers: Number of decoder layers behind which the family adds more to the image tokens.

    Returns:
        Shape (n_images, n_image_tokens, (1 + n_layers) * dim), in the order of the placeholders in the prompt: each
        token, and behind it what the layers add to it.
    """
    output = cast(Any, model).get_image_features(**pixel_inputs)
    parts = (output.pooler_output, *(output.deepstack_features[:n_layers] if n_layers else ()))
    rows = torch.cat([part if isinstance(part, Tensor) else torch.cat(list(part)) for part in parts], dim=-1)
    return rows.reshape(n_images, -1, rows.shape[-1])


def embed(model: PreTrainedModel, ids: Tensor) -> Tensor:
    """Input embeddings, shape (*ids.shape, dim)."""
    return cast(Tensor, model.get_input_embeddings()(ids))


def decode(
    model: PreTrainedModel,
    embeddings: Tensor,
    mask: Tensor,
    position_ids: Tensor,
    index: Tensor | None = None,
    slots: ImageSlots | None = None,
) -> Tensor:
    """Last hidden states of the decoder under an explicit mask and explicit positions.

    Args:
        model: A model of any family.
        embeddings: Shape (batch, length, dim).
        mask: Bool (batch, length, length): row may attend to column. Every row must attend to something.
        position_ids: Shape (batch, length), or (3, batch, length) for a decoder with M-RoPE.
        index: Shape (length,) or (batch, length): each token's index in the sequence that transformers would be given,
            which is where a sliding window is cut; a decoder without windows needs none.
        slots: The image tokens, where the family does more with them than embed them.

    Returns:
        Shape (batch, length, dim), after the final norm.

    Raises:
        ValueError: The decoder has a sliding window and no index is given, or layers of an unknown type.
    """
    seen = None if slots is None else slots.seen(embeddings)
    output = cast(Any, model).get_decoder()(
        inputs_embeds=embeddings,
        attention_mask=mask_argument(model, layer_biases(model, mask, embeddings.dtype, index, seen)),
        position_ids=position_ids,
        use_cache=False,
        **({} if slots is None else slots.arguments(embeddings)),
    )
    return cast(Tensor, output.last_hidden_state)


def lm_head(model: PreTrainedModel, hidden: Tensor) -> Tensor:
    """Logits, shape (*hidden.shape[:-1], vocabulary)."""
    return cast(Tensor, cast(Any, model).get_output_embeddings()(hidden))


def tree_mask(ends: Tensor) -> Tensor:
    """Bool (batch, length, length) mask of packed rows ``[prefix | tree of queries | padding]``.

    A token attends to itself and to what it descends from: i may attend to j iff j <= i < end_j. The prefix ends with
    the row, so all queries see it; a query of its own ends where the next begins; padding ends at once.

    Args:
        ends: Shape (batch, length): the first column after each token's descendants.
    """
    columns = torch.arange(ends.shape[1], device=ends.device)
    return (columns[:, None] >= columns) & (columns[:, None] < ends[:, None, :])


def prefix_positions(model: PreTrainedModel, ids: Tensor, pixel_inputs: Mapping[str, Tensor]) -> tuple[Tensor, int]:
    """Positions of the tokens of one prompt (template, image tokens, text) and the position that comes next.

    A decoder with M-RoPE gives image tokens the positions of their grid, and text continues at the maximum plus one;
    the others count.

    Args:
        model: A model of any family.
        ids: Token ids (length,), image placeholders included.
        pixel_inputs: The picture's processor output; its grid is read where there is one.

    Returns:
        Positions (length,) or (3, length), and the first position after them.
    """
    inner = model.model
    if not hasattr(inner, "get_rope_index"):
        return torch.arange(len(ids), device=ids.device), len(ids)
    types = (ids == model.config.image_token_id).int()[None]
    positions = inner.get_rope_index(ids[None], types, image_grid_thw=pixel_inputs["image_grid_thw"])[0][:, 0]
    return positions, int(positions.max()) + 1


def text_positions(like: Tensor, start: int, length: int) -> Tensor:
    """Positions ``start, start + 1, ...`` of a stretch of text, in the form ((length,) or (3, length)) of ``like``."""
    positions = torch.arange(start, start + length, device=like.device)
    return positions.expand(*like.shape[:-1], length)
