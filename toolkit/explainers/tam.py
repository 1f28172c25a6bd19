"""Token Activation Map (TAM): the answer token's logit at every hidden state, less that of the context's tokens.

With h_p the final hidden state at position p and w_t the output head's row of token t:

    1  activation   a_t[p] = relu(w_t . h_p)              at image players (a map) and at text tokens (their scores)
    2  interference b[p] = sum_c u_c a_c[p] / sum_c u_c   over the context c, with u_c = a_t[position of c]
    3  causal map   relu(a_t - s b)                       with s = argmin ||a_t - s b||^2, the estimated causal effect
    4  filter       rank Gaussian filter, 3 x 3           in each window, the sorted values weighted by a Gaussian over
                                                          ranks centred on the median, sd = the window's sd / mean

The context is the user's text, question and instruction, as in the authors' code: no template, and not the position
that predicts the answer. Tokens equal to the explained one are left out, since they would subtract the answer from
itself. The map of the first of them is that of the token which the model would write there, not its own; that is theirs
too, and stands for how strongly any word activates the image.

Reference: Li et al., 2025, arXiv 2506.23270.
Adapted for autoregressive VLMs: it is made for them. The explained token is the scored answer token, at its own id.
It presumes that the last hidden states at the picture already spell the answer. Released models were seen to do so;
nothing trains them to, and the tiny models of this package need not, so read the map beside its pointing game.
The filter is made for grids of hundreds of cells. On a coarse grid it gives a cell that stands out alone to all nine
cells of its window, so a map of 6 x 6 cells may point one cell beside its peak; ``window=1`` leaves the filter out.
Scores are non-negative by construction, and text tokens keep step 1. Every stage is available from :func:`stages`.
Cost: one forward pass; memory of plain inference.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from toolkit.datasets.sample import Sample
from toolkit.explainers.base import Need, Passes, inside
from toolkit.explainers.internals.anatomy import anatomy
from toolkit.explainers.internals.scope import hooks
from toolkit.games.attribution import Attribution, Details
from toolkit.games.target import Contrast, Sentence
from toolkit.typing import Regions, Scores
from toolkit.vlm.protocol import VLM, WhiteBox

_ROWS = 256
"""Hidden states whose logits over the whole vocabulary are held at once."""


@dataclass(frozen=True)
class Stages:
    """TAM step by step, for the answer token.

    Attributes:
        activation: Step 1 at the image players, (n_image,), not negative.
        interference: Step 2, (n_image,), not negative.
        scale: The fitted s of step 3.
        causal: Step 3, (n_image,), not negative.
        filtered: Step 4, (n_image,), not negative.
        text: Step 1 at the text players, (n_text,), not negative.
        context: Token ids of the context, in prompt order.
        weights: The context's weights u_c.
    """

    activation: Scores
    interference: Scores
    scale: float
    causal: Scores
    filtered: Scores
    text: Scores
    context: tuple[int, ...]
    weights: Scores


def fitted_scale(activation: Scores, interference: Scores) -> float:
    """The s that minimises ||activation - s interference||^2, at least 0; 0 where there is no interference."""
    power = float(interference @ interference)
    return max(float(activation @ interference) / power, 0.0) if power > 0 else 0.0


def rank_gaussian(grid: NDArray[np.float64], size: int = 3) -> NDArray[np.float64]:
    """Rank Gaussian filter of a non-negative map (rows, columns); the border mirrors the rows next to it.

    A mirrored border shows no cell twice in its own window, so a peak at the border weighs as much as one inside.

    Args:
        grid: The map.
        size: Odd side of the window.

    Raises:
        ValueError: The size is even or not positive.
    """
    if size < 1 or size % 2 == 0:
        raise ValueError(f"the window's side must be odd and positive, got {size}")
    padded = np.pad(grid, size // 2, mode="reflect")
    windows = np.sort(np.lib.stride_tricks.sliding_window_view(padded, (size, size)).reshape(*grid.shape, -1), axis=-1)
    mean = windows.mean(axis=-1, keepdims=True)
    spread = np.divide(windows.std(axis=-1, keepdims=True), mean, out=np.zeros_like(mean), where=mean > 0)
    rank = np.arange(size * size) - (size * size) // 2
    kernel = np.exp(-(rank**2) / (2 * np.maximum(spread, 1e-6) ** 2))
    return np.asarray((windows * kernel).sum(-1) / kernel.sum(-1))


def grid_shape(regions: Regions) -> tuple[int, int]:
    """Rows and columns of the image players, read off where they lie.

    Raises:
        ValueError: They do not form a full grid in row-major order.
    """
    columns = len(np.unique(regions[:, 0].round(6)))
    rows = len(regions) // columns
    tops = regions[:, 1].reshape(rows, -1) if rows * columns == len(regions) else None
    if tops is None or np.abs(tops - tops[:, :1]).max() > 1e-6:
        raise ValueError(f"{len(regions)} image players with {columns} left edges do not form a full grid")
    return rows, columns


def _run(box: WhiteBox) -> tuple[Tensor, Tensor]:
    """Final hidden states (length, dim) and input embeddings (length, dim) of one forward pass."""
    parts = anatomy(box.model)
    hidden: list[Tensor] = []
    entered: list[Tensor] = []

    def enter(_: nn.Module, args: tuple[object, ...], kwargs: dict[str, object]) -> None:
        entered.append(cast(Tensor, kwargs["inputs_embeds"]))

    with torch.no_grad(), hooks([]) as handles:
        norm = cast(nn.Module, parts.decoder.norm)
        handles.append(norm.register_forward_hook(lambda _, __, output: hidden.append(output)))
        handles.append(parts.decoder.register_forward_pre_hook(enter, with_kwargs=True))
        box.logit(box.pixels, box.question)
    return hidden[-1][0], entered[-1][0]


def context_ids(box: WhiteBox, entered: Tensor) -> tuple[Tensor, Tensor]:
    """Positions and ids of the tokens of the user's text: the rows of the embedding table that entered there."""
    table = cast(Tensor, box.model.get_input_embeddings().weight).detach()  # type: ignore[operator]
    where = box.user_positions
    plain = "donot_use_mm_for_euclid_dist"  # the faster way loses the digits that tell equal from close
    return where, torch.cdist(entered[where].float(), table.float(), compute_mode=plain).argmin(dim=1)


