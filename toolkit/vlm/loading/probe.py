"""Probe a model: the engine must give the values of ordinary forward passes on a test image.

The engine takes a model apart: it encodes pictures, merges tokens and builds masks itself. Where a family does one of
these in another way (another mask, features added in deeper layers, capped logits), its numbers would be wrong without
a sign. This asks both ways, about a picture and a question that any model can be shown, and compares log-probabilities.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from transformers import PreTrainedModel

from toolkit.datasets.sample import Sample
from toolkit.vlm.engine.autocast import without_autocast
from toolkit.vlm.engine.engine import Engine
from toolkit.vlm.engine.fingerprint import precision
from toolkit.vlm.engine.masks import UnknownAttentionError, layer_windows
from toolkit.vlm.engine.request import Query, Request
from toolkit.vlm.loading.checkpoint import CheckpointError
from toolkit.vlm.prompt import render, unknown_words
from toolkit.vlm.reference import last_logits, plain_batch
from toolkit.vlm.thoughts import OPEN

if TYPE_CHECKING:
    from toolkit.vlm.model import LoadedVLM
    from toolkit.vlm.view import View

EXACT = 1e-4
"""What float32 may differ by, in log-probability."""

SPREADS = 3
"""How many times the plain path's own spread between batch sizes a shorter format may differ by."""

_BASELINE = "blur"
_QUESTION = "is there a red circle ?"
_SIDE = 112
_N_TOKENS = 5


@dataclass(frozen=True)
class ScoringCheck:
    """How far engine, plain path and transformers' own forward lie apart, in log-probability.

    A difference is the largest one in float32. In shorter formats it is the root mean square, since single logits are
    off by a unit of their last place or two there, by rounding alone.

    Attributes:
        engine: Difference between engine and plain path, over the random coalitions and the full one.
        forward: The same between the engine and ``model(**processor output)``, everything present.
        spread: The same between the plain path one by one and in one batch, and at least a unit in the last place of
            the largest logit, as on a CPU batches often agree to the bit; None in float32, where it is not asked.
        tolerance: What ``engine`` and ``forward`` may be.
        dtype: Format in which the model computes.
        n_coalitions: Number of random coalitions.
        n_passes: Ordinary passes that were needed, rows of batches counted.
        thinking: Probability that the answer to the test question begins with thoughts, ``<think>``.
    """

    engine: float
    forward: float
    spread: float | None
    tolerance: float
    dtype: str
    n_coalitions: int
    n_passes: int
    thinking: float = 0.0

    @property
    def passed(self) -> bool:
        """Whether both are within the tolerance; a value that is no number is not."""
        return math.isfinite(self.tolerance) and max(self.engine, self.forward) <= self.tolerance

    def __str__(self) -> str:
        allowed = f"{self.tolerance:.3g} is allowed in {self.dtype}"
        if self.spread is not None:
            allowed += f", where ordinary passes in batches of 1 and {self.n_coalitions} differ by {self.spread:.3g}"
        return (
            f"{self.n_coalitions} random coalitions of a test picture differ by {self.engine:.3g} in log-probability "
            f"from an ordinary pass each, and everything present by {self.forward:.3g} from transformers' own forward; "
            f"{allowed}"
        )


def check_decoder(model: PreTrainedModel) -> None:
    """Refuse a decoder whose layers may attend in a way that is not known here, whatever a short test would show.

    Raises:
        CheckpointError: A layer type, a window, a chunk size, capped scores or sinks that are not known; it is named.
    """
    try:
        layer_windows(model)
    except UnknownAttentionError as error:
        raise CheckpointError(str(error)) from error


def require_scoring(vlm: LoadedVLM, *, n: int = 4, seed: int = 0) -> ScoringCheck:
    """Refuse a model that is not scored as itself.

    Returns:
        The check that it passed.

    Raises:
        CheckpointError: A decoder that is not known, or numbers beyond the tolerance; the message has them.
    """
    check_decoder(vlm.model)
    found = check_scoring(vlm, n=n, seed=seed)
    if not found.passed:
        raise CheckpointError(
            f"{vlm.name} is not scored as itself: {found}. The adapter of {vlm.family} does not describe this "
            "checkpoint's masks, features or positions: use a released checkpoint of the family, and try "
            "dtype='float32' to see whether it is the precision"
        )
    return found


