#!/usr/bin/env bash
# shapiq's permutation sampling answers 0.0 for a pair that no permutation put side by side, and does not say so.
#
# Versions: Python 3.11.7, shapiq 1.4.1, numpy 2.4.6.
# PermutationSamplingSII sees a pair only where a random permutation has the two as neighbours. Here all 66 pairs of
# 12 players interact, none of them by 0. What was seen is exact at once (the game has effects of pairs and no more);
# what was not is missing from interaction_lookup, but values[i, j] and get_n_order_values(2) give 0.0 for it, as for a
# pair without an interaction. With a budget of 400, a tenth of the 4,096 coalitions, 31 pairs read as 0.0 so. With a
# budget below one walk it asks for a single coalition and returns zeros for all pairs. No warning in either case;
# PermutationSamplingSTII warns when its budget is below one walk, and lists its zeros as if they had been estimated.
# Seen, per budget: calls, pairs that were seen, pairs that read as 0.0, largest error of a seen pair, warnings.
#
# Usage: bash findings/pairs_never_asked_read_as_zero.sh    (network needed; a minute; nothing is kept)
set -euo pipefail
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT
cd "$work"
python3 -m venv venv
venv/bin/pip install --quiet shapiq==1.4.1 numpy==2.4.6
venv/bin/python - <<'PY' | tee seen.txt
import warnings
from itertools import combinations

import numpy as np
from shapiq import approximator

N = 12
random = np.random.default_rng(0)
single, pair = random.normal(size=N), np.triu(random.normal(size=(N, N)), 1)
calls = 0


def game(rows):
    global calls
    rows = np.atleast_2d(rows).astype(float)
    calls += len(rows)
    return rows @ single + np.einsum("bi,ij,bj->b", rows, pair, rows)


assert all(abs(pair[i, j]) > 1e-3 for i, j in combinations(range(N), 2))
for name in ("PermutationSamplingSII", "PermutationSamplingSTII"):
    for budget in (40, 100, 400, 1000):
        calls = 0
        with warnings.catch_warnings(record=True) as said:
            warnings.simplefilter("always")
            values = getattr(approximator, name)(n=N, max_order=2, random_state=0).approximate(budget, game)
        pairs = list(combinations(range(N), 2))
        read = {(i, j): values[i, j] for i, j in pairs}
        zero = sum(value == 0.0 for value in read.values())
        matrix = values.get_n_order_values(2)
        assert all(matrix[i, j] == read[i, j] for i, j in pairs)
        error = max((abs(read[p] - pair[p]) for p in pairs if read[p] != 0.0), default=0.0)
        seen = sum(p in values.interaction_lookup for p in pairs)
        print(f"{name} budget={budget} calls={calls} listed={seen} zero={zero} exact={error < 1e-9} warned={len(said)}")
PY
diff seen.txt - <<'SEEN'
PermutationSamplingSII budget=40 calls=1 listed=0 zero=66 exact=True warned=0
PermutationSamplingSII budget=100 calls=69 listed=11 zero=55 exact=True warned=0
PermutationSamplingSII budget=400 calls=341 listed=35 zero=31 exact=True warned=0
PermutationSamplingSII budget=1000 calls=953 listed=62 zero=4 exact=True warned=0
PermutationSamplingSTII budget=40 calls=14 listed=66 zero=66 exact=True warned=1
PermutationSamplingSTII budget=100 calls=14 listed=66 zero=66 exact=True warned=1
PermutationSamplingSTII budget=400 calls=278 listed=66 zero=0 exact=True warned=0
PermutationSamplingSTII budget=1000 calls=806 listed=66 zero=0 exact=True warned=0
SEEN
