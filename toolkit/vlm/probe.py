"""Is a model scored as itself? The engine against the plain path, and that against the ordinary forward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from toolkit.datasets.sample import Sample
from toolkit.vlm.autocast import without_autocast
from toolkit.vlm.checkpoint import CheckpointError
from toolkit.vlm.game import SampleGame
from toolkit.vlm.masks import UnknownAttentionError, layer_windows
from toolkit.vlm.plain import plain_values
from toolkit.vlm.prompt import render

if TYPE_CHECKING:
    from toolkit.typing import Coalitions
    from toolkit.vlm.model import LoadedVLM
    from toolkit.vlm.view import View

EXACT = 1e-4
"""Largest difference of a log-probability in float32."""

_QUESTION = "is there a red circle ?"
_SIDE = 96


@dataclass(frozen=True)
class ScoringCheck:
    """How far apart three ways of computing one probability are; differences are of log-probabilities.

    Attributes:
        engine: Largest difference between the engine and one plain pass per coalition, over random coalitions.
        forward: Difference between the plain path with all players and the model's ordinary forward pass.
        spread: In half precision and with quantised weights, the largest difference of the model's ordinary forward
            pass between a batch of 1 and a batch of 4, over its 16 most probable tokens; at least one step of the
            format in which the logits are, which where batches agree by chance is their resolution. Else 0.
        tolerance: What ``engine`` and ``forward`` may be: 1e-4 in float32, else three times the spread.
        n_coalitions: Number of random coalitions.
    """

    engine: float
    forward: float
    spread: float
    tolerance: float
    n_coalitions: int

    @property
    def passed(self) -> bool:
        """Whether both differences keep to the tolerance; one that is not a number does not."""
        return self.engine <= self.tolerance and self.forward <= self.tolerance


def check_scoring(vlm: LoadedVLM, *, n: int = 4, seed: int = 0) -> ScoringCheck:
    """Compare the three ways on one drawn image and one question; about ten plain passes.

    The scored token is the one that the model finds most probable, so that the probability is not a small one.

    Example:
        >>> import toolkit
        >>> from toolkit.vlm.probe import check_scoring
        >>> check_scoring(toolkit.load_vlm("tiny-llava-grounded", device="cpu")).passed
        True

    Args:
        vlm: A loaded model.
        n: Number of random coalitions.
        seed: Draws the image and the coalitions.

    Raises:
        ValueError: The model cannot be asked the question.
    """
    rng = np.random.default_rng(seed)
    sample = Sample("probe", _image(rng), _question(vlm), instruction="")
    view = vlm.view(sample)
    ordinary, spread = _forward(vlm, sample)
    token = int(ordinary.argmax())
    game = SampleGame(vlm, sample, view, target="", token_ids=(token,), baseline="blur")
    chosen = _coalitions(view, n, rng)
    plain = np.log(plain_values(game, chosen))
    request, inverse = game.request(chosen)
    engine = vlm.engine.log_probabilities([request])[0][inverse]
    return ScoringCheck(
        engine=float(np.abs(engine - plain).max()),
        forward=float(abs(plain[0] - ordinary[token])),
        spread=spread,
        tolerance=EXACT if _is_exact(vlm) else 3 * spread,
        n_coalitions=n,
    )


def require_scoring(vlm: LoadedVLM) -> ScoringCheck:
    """The check, passed.

    Raises:
        CheckpointError: The model would be scored as another than it is; the message has the numbers.
    """
    try:
        layer_windows(vlm.model)  # a window may be longer than what is probed
        check = check_scoring(vlm)
    except UnknownAttentionError as error:
        raise CheckpointError(f"{vlm.name}: {error}") from error
    if not check.passed:
        raise CheckpointError(
            f"{vlm.name} would not be scored as itself: over {check.n_coalitions} coalitions of one image the scoring "
            f"engine differs from the model's plain passes by {check.engine:.2g} in log-probability, and with all "
            f"players these differ from its ordinary forward pass by {check.forward:.2g}; {check.tolerance:.2g} is "
            f"allowed. The adapter of {vlm.family} does not describe this model: load it in float32, or report its "
            "config.json"
        )
    return check


def _is_exact(vlm: LoadedVLM) -> bool:
    return vlm.model.dtype == torch.float32 and vlm.quantisation is None


def _image(rng: np.random.Generator) -> Image.Image:
    """A smooth image with structure at every place."""
    coarse = Image.fromarray(rng.integers(0, 255, (12, 12, 3), dtype=np.uint8))
    return coarse.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)


def _question(vlm: LoadedVLM) -> str:
    """The question, or the first words of a closed vocabulary that lacks it."""
    tokenizer = vlm.adapter.processor.tokenizer
    unknown = tokenizer.unk_token_id
    ids = tokenizer(_QUESTION, add_special_tokens=False)["input_ids"]
    if unknown is None or unknown not in ids:
        return _QUESTION
    words = sorted(
        word for word in tokenizer.get_vocab() if word.isalpha() and word not in tokenizer.all_special_tokens
    )
    return " ".join(words[:6])


def _coalitions(view: View, n: int, rng: np.random.Generator) -> Coalitions:
    """All players, and random coalitions of every density."""
    chosen = rng.random((n + 1, view.players.n)) < rng.random((n + 1, 1))
    chosen[0] = True
    return np.asarray(chosen, dtype=np.bool_)


@torch.inference_mode()
@without_autocast
def _forward(vlm: LoadedVLM, sample: Sample) -> tuple[NDArray[np.float64], float]:
    """Log-probabilities (vocabulary,) of the ordinary forward pass, and how far batches of 1 and 4 are apart."""
    text, _ = render(vlm.adapter, sample)

    def logits(n: int) -> Tensor:
        inputs = vlm.adapter.processor(text=[text] * n, images=[sample.image] * n, return_tensors="pt")
        inputs = inputs.to(vlm.model.device, vlm.model.dtype)
        found: Tensor = vlm.model(**inputs, use_cache=False).logits[0, -1].float()
        return found

    one = logits(1)
    logs = one.log_softmax(-1)
    values = np.asarray(logs.double().cpu().numpy())
    if _is_exact(vlm):
        return values, 0.0
    likely = logs.topk(16).indices
    apart = float((logits(4).log_softmax(-1) - logs)[likely].abs().max())
    step = torch.finfo(vlm.model.dtype).eps * float(one[likely].abs().max())
    return values, max(apart, step)
