"""The rules that need no model: gates known by construction, noise, renamed players."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from toolkit.audit.metrics.controls import control, kept_share
from toolkit.audit.metrics.gate_games import GAMES, N_IMAGE, N_TEXT, NOISE_SD, STEPS, evidence, players
from toolkit.audit.metrics.validity_panel import JudgedEntry, judge
from toolkit.games.analytic import NoisyGame, SumOfUnanimityGames
from toolkit.games.derived import RenamedGame, random_order
from toolkit.games.game import CachedGame, Game
from toolkit.synergy.metrics import Metric

N_DRAWS, N_NOISE, N_RENAMED = 40, 300, 12

_GATES = {"gate AND": "AND (synergy)", "gate OR": "OR (redundancy)", "gate XOR": "XOR", "gate additive": "additive"}

Floats = NDArray[np.float64]


def _gate(check: str) -> CachedGame:
    return CachedGame(GAMES[_GATES[check]]())


def _score(metric: Metric, game: Game, kind: str, known: Floats | None = None, seed: int = 0) -> float:
    known = evidence() if known is None else known
    return metric(game, control(kind, known, game.players, "", seed=seed), STEPS).value


def _draws(metric: Metric, game: Game) -> Floats:
    return np.array([_score(metric, game, "random", seed=seed) for seed in range(1, N_DRAWS + 1)])


def gate_entries(metric: Metric) -> list[JudgedEntry]:
    """Oracle > random > anti-oracle on AND, OR and XOR; nothing on an additive game; redundancy visible."""
    name, entries = metric.spec.name, []
    for check in ("gate AND", "gate OR", "gate XOR"):
        game = _gate(check)
        oracle, anti = _score(metric, game, "oracle"), _score(metric, game, "anti-oracle")
        random = _draws(metric, game)
        error = 1.96 * float(random.std(ddof=1)) / np.sqrt(len(random))
        gap = min(oracle - random.mean(), random.mean() - anti)
        note = f"oracle {oracle:+.3f}, random {random.mean():+.3f}, anti-oracle {anti:+.3f}"
        entries.append(judge(name, check, check.removeprefix("gate "), gap, gap - error, gap + error, N_DRAWS, note))
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


def half_right_entry(metric: Metric) -> JudgedEntry:
    """What right words with wrong cells, and the reverse, keep of the oracle's advantage on an AND gate."""
    game = _gate("gate AND")
    words, cells, oracle, anti = (
        [_score(metric, game, kind)] for kind in ("words only", "cells only", "oracle", "anti-oracle")
    )
    kept = kept_share(words, cells, oracle, anti)
    note = "oracle and anti-oracle score alike" if np.isnan(kept) else ""
    return judge(metric.spec.name, "half right, games", "AND", kept, kept, kept, 1, note)


def noise_entries(metrics: Sequence[Metric]) -> list[JudgedEntry]:
    """Mean score over games that are independent noise, in standard errors; every other map is binary."""
    nothing = SumOfUnanimityGames(players(), {})
    values = np.full((len(metrics), N_NOISE), np.nan)
    for seed in range(N_NOISE):
        game = CachedGame(NoisyGame(nothing, NOISE_SD, 10_000 + seed))
        shuffled = evidence()[random_order(players(), np.random.default_rng(seed))]
        kind = ("oracle", "random")[seed % 2]
        values[:, seed] = [_score(metric, game, kind, shuffled, seed) for metric in metrics]
    entries = []
    for metric, row in zip(metrics, values, strict=True):
        mean, error = float(np.nanmean(row)), float(np.nanstd(row, ddof=1) / np.sqrt(np.isfinite(row).sum()))
        z = mean / error if error > 0 else float("nan")
        note = f"mean {mean:+.4f}, standard error {error:.4f}, noise of sd {NOISE_SD:g}"
        entries.append(judge(metric.spec.name, "noise alone", "noise", z, z - 1.96, z + 1.96, N_NOISE, note))
    return entries


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
