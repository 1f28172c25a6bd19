#!/usr/bin/env bash
# shapiq's permutation sampling of pairs spends two thirds of its calls on coalitions that it has asked before.
#
# Versions: Python 3.11.7, shapiq 1.4.1, numpy 2.4.6.
# An approximator's budget is a number of evaluations. PermutationSamplingSII walks along a permutation and asks, for
# each pair of neighbours i, j behind S, for S, S+i, S+j and S+i+j; two of the four belong to the next pair too, and they
# are asked again. At order 2 and 30 players, of a budget of 2,000 it uses so many calls and so many distinct coalitions:
#     PermutationSamplingSII  1,937 calls, 626 distinct
# while KernelSHAPIQ, SHAPIQ and SVARMIQ ask for 2,000 distinct ones. The library keeps no cache in between: a game that
# runs a model pays for each call. The part of the budget that is not used is told only in estimation_budget.
# Seen: the lines "PermutationSamplingSII calls=... distinct=..." and so on.
#
# Usage: bash findings/permutation_sampling_asks_again.sh    (network needed; a minute; nothing is kept)
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet shapiq==1.4.1 numpy==2.4.6
venv/bin/python -W ignore - <<'PY' | tee seen.txt
import numpy as np
import shapiq
from shapiq import approximator


class Counting(shapiq.Game):
    def __init__(self, n):
        random = np.random.default_rng(0)
        self.single, self.pair = random.normal(size=n), np.triu(random.normal(size=(n, n)), 1)
        self.asked = []
        super().__init__(n_players=n, normalize=False)

    def value_function(self, coalitions):
        rows = np.atleast_2d(coalitions).astype(float)
        self.asked += [row.tobytes() for row in rows]
        return rows @ self.single + np.einsum("bi,ij,bj->b", rows, self.pair, rows)


for name in ("PermutationSamplingSII", "KernelSHAPIQ", "SHAPIQ", "SVARMIQ"):
    game = Counting(30)
    sampler = getattr(approximator, name)(n=30, max_order=2, index="SII", random_state=0)
    values = sampler.approximate(2000, game)
    print(f"{name} calls={len(game.asked)} distinct={len(set(game.asked))} told={values.estimation_budget}")
PY
diff seen.txt - <<'SEEN'
PermutationSamplingSII calls=1937 distinct=626 told=1937
KernelSHAPIQ calls=2000 distinct=2000 told=2000
SHAPIQ calls=2000 distinct=2000 told=2000
SVARMIQ calls=2000 distinct=2000 told=2000
SEEN
