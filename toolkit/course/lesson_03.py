"""Lesson 03, synergistic faithfulness from first principles: its quiz, its checkers, and two small experiments."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from toolkit.course.checks import Case, Verdict, check
from toolkit.course.my_answers import exercise
from toolkit.course.quiz import Option, Question, Quiz
from toolkit.games.attribution import Attribution
from toolkit.games.game import Players, TableGame
from toolkit.games.interactions import shapley_interaction_index
from toolkit.synergy import synergistic_faithfulness, top_coalitions

QUESTIONS = (
    Question(
        "What does the dividend of {picture, words} measure?",
        (
            Option(
                "What the two create together beyond what each creates alone.",
                "It is v(both) - v(picture) - v(words) + v(neither), positive or negative.",
                right=True,
            ),
            Option(
                "How good the answer is with both.",
                "That is v(both). The dividend subtracts what each part achieves alone.",
            ),
            Option(
                "How important the picture is.",
                "Importance of one part is a first difference; an interaction is a difference of differences.",
            ),
        ),
    ),
    Question(
        "Why is (insertion + deletion) / 2 exactly the Shapley interaction index of {I_k, T_k, rest}?",
        (
            Option(
                "With one further player there are two contexts, rest absent and rest present, each of weight 1/2.",
                "The second difference with the rest absent is the insertion side, with the rest present the "
                "deletion side.",
                right=True,
            ),
            Option(
                "Because both curves use the same model.",
                "Many numbers do. The point is which contexts the index averages over, and with which weights.",
            ),
            Option(
                "It is only approximately so.",
                "It is exact, to rounding, on every game; you checked it. It stops being so once you clip.",
            ),
        ),
    ),
    Question(
        "An explainer that knows nothing gets a published (clipped) score of 0.08. What does it mean?",
        (
            Option(
                "It found 8 % of the synergy.",
                "Noise with mean zero gets 0.076 when its negative half is cut away. Nothing needs to be found.",
            ),
            Option(
                "It is a redundant explainer.", "Redundancy would be a negative number, which clipping turns into 0."
            ),
            Option(
                "Possibly nothing: compare it with the score of noise and of random orders.",
                "A clipped score has no natural zero; it needs a floor measured on the same samples.",
                right=True,
            ),
        ),
    ),
)


def quiz() -> Quiz:
    """The quiz of this lesson."""
    return Quiz(QUESTIONS)


@exercise
def check_dividend(function: Callable[..., Any]) -> Verdict:
    """Check ``dividend(both, image, text, empty)``."""
    cases = [
        Case((1.0, 0.0, 0.0, 0.0), 1.0, "AND: only both together give 1.", "AND"),
        Case((1.0, 1.0, 1.0, 0.0), -1.0, "OR: 1 - 1 - 1 + 0.", "OR"),
        Case((0.0, 1.0, 1.0, 0.0), -2.0, "XOR: 0 - 1 - 1 + 0.", "XOR"),
        Case((1.0, 0.5, 0.5, 0.0), 0.0, "Additive: the parts add up, nothing is left over.", "additive"),
        Case((0.9, 0.6, 0.5, 0.3), 0.1, "Do not forget to add v(neither) back: both parts contain it.", "in between"),
    ]
    return check(function, cases, solved="Four numbers, three signs: that is the whole definition.")


@exercise
def check_index(function: Callable[..., Any]) -> Verdict:
    """Check ``interaction_index(v)`` of players a and b in a game of a, b and r, given as a dict of values."""
    rng = np.random.default_rng(3)

    def case(name: str, values: dict[str, float], hint: str) -> Case:
        alone = values["ab"] - values["a"] - values["b"] + values[""]
        among = values["abr"] - values["ar"] - values["br"] + values["r"]
        return Case((values,), (alone + among) / 2, hint, name)

    keys = ("", "a", "b", "r", "ab", "ar", "br", "abr")
    zeros = dict.fromkeys(keys, 0.0)
    cases = [
        case("AND of a and b", {**zeros, "ab": 1.0, "abr": 1.0}, "Both contexts give 1; their mean is 1."),
        case("a and b work only without r", {**zeros, "ab": 1.0}, "1 without r and 0 with r: the mean is 1/2."),
        case("a, b and r needed", {**zeros, "abr": 1.0}, "0 without r and 1 with r: the mean is 1/2."),
        case("a random game", {key: float(rng.random()) for key in keys}, "With r: v(abr) - v(ar) - v(br) + v(r)."),
    ]
    return check(function, cases, solved="Two contexts, weight 1/2 each: the Shapley interaction index.")


@exercise
def check_floor(function: Callable[..., Any]) -> Verdict:
    """Check ``clipped_mean(sides)``: mean of an array after clipping to [0, 1]."""
    rng = np.random.default_rng(0)
    noise = rng.normal(0, 0.2, (50, 2, 10))
    cases = [
        Case(
            (np.array([0.5, 0.25]),),
            0.375,
            "Nothing to clip here: the plain mean of everything, one number.",
            "inside [0, 1]",
        ),
        Case((np.array([-1.0, 1.0]),), 0.5, "Clip before averaging, as the published metric does.", "clip first"),
        Case((np.array([2.0, 2.0]),), 1.0, "Values above 1 are clipped as well.", "above 1"),
        Case((noise,), float(np.clip(noise, 0, 1).mean()), "np.clip(sides, 0, 1), then the mean of everything."),
    ]
    return check(function, cases, solved="Its value on noise is the floor of the published metric.")


def random_game(rng: np.random.Generator, n_cells: int = 4, n_words: int = 3) -> tuple[TableGame, Attribution]:
    """A game whose values are drawn at random, and a random order of its players."""
    players = Players.make(tuple(f"cell {i}" for i in range(n_cells)), tuple(f"word {i}" for i in range(n_words)))
    game = TableGame(players, rng.random(1 << players.n))
    return game, Attribution(rng.random(players.n), players, "random order", "answer")


def theorem_error(games: int, *, seed: int = 0, steps: int = 10) -> float:
    """Largest distance, over random games and all k, between (ins + del) / 2 and the exact interaction index."""
    rng = np.random.default_rng(seed)
    worst = 0.0
    for _ in range(games):
        game, order = random_game(rng)
        score = synergistic_faithfulness(game, order, steps)
        tops = [top_coalitions(order, modality, score.fractions) for modality in ("image", "text")]
        exact = [shapley_interaction_index(game, cells, words).value for cells, words in zip(*tops, strict=True)]
        worst = max(worst, float(np.abs(score.curve - exact).max()))
    return worst


def noise_scores(sd: float, *, games: int = 4000, steps: int = 10, seed: int = 0) -> dict[str, NDArray[np.float64]]:
    """Signed and clipped area of pure noise: both sides are 0 at k = 0 and N(0, sd) at every other step.

    Returns:
        ``signed`` and ``clipped``, each of shape (games,).
    """
    sides = np.random.default_rng(seed).normal(0, sd, (games, 2, steps + 1))
    sides[:, :, 0] = 0
    k = np.linspace(0, 1, steps + 1)
    clipped = np.clip(sides, 0, 1)
    return {name: np.trapezoid(s.mean(axis=1), k, axis=1) for name, s in (("signed", sides), ("clipped", clipped))}