@torch.inference_mode()
@without_autocast
def check_scoring(vlm: LoadedVLM, *, n: int = 4, seed: int = 0) -> ScoringCheck:
    """Compare engine, plain path and transformers' own forward on one test picture.

    At two places, the first answer token and the one behind the most probable first token, the log-probabilities of
    the five tokens that are most probable there are compared. Costs ``n + 2`` ordinary passes, in formats shorter than
    float32 another ``n``, and one call of the engine.

    Args:
        vlm: The model.
        n: Number of random coalitions; pairs of them share a picture.
        seed: Of the coalitions and of the picture.

    Raises:
        ValueError: Fewer than one coalition.

    Example:
        >>> from toolkit.vlm import load_vlm
        >>> check_scoring(load_vlm("tiny-llava-grounded", device="cpu")).passed
        True
    """
    if n < 1:
        raise ValueError(f"n is {n}; expected at least one random coalition")
    sample = probe_sample(vlm, seed)
    view = vlm.view(sample)
    images, kept = _coalitions(view, n, np.random.default_rng(seed))
    pixels = view.masked(vlm.adapter, _BASELINE, images)
    whole = _forward(vlm, sample)
    first = _first(vlm, view, whole)
    rows = [plain_batch(vlm, view, pixels[i : i + 1], kept[i : i + 1], (first,))[0] for i in range(n + 1)]
    logits = torch.stack(rows)
    tokens = logits[0].topk(_N_TOKENS, dim=-1).indices
    tokens[0, -1] = first if first not in tokens[0] else tokens[0, -1]
    plain = _logs(logits, tokens)
    values = _engine_logs(vlm, view, images, kept, first, tokens)
    ordinary = _logs(whole[None, None], tokens[:1])
    is_exact = _is_exact(vlm)
    spread = None
    if not is_exact:
        together = _logs(plain_batch(vlm, view, pixels[1:], kept[1:], (first,)), tokens)
        spread = max(_size(together - plain[1:], is_exact=False), _rounding(vlm, logits))
    return ScoringCheck(
        engine=_size(values - plain, is_exact=is_exact),
        forward=_size(values[:1, :1] - ordinary, is_exact=is_exact),
        spread=spread,
        tolerance=EXACT if spread is None else SPREADS * spread,
        dtype=vlm.quantisation or str(vlm.model.dtype).removeprefix("torch."),
        n_coalitions=n,
        n_passes=n + 2 + (0 if spread is None else n),
        thinking=_thinking(vlm.adapter.processor.tokenizer, whole),
    )


def probe_sample(vlm: LoadedVLM, seed: int) -> Sample:
    """A picture with structure at every place, and a question of several words that the model's tokenizer knows."""
    coarse = np.random.default_rng(seed).integers(0, 256, (14, 14, 3), dtype=np.uint8)
    image = Image.fromarray(coarse).resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)
    return Sample("scoring check", image, _question(vlm.adapter.processor.tokenizer))


def _question(tokenizer: Any) -> str:
    """The words of one question that a closed vocabulary has; if it has fewer than two, its own first words."""
    unknown = set(unknown_words(tokenizer, _QUESTION))
    known = [word for word in _QUESTION.split() if word not in unknown]
    if len(known) < 2:
        by_id = sorted(tokenizer.get_vocab().items(), key=lambda entry: entry[1])
        words = [word for word, _ in by_id if word.isalnum() and word not in tokenizer.all_special_tokens]
        known = words[:4]
    return " ".join(known)


def _first(vlm: LoadedVLM, view: View, logits: Tensor) -> int:
    """The most probable token that may stand in an answer: an image token there would want a picture of its own."""
    added = vlm.adapter.processor.tokenizer.get_added_vocab().values()
    never = {view.prompt.ids[view.prompt.image_positions[0]], *added}
    allowed = logits.clone()
    allowed[sorted(token for token in never if token < len(logits))] = -torch.inf
    return int(allowed.argmax())


