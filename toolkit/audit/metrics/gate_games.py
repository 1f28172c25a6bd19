"""Scores on games with a known answer: the numbers of ``CORRECTED_SCORE.md``.

``python -m toolkit.audit.metrics.gate_games`` prints the tables that stand in that file between its
marks; a test keeps both equal.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from math import comb

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from toolkit.audit.metrics.controls import control
from toolkit.games.analytic import NoisyGame, SumOfUnanimityGames, additive, and_gate, or_gate, xor_gate
from toolkit.games.game import CachedGame, Players
from toolkit.synergy.f_syn import total_interaction
from toolkit.synergy.metrics import METRICS, Metric
from toolkit.synergy.ordering import curve_fractions, top_counts
from toolkit.synergy.recovered import SURFACE_RECOVERED

N_IMAGE, N_TEXT, CELLS, WORDS = 36, 6, (14, 21), (1, 3)
"""The embedded world's grid and a question of six words, with two cells and two words that decide."""

STEPS, N_DRAWS, N_NOISE, NOISE_SD = 10, 40, 100, 0.2
SCORES = ("f-syn-paper", "f-syn", "f-syn-recovered", SURFACE_RECOVERED.name)
START, END = "<!-- computed by python -m toolkit.audit.metrics.gate_games -->", "<!-- end of computed numbers -->"


def players() -> Players:
    """The players of every game here."""
    return Players.make(tuple(f"cell {i}" for i in range(N_IMAGE)), tuple(f"word {i}" for i in range(N_TEXT)))


def _single(members: Sequence[int]) -> SumOfUnanimityGames:
    return SumOfUnanimityGames(players(), {tuple(members): 1.0})


def three_way_xor() -> SumOfUnanimityGames:
    """The parity of two cells and one word: everything is joint, and the pair {image, text} does not show it.

    Its dividends are 1 for each of the three players, -2 for each pair and 4 for all three. Those that mix cells with
    the word, -2 - 2 + 4, cancel in the total interaction.
    """
    a, b, w = CELLS[0], CELLS[1], N_IMAGE + WORDS[0]
    pairs: dict[tuple[int, ...], float] = {(a, b): -2.0, (a, w): -2.0, (b, w): -2.0}
    return SumOfUnanimityGames(players(), {(a,): 1.0, (b,): 1.0, (w,): 1.0, **pairs, (a, b, w): 4.0})


def _gate(make: Callable[..., SumOfUnanimityGames]) -> Callable[[], SumOfUnanimityGames]:
    return lambda: make(N_IMAGE, N_TEXT, image=CELLS, text=WORDS)


def _mixture() -> SumOfUnanimityGames:
    """A synergy of 1 between the first cell and word, and a redundancy of .6 between the second ones."""
    a, b, v, w = *CELLS, N_IMAGE + WORDS[0], N_IMAGE + WORDS[1]
    return SumOfUnanimityGames(players(), {(a, v): 1.0, (b,): 0.6, (w,): 0.6, (b, w): -0.6})


def corner_effect(size: float = 1.2) -> SumOfUnanimityGames:
    """A synergy of 1 inside, and an effect of the complete input alone that turns the total interaction round."""
    return SumOfUnanimityGames(players(), {(CELLS[0], N_IMAGE + WORDS[0]): 1.0, tuple(range(N_IMAGE + N_TEXT)): -size})


def _duplicates() -> SumOfUnanimityGames:
    """A word together with either of two cells that show the same."""
    (a, b), w = CELLS, N_IMAGE + WORDS[0]
    return SumOfUnanimityGames(players(), {(a, w): 1.0, (b, w): 1.0, (a, b, w): -1.0})


def _spread() -> SumOfUnanimityGames:
    """A word together with each of eight cells, an eighth each."""
    return SumOfUnanimityGames(players(), {(cell, N_IMAGE + WORDS[0]): 1 / 8 for cell in SPREAD})


def nearly_parity(excess: float) -> SumOfUnanimityGames:
    """The three-way XOR with a little more or less synergy between its first cell and the word."""
    parity = three_way_xor().dividends
    pair = frozenset((CELLS[0], N_IMAGE + WORDS[0]))
    changed = parity | {pair: parity[pair] + excess}
    return SumOfUnanimityGames(players(), {tuple(sorted(term)): weight for term, weight in changed.items()})


SPREAD = tuple(range(10, 18))

UNTUNED: dict[str, tuple[Callable[[], SumOfUnanimityGames], tuple[int, ...]]] = {
    "mixture": (_mixture, (CELLS[0], N_IMAGE + WORDS[0])),
    "corner effect": (corner_effect, (CELLS[0], N_IMAGE + WORDS[0])),
    "duplicates": (_duplicates, (*CELLS, N_IMAGE + WORDS[0])),
    "spread over 8 cells": (_spread, (*SPREAD, N_IMAGE + WORDS[0])),
}
"""Games that no score was made on, each with the evidence of its larger part."""

GAMES: dict[str, Callable[[], SumOfUnanimityGames]] = {
    "AND (synergy)": _gate(and_gate),
    "OR (redundancy)": _gate(or_gate),
    "XOR": _gate(xor_gate),
    "additive": _gate(additive),
    "image only": lambda: _single(CELLS),
    "text only": lambda: _single([N_IMAGE + w for w in WORDS]),
    "three-way XOR": three_way_xor,
}


def evidence(members: Sequence[int] = (*CELLS, N_IMAGE + WORDS[0], N_IMAGE + WORDS[1])) -> NDArray[np.float64]:
    """1 for the deciding players, (n_players,)."""
    found = np.zeros(N_IMAGE + N_TEXT)
    found[list(members)] = 1.0
    return found


