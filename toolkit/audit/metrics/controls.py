"""Attributions whose quality is known: the evidence, half of it, its opposite, nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from toolkit.games.analytic import and_gate
from toolkit.games.attribution import Attribution
from toolkit.games.game import CachedGame, Players
from toolkit.synergy.f_syn import synergistic_faithfulness

CONTROLS = ("oracle", "random", "anti-oracle", "words only", "cells only", "constant", "image-only")


def control(kind: str, evidence: NDArray[np.float64], players: Players, target: str, *, seed: int = 0) -> Attribution:
    """A control attribution from the evidence of each player, in [0, 1].

    ``oracle`` is the evidence, ``anti-oracle`` its negative, ``words only`` has the right words and the wrong cells,
    ``cells only`` the reverse, ``random`` is a random order drawn from the seed. ``constant`` scores all players 0 and
    ``image-only`` the right cells 1: all words are tied.

    Raises:
        ValueError: Another kind.
    """
    signs = {"oracle": (1, 1), "anti-oracle": (-1, -1), "words only": (-1, 1), "cells only": (1, -1),
             "constant": (0, 0), "image-only": (1, 0)}  # fmt: skip
    if kind == "random":
        scores = np.random.default_rng([seed, players.n]).permutation(players.n).astype(np.float64)
    elif kind in signs:
        image, text = signs[kind]
        scores = np.where(players.of("image"), image, text) * np.asarray(evidence, dtype=np.float64)
    else:
        raise ValueError(f"unknown control {kind!r}; there are: {', '.join(CONTROLS)}")
    return Attribution(scores, players, kind, target)


def localised(evidence: NDArray[np.float64], players: Players, *, most: float = 0.5) -> bool:
    """Whether the evidence points somewhere: some cells but at most half of them, and some words but not all.

    A question about something absent has the whole picture as evidence; no order of cells is right or wrong there, so
    such a sample cannot judge a metric.
    """
    image, text = evidence[players.of("image")] > 0, evidence[players.of("text")] > 0
    return bool(0 < image.mean() <= most and 0 < text.mean() < 1)


def gap_between(oracle: float, random: float, anti: float) -> float:
    """The smaller of the gaps oracle - random and random - anti-oracle: positive where all three are in order."""
    return min(oracle - random, random - anti)


def half_right_floor(evidence: NDArray[np.float64], players: Players, steps: int) -> float:
    """What the steps of F_syn's curve leave half-right maps on an AND gate of the same evidence; exact.

    With few words a curve takes all of them before its last step, and what is asked there is no joint effect that the
    map has found. A share of oracle - anti-oracle, as ``kept_share``; NaN where these two score alike.
    """
    known = evidence > 0
    image, text = known[players.of("image")], known[players.of("text")]
    game = CachedGame(and_gate(image.size, text.size, image=image, text=text))
    kinds = ("words only", "cells only", "oracle", "anti-oracle")
    maps = [control(kind, known.astype(np.float64), game.players, "") for kind in kinds]
    words, cells, oracle, anti = ([synergistic_faithfulness(game, one, steps).value] for one in maps)
    return kept_share(words, cells, oracle, anti)


def kept_share(words: Sequence[float], cells: Sequence[float], oracle: Sequence[float], anti: Sequence[float]) -> float:
    """Share of the oracle's advantage over the anti-oracle that the half-right maps keep, averaged over both halves.

    ((words - anti) + (cells - anti)) / (2 (oracle - anti)), of means over samples; 0 for a metric of what is joint.
    """
    w, c, o, a = (float(np.mean(values)) for values in (words, cells, oracle, anti))
    return (w + c - 2 * a) / (2 * (o - a)) if o != a else float("nan")
