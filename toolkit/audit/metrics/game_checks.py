"""The rules that need no model: gates known by construction, noise, renamed players."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from toolkit.audit.metrics.controls import control, gap_between, half_right_floor, kept_share
from toolkit.audit.metrics.gate_games import (
    GAMES,
    N_IMAGE,
    N_TEXT,
    NOISE_SD,
    STEPS,
    UNTUNED,
    evidence,
    nearly_parity,
    players,
)
from toolkit.audit.metrics.validity_panel import JudgedEntry, judge
from toolkit.games.analytic import NoisyGame, SumOfUnanimityGames
from toolkit.games.derived import RenamedGame, random_order
from toolkit.games.game import CachedGame, Game
from toolkit.synergy.metrics import Metric

N_DRAWS, N_NOISE, N_RENAMED, EXCESS = 40, 300, 24, 0.01

_GATES = {"gate AND": "AND (synergy)", "gate OR": "OR (redundancy)", "gate XOR": "XOR", "gate additive": "additive"}

Floats = NDArray[np.float64]


def _gate(check: str) -> CachedGame:
    return CachedGame(GAMES[_GATES[check]]())


def _score(metric: Metric, game: Game, kind: str, known: Floats | None = None, seed: int = 0) -> float:
    known = evidence() if known is None else known
    return metric(game, control(kind, known, game.players, "", seed=seed), STEPS).value


def _draws(metric: Metric, game: Game) -> Floats:
    return np.array([_score(metric, game, "random", seed=seed) for seed in range(1, N_DRAWS + 1)])


def _order_entry(metric: Metric, check: str, subject: str, game: Game, known: Floats | None = None) -> JudgedEntry:
    """Oracle > random > anti-oracle on one game; without a verdict where the metric scores nothing there."""
    oracle, anti = (_score(metric, game, kind, known) for kind in ("oracle", "anti-oracle"))
    random = _draws(metric, game)
    if not np.isfinite([oracle, anti, *random]).all():
        return judge(metric.spec.name, check, subject, np.nan, np.nan, np.nan, N_DRAWS, "not scored")
    gap = gap_between(oracle, float(random.mean()), anti)
    ends = _ends(gap, float(random.std(ddof=1) / np.sqrt(len(random))))
    note = f"oracle {oracle:+.3f}, random {random.mean():+.3f}, anti-oracle {anti:+.3f}"
    return judge(metric.spec.name, check, subject, gap, *ends, N_DRAWS, note)


def gate_entries(metric: Metric) -> list[JudgedEntry]:
    """Oracle > random > anti-oracle on AND, OR, XOR and games nobody tuned on; nothing on an additive game."""
    name = metric.spec.name
    entries = [
        _order_entry(metric, check, check.removeprefix("gate "), _gate(check))
        for check in ("gate AND", "gate OR", "gate XOR")
    ]
    entries += [
        _order_entry(metric, "untuned games", game, CachedGame(make()), evidence(members))
        for game, (make, members) in UNTUNED.items()
    ]
    entries.append(_parity_entry(metric))
    entries.append(_additive_entry(metric))
    game = _gate("gate OR")
    oracle = _score(metric, game, "oracle")
    entries.append(
        judge(name, "redundancy visible", "OR", abs(oracle), abs(oracle), abs(oracle), 1, f"oracle {oracle:+.3f}")
    )
    return entries


def _additive_entry(metric: Metric) -> JudgedEntry:
    """A metric that gives no score where nothing is joint, and says why, is as right as one that gives 0."""
    game = _gate("gate additive")
    scores = [
        metric(game, control(k, evidence(), game.players, ""), STEPS) for k in ("oracle", "random", "anti-oracle")
    ]
    values = [abs(score.value) for score in scores if score.reason is None]
    reasons = sorted({score.reason for score in scores if score.reason is not None})
    value = max(values, default=0.0)
    return judge(metric.spec.name, "gate additive", "additive", value, value, value, 3, "; ".join(reasons))


def _parity_entry(metric: Metric) -> JudgedEntry:
    """How much the oracle's score on a three-way XOR changes with the sign of a small total interaction."""
    more, less = (_score(metric, CachedGame(nearly_parity(excess)), "oracle") for excess in (EXCESS, -EXCESS))
    told = ", ".join(f"{value:+.3f}" if np.isfinite(value) else "not scored" for value in (more, less))
    change = float(np.nan_to_num(more) - np.nan_to_num(less))
    return judge(metric.spec.name, "parity of three", "three-way XOR", change, change, change, 1, told)