def gate_table(metrics: Sequence[str] = SCORES, n_draws: int = N_DRAWS) -> pd.DataFrame:
    """Oracle, random and anti-oracle on every game, by every score.

    Returns:
        One row per game and score: ``game, total, score, oracle, random, random_se, anti``; NaN where the score
        says that there is nothing to score.
    """
    rows = []
    every = {name: (make, evidence()) for name, make in GAMES.items()}
    every |= {name: (make, evidence(members)) for name, (make, members) in UNTUNED.items()}
    for name, (make, known) in every.items():
        game = CachedGame(make())
        total = total_interaction(game).value
        for metric in (METRICS[m] for m in metrics):
            oracle, anti = (_score(metric, game, kind, 0, known) for kind in ("oracle", "anti-oracle"))
            draws = np.array([_score(metric, game, "random", seed, known) for seed in range(1, n_draws + 1)])
            error = float(draws.std(ddof=1) / np.sqrt(n_draws))
            rows.append((name, total, metric.spec.name, oracle, float(draws.mean()), error, anti))
    return pd.DataFrame(rows, columns=["game", "total", "score", "oracle", "random", "random_se", "anti"])


def _score(metric: Metric, game: CachedGame, kind: str, seed: int, known: NDArray[np.float64]) -> float:
    return metric(game, control(kind, known, game.players, "", seed=seed), STEPS).value


def noise_table(metrics: Sequence[str] = SCORES) -> pd.DataFrame:
    """Mean score of the oracle's order over games of independent noise: ``score, scored, mean, se``."""
    nothing = SumOfUnanimityGames(players(), {})
    values = np.array(
        [
            [_score(METRICS[m], game, "oracle", 0, evidence()) for m in metrics]
            for game in (CachedGame(NoisyGame(nothing, NOISE_SD, 20_000 + seed)) for seed in range(N_NOISE))
        ]
    )
    scored = np.isfinite(values).sum(axis=0)
    errors = np.nanstd(values, axis=0, ddof=1) / np.sqrt(scored)
    return pd.DataFrame(
        {"score": list(metrics), "scored": scored / N_NOISE, "mean": np.nanmean(values, axis=0), "se": errors}
    )


def random_level(m: int, n: int, *, n_image: int = N_IMAGE, n_text: int = N_TEXT, steps: int = STEPS) -> float:
    """Mean signed F_syn over all orderings, of a synergy of 1 among m deciding cells and n deciding words; exact.

    At fraction k the c = top_counts(n_image, k) first cells hold all m with chance C(c, m) / C(n_image, m) and none
    with chance C(n_image - c, m) / C(n_image, m), words likewise, and s(k) is the mean of "all and all" (insertion)
    and "any and any" (deletion). F_syn is linear in the game, so the level of any game is the sum of its mixed
    dividends, each times this number.
    """
    fractions = curve_fractions(steps)
    every, some = [], []
    for size, deciding in ((n_image, m), (n_text, n)):
        counts = top_counts(size, fractions).tolist()
        every.append([comb(c, deciding) / comb(size, deciding) for c in counts])
        some.append([1 - comb(size - c, deciding) / comb(size, deciding) for c in counts])
    curve = (np.prod(every, axis=0) + np.prod(some, axis=0)) / 2
    return float(np.trapezoid(curve, fractions))


def limit_level(m: int, n: int) -> float:
    """The same for many cells and words and small steps: (1 + 2 / (m + n + 1) - 1 / (m + 1) - 1 / (n + 1)) / 2."""
    return (1 + 2 / (m + n + 1) - 1 / (m + 1) - 1 / (n + 1)) / 2


def _number(value: float) -> str:
    return "not scored" if np.isnan(value) else f"{value + 0.0:+.3f}".replace("-0.000", "+0.000")


def markdown() -> str:
    """The tables of ``CORRECTED_SCORE.md``, with their marks."""
    table, noise = gate_table(), noise_table()
    lines = [START, "", "| game | D | score | oracle | random | anti-oracle |", "|---|---|---|---|---|---|"]
    for row in table.to_dict("records"):
        scored = not np.isnan(row["random"])
        random = f"{_number(row['random'])} ± {row['random_se']:.3f}" if scored else "not scored"
        lines.append(
            f"| {row['game']} | {_number(row['total'])} | {row['score']} | {_number(row['oracle'])} | {random} | "
            f"{_number(row['anti'])} |"
        )
    lines += [
        "",
        f"Noise of sd {NOISE_SD:g} alone, mean over {N_NOISE} games:",
        "",
        "| score | scored | mean ± standard error |",
        "|---|---|---|",
    ]
    lines += [
        f"| {row['score']} | {row['scored']:.0%} | {_number(row['mean'])} ± {row['se']:.3f} |"
        for row in noise.to_dict("records")
    ]
    lines += [
        "",
        "Mean of signed F_syn over all orderings, for a synergy of 1 among m cells and n words (large grids):",
        "",
    ]
    sizes = (1, 2, 4, 16)
    lines.append("| | " + " | ".join(f"n = {n}" for n in sizes) + " |")
    lines.append("|---|" + "---|" * len(sizes))
    lines += [f"| m = {m} | " + " | ".join(f"{limit_level(m, n):.3f}" for n in sizes) + " |" for m in sizes]
    return "\n".join([*lines, "", END])


if __name__ == "__main__":
    import sys

    sys.stdout.write(markdown() + "\n")