def _logits(box: WhiteBox, hidden: Tensor, tokens: Tensor | None = None) -> Tensor:
    """Logits (n, n_tokens), float64, of some tokens (None: all) at hidden states (n, dim), a few rows at a time.

    Those of a whole prompt over a vocabulary would be larger than anything else in the pass.
    """
    head, every = anatomy(box.model).head, slice(None) if tokens is None else tokens
    with torch.no_grad():
        return torch.cat([head(rows)[:, every].double() for rows in torch.split(hidden, _ROWS)])


def stages(box: WhiteBox, shapes: Sequence[tuple[int, int]], *, window: int = 3) -> Stages:
    """All steps of TAM for the scored answer token.

    Args:
        box: The explained game's inside.
        shapes: Rows and columns of the image players, for each image.
        window: Side of the rank Gaussian filter.
    """
    hidden, entered = _run(box)
    where, ids = context_ids(box, entered)
    target = box.target_ids[0]
    real = ids != target
    mapped = ids.clone()
    (mapped[0],) = _logits(box, hidden[where[:1]]).argmax(dim=1)
    where, ids, mapped = where[real], ids[real], mapped[real]
    logits = _logits(box, hidden, torch.cat([torch.tensor([target]).to(mapped), mapped])).clamp(min=0)
    activation = logits[box.image_positions, 0].cpu().numpy()
    weights = logits[where, 0].cpu().numpy()
    others = logits[box.image_positions, 1:].cpu().numpy()
    total = float(weights.sum())
    interference = others @ weights / total if total > 0 else np.zeros_like(activation)
    scale = fitted_scale(activation, interference)
    causal = np.maximum(activation - scale * interference, 0)
    parts = np.split(causal, np.cumsum([rows * columns for rows, columns in shapes])[:-1])
    maps = [rank_gaussian(part.reshape(shape), window).ravel() for part, shape in zip(parts, shapes, strict=True)]
    filtered = np.concatenate(maps)
    text = logits[box.text_positions, 0].cpu().numpy()
    return Stages(activation, interference, scale, causal, filtered, text, tuple(ids.tolist()), weights)


@dataclass(frozen=True)
class Tam:
    """Token Activation Map of the answer token.

    Attributes:
        window: Side of the rank Gaussian filter.
    """

    window: int = 3

    name: ClassVar[str] = "tam"
    reference: ClassVar[str] = "Li et al. 2025, arXiv 2506.23270"
    cost: ClassVar[str] = "1 forward"
    needs: ClassVar[frozenset[Need]] = frozenset({"activations"})
    passes: ClassVar[Passes] = Passes(1)
    deterministic: ClassVar[bool] = True

    def attribute(
        self, vlm: VLM, sample: Sample, *, target: str | None = None, baseline: str = "blur", rng: np.random.Generator
    ) -> Attribution:
        """Explain the target's token; deterministic, ``rng`` is not used."""
        target, box = inside(vlm, sample, target=target, baseline=baseline, refused=(Sentence, Contrast))
        found = stages(box, box.grids, window=self.window)
        scores = np.concatenate([found.filtered, found.text])
        details: Details = {"interference_scale": found.scale, "context_tokens": len(found.context)}
        return Attribution(scores, box.players, self.name, target, n_evaluations=1, details=details)
