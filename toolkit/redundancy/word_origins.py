"""Which words of an answer came from the image, which from the question, and which the model would have said anyway.

P(word | the answer before it) is what is there with neither image nor question, the language prior, plus the Shapley
value of the whole image, plus that of the question, in the game in which the image is one player and every word of the
question another. A word with a large probability and nothing from the image is what a hallucinated one looks like.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from toolkit.datasets.sample import Sample
from toolkit.games.game import Players
from toolkit.stats.estimates import clustered_mean
from toolkit.typing import Coalitions, Values
from toolkit.vlm.answer_parts import AnswerPart, Per
from toolkit.vlm.model import LoadedVLM
from toolkit.vlm.sample_game import score_games


@dataclass(frozen=True)
class WordOrigin:
    """Where one word of an answer comes from; ``prior + image + question == probability``.

    Attributes:
        part: The word.
        probability: P(word | image, question, the answer before it).
        prior: The same with neither image nor question.
        image: Shapley value of the image, an estimate over random orders.
        low: Lower end of its 95 % bootstrap interval over pairs of orders.
        high: Upper end.
        question: Sum of the Shapley values of the question's words.
    """

    part: AnswerPart
    probability: float
    prior: float
    image: float
    low: float
    high: float
    question: float


def word_origins(
    vlm: LoadedVLM,
    sample: Sample,
    answer: str | None = None,
    *,
    per: Per = "word",
    baseline: str = "blur",
    n_orders: int = 64,
    seed: int = 0,
) -> tuple[WordOrigin, ...]:
    """Split the probability of every word of an answer into language prior, image and question.

    phi_image = mean over random orders of the players of v(before + image) - v(before), where before are the words of
    the question that stand before the image. Orders come in antithetic pairs, an order and its reverse. All words of
    the answer read the same rows behind two images: the whole one and the removed one.

    Args:
        vlm: The model.
        sample: The image and question.
        answer: The answer that is forced; None takes the model's own.
        per: ``"word"`` or ``"token"``.
        baseline: What a removed image looks like.
        n_orders: Random orders, even and at least 4; at most 2 ``n_orders`` + 4 rows are decoded.
        seed: Draws the orders.

    Raises:
        ValueError: Too few or an odd number of orders, or parts that have no probability.
        TargetError: An answer that cannot be split.

    Reference: Castro et al., Polynomial calculation of the Shapley value, 2009; language prior against image in what a
        model writes: EAGLE, arXiv 2509.22496.

    Example:
        >>> import toolkit
        >>> from toolkit.redundancy.word_origins import word_origins
        >>> vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
        >>> sample = toolkit.load_samples("scenes-existence", n=1)[0]
        >>> (word,) = word_origins(vlm, sample, "yes", n_orders=8)
        >>> round(word.prior + word.image + word.question - word.probability, 9) == 0
        True
    """
    if n_orders < 4 or n_orders % 2:
        raise ValueError(f"orders come in pairs, of which an interval needs two: expected 4, 6, ..., got {n_orders}")
    if per == "sentence":
        raise ValueError("a sentence has log-probabilities, which have no such parts; ask per 'word' or 'token'")
    parts = vlm.answer_parts(sample, answer, per=per)
    games = [vlm.game(sample, target=part.target, baseline=baseline) for part in parts]
    asked = _before(games[0].players, n_orders, np.random.default_rng(seed))
    values = score_games([(game, asked) for game in games])
    return tuple(_origin(part, found, seed) for part, found in zip(parts, values, strict=True))


def _before(players: Players, n_orders: int, rng: np.random.Generator) -> Coalitions:
    """Everybody, nobody, the words before the image in every order, and these with the image."""
    image, text = players.of("image"), np.flatnonzero(players.of("text"))
    some = np.zeros((n_orders, players.n), dtype=np.bool_)
    for i in range(0, n_orders, 2):
        order = rng.permutation(len(text) + 1)  # the last player is the image
        place = int(np.flatnonzero(order == len(text))[0])
        some[i, text[order[:place]]] = True
        some[i + 1, text[order[place + 1 :]]] = True
    ends = np.stack([np.ones(players.n, dtype=np.bool_), np.zeros(players.n, dtype=np.bool_)])
    return np.concatenate([ends, some, some | image])


def _origin(part: AnswerPart, values: Values, seed: int) -> WordOrigin:
    before, with_image = values[2:].reshape(2, -1)
    n = len(before)
    image = clustered_mean(with_image - before, np.arange(n) // 2, rng=np.random.default_rng(seed))
    whole, prior = float(values[0]), float(values[1])
    return WordOrigin(part, whole, prior, image.mean, image.low, image.high, whole - prior - image.mean)