def _thinking(tokenizer: Any, logits: Tensor) -> float:
    """Probability of the token that opens thoughts, by the logits (vocabulary,) of the answer's first token."""
    token = tokenizer.get_vocab().get(OPEN)
    return float(logits.softmax(dim=-1)[token]) if token is not None and token < len(logits) else 0.0


def _coalitions(view: View, n: int, rng: np.random.Generator) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Image players (1 + n, n_image) and words (1 + n, n_text) present: all, then at random, two on each picture."""
    images = np.repeat(rng.random((-(-n // 2), view.players.n_image)) < 0.5, 2, axis=0)[:n]
    kept = rng.random((n, view.players.n_text)) < 0.5
    kept[::2, 0], kept[1::2, -1] = False, False
    everything = np.ones((1, view.players.n), dtype=np.bool_)
    n_image = view.players.n_image
    return np.concatenate([everything[:, :n_image], images]), np.concatenate([everything[:, n_image:], kept])


def _engine_logs(
    vlm: LoadedVLM, view: View, images: NDArray[np.bool_], kept: NDArray[np.bool_], first: int, tokens: Tensor
) -> NDArray[np.float64]:
    """The engine's log-probabilities (n, 2, n_tokens) of first tokens, and of second ones behind the given first.

    An engine of its own is asked, so that counters and batch sizes of the model's are left as they are.
    """
    distinct, number = np.unique(images, axis=0, return_inverse=True)
    now, later = (tuple(place) for place in tokens.tolist())
    queries = [
        Query(int(image), words, context, finals)
        for image, words in zip(number.ravel(), kept, strict=True)
        for context, finals in (((), now), ((first,), later))
    ]
    engine = Engine(vlm.adapter, vlm.model, max_tokens=vlm.engine.tokens.size)
    (values,) = engine.log_probabilities([Request(view, _BASELINE, distinct, queries)])
    logs = values.reshape(len(images), *tokens.shape)
    logs[:, 1] -= logs[:, 0, now.index(first), None]
    return logs


def _forward(vlm: LoadedVLM, sample: Sample) -> Tensor:
    """Logits (vocabulary,) at the end of the prompt, of transformers' own model behind its own processor."""
    inputs = vlm.adapter.processor(text=[render(vlm.adapter, sample)[0]], images=[sample.image], return_tensors="pt")
    inputs = inputs.to(vlm.model.device, vlm.model.dtype)
    inner: Any = vlm.model.model
    kept = getattr(inner, "rope_deltas", None)
    try:
        output = vlm.model(**inputs, use_cache=False, **last_logits(vlm.model, 1))
    finally:
        if hasattr(inner, "rope_deltas"):  # which an ordinary forward leaves on the model for the next one
            inner.rope_deltas = kept
    logits: Tensor = output.logits[0, -1].float()
    return logits


def _logs(logits: Tensor, tokens: Tensor) -> NDArray[np.float64]:
    """Log-probabilities (n, places, n_tokens) of tokens (places, n_tokens), of logits (n, places, vocabulary)."""
    logs = logits.float().log_softmax(dim=-1).double()
    return logs.gather(-1, tokens.expand(len(logits), -1, -1)).cpu().numpy()


def _size(difference: NDArray[np.float64], *, is_exact: bool) -> float:
    """The largest size of a difference, or its root mean square; infinite where it is no number."""
    sizes = np.nan_to_num(np.abs(difference), nan=np.inf)
    return float(sizes.max() if is_exact else np.sqrt(np.square(sizes).mean()))


def _is_exact(vlm: LoadedVLM) -> bool:
    """Whether the model computes in float32 throughout: no shorter weights, and no shorter products either."""
    is_short = "tf32" in precision(vlm.model.device) or "bf16" in precision(vlm.model.device)
    return vlm.model.dtype in (torch.float32, torch.float64) and vlm.quantisation is None and not is_short


def _rounding(vlm: LoadedVLM, logits: Tensor) -> float:
    """One unit in the last place of the largest logit: batches may agree to the bit where other orders cannot."""
    dtype = vlm.model.dtype if vlm.model.dtype != torch.float32 else torch.bfloat16
    largest = float(logits.abs().max())
    return float(torch.finfo(dtype).eps) * 2.0 ** math.floor(math.log2(largest)) if 0 < largest < math.inf else 0.0