def half_right_entry(metric: Metric) -> JudgedEntry:
    """What right words with wrong cells, and the reverse, keep on an AND gate beyond what the steps leave them."""
    game = _gate("gate AND")
    words, cells, oracle, anti = (
        [_score(metric, game, kind)] for kind in ("words only", "cells only", "oracle", "anti-oracle")
    )
    kept = kept_share(words, cells, oracle, anti)
    floor = half_right_floor(evidence(), players(), STEPS)
    note = "oracle and anti-oracle score alike" if np.isnan(kept) else f"{kept:.3f}, of which {floor:.3f} are steps"
    beyond = kept - floor
    return judge(metric.spec.name, "half right, games", "AND", beyond, beyond, beyond, 1, note)


def noise_entries(metrics: Sequence[Metric]) -> list[JudgedEntry]:
    """Mean score over games that are independent noise, as a share of oracle - random; every other map is binary."""
    nothing = SumOfUnanimityGames(players(), {})
    values = np.full((len(metrics), N_NOISE), np.nan)
    for seed in range(N_NOISE):
        game = CachedGame(NoisyGame(nothing, NOISE_SD, 10_000 + seed))
        shuffled = evidence()[random_order(players(), np.random.default_rng(seed))]
        kind = ("oracle", "random")[seed % 2]
        values[:, seed] = [_score(metric, game, kind, shuffled, seed) for metric in metrics]
    entries, gate = [], _gate("gate AND")
    for metric, row in zip(metrics, values, strict=True):
        n = int(np.isfinite(row).sum())
        if n < 2:
            entries.append(judge(metric.spec.name, "noise alone", "noise", np.nan, np.nan, np.nan, n, "not scored"))
            continue
        gap = _score(metric, gate, "oracle") - float(_draws(metric, gate).mean())
        mean, error = float(np.nanmean(row)) / gap, float(np.nanstd(row, ddof=1) / np.sqrt(n)) / abs(gap)
        note = f"mean {mean * gap:+.4f}, standard error {error * abs(gap):.4f}, noise of sd {NOISE_SD:g}"
        entries.append(judge(metric.spec.name, "noise alone", "noise", mean, *_ends(mean, error), n, note))
    return entries


def _ends(mean: float, error: float) -> tuple[float, float]:
    """A 95 % interval from a standard error."""
    return mean - 1.96 * error, mean + 1.96 * error


def ties_entry(metric: Metric) -> JudgedEntry:
    """How much a binary map's score depends on how the players happen to be numbered.

    The game is a sum of cell x word synergies, strong between evidence and evidence and weak elsewhere, so that the
    order among players with equal scores matters a little.
    """
    rng = np.random.default_rng(7)
    known = evidence()
    strength = known + 0.2 * rng.random(known.size)
    pairs = {
        (i, N_IMAGE + j): float(strength[i] * strength[N_IMAGE + j]) for i in range(N_IMAGE) for j in range(N_TEXT)
    }
    total = sum(pairs.values())
    game = CachedGame(SumOfUnanimityGames(players(), {pair: weight / total for pair, weight in pairs.items()}))
    attribution = control("oracle", known, players(), "")
    scores = []
    for _ in range(N_RENAMED):
        renamed = RenamedGame(game, random_order(players(), rng))
        scores.append(metric(renamed, renamed.rename(attribution), STEPS).value)
    gap = float(np.mean(scores) - _draws(metric, game).mean())
    share = float(np.std(scores, ddof=1)) / gap if gap > 0 else float("nan")
    # Of a standard deviation over normal draws: (n - 1) s^2 / sigma^2 is chi-square with n - 1 degrees of freedom.
    free = len(scores) - 1
    low, high = (share * float(np.sqrt(free / stats.chi2.ppf(q, free))) for q in (0.975, 0.025))
    note = f"rms {np.std(scores, ddof=1):.4f}, oracle - random {gap:+.4f}"
    return judge(metric.spec.name, "ties", "sum of synergies", share, low, high, N_RENAMED, note)


def game_entries(metrics: Sequence[Metric]) -> list[JudgedEntry]:
    """All entries that need no model."""
    entries = noise_entries(metrics)
    for metric in metrics:
        entries += [*gate_entries(metric), half_right_entry(metric), ties_entry(metric)]
    return entries
