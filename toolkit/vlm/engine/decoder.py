"""The family-neutral inside of a vision-language model: encode pictures, embed words, run the decoder under any mask.

Training and scoring both pack several queries behind one picture: ``[prefix | query | query | ...]``. Each query
attends to the prefix and, causally, to itself, and its positions restart after the prefix, so every query computes
exactly what it would compute alone in a row of its own. Queries that begin alike may share their beginning.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor
from transformers import PreTrainedModel

from toolkit.vlm.engine.masks import layer_biases, mask_argument


def encode_images(model: PreTrainedModel, pixel_inputs: Mapping[str, Tensor], n_images: int) -> Tensor:
    """Image tokens of pictures that give equally many tokens each.

    Args:
        model: A model with ``get_image_features``.
        pixel_inputs: What the image processor returned for the model: ``pixel_values`` and, where the family has a
            grid, ``image_grid_thw``; the rows of all pictures one after the other.
        n_images: Number of pictures.

    Returns:
        Shape (n_images, n_image_tokens, dim), in the order of the placeholders in the prompt.
    """
    features = cast(Any, model).get_image_features(**pixel_inputs).pooler_output
    rows = features if isinstance(features, Tensor) else torch.cat(list(features), dim=0)
    return rows.reshape(n_images, -1, rows.shape[-1])


def embed(model: PreTrainedModel, ids: Tensor) -> Tensor:
    """Input embeddings, shape (*ids.shape, dim)."""
    return cast(Tensor, model.get_input_embeddings()(ids))


def decode(
    model: PreTrainedModel, embeddings: Tensor, mask: Tensor, position_ids: Tensor, index: Tensor | None = None
) -> Tensor:
    """Last hidden states of the decoder under an explicit mask and explicit positions.

    Args:
        model: A model of any family.
        embeddings: Shape (batch, length, dim).
        mask: Bool (batch, length, length): row may attend to column. Every row must attend to something.
        position_ids: Shape (batch, length), or (3, batch, length) for a decoder with M-RoPE.
        index: Shape (length,) or (batch, length): each token's index in the sequence that transformers would be given,
            which is where a sliding window is cut; a decoder without windows needs none.

    Returns:
        Shape (batch, length, dim), after the final norm.

    Raises:
        ValueError: The decoder has a sliding window and no index is given, or layers of an unknown type.
    """
    output = cast(Any, model).get_decoder()(
        inputs_embeds=embeddings,
        attention_mask=mask_argument(model, layer_biases(model, mask, embeddings.dtype, index)),
        position_ids=position_ids,
        use_cache=False,
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
        model: Any of the three families.
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
