"""P(yes | what is left) of an existence question at any coalition of cells and words, in closed form.

The balanced world draws a scene, then yes or no, a group of kinds (common or rare) and one of the n(scene) different
pairs of colour and kind of that group that are present (yes) or of the 24 - n(scene) that are absent (no), so

    P(yes, pair | scene) = 1/4 [pair present] / n(scene),   P(no, pair | scene) = 1/4 [pair absent] / (24 - n(scene)).

Hidden words: both are summed over the pairs that the words left allow (``an`` gives orange away). Hidden cells: both
are averaged over what may lie there. ``base_scene`` draws a common thing, a rare one, perhaps one plain kind several
times again, and the rest from all kinds. ``_hidden_things`` sums over which of them are in sight; those that are not
fall into the 24 pairs of a group as balls into boxes, and n(scene) follows from how many boxes are newly taken.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from functools import lru_cache
from itertools import product
from math import comb, perm
from typing import NamedTuple

from toolkit.scenes.questions import COLOUR_NAMES
from toolkit.scenes.vocabulary import GRID, KINDS, PLAIN
from toolkit.scenes.world import COMMON_PLAIN, RARE_PLAIN, Scene

Pair = tuple[str, str]
_GROUPS = (COMMON_PLAIN, RARE_PLAIN)
_N_CELLS, _N_COLOURS, _N_PAIRS = GRID * GRID, len(COLOUR_NAMES), len(COLOUR_NAMES) * len(KINDS)
_GROUP = _N_COLOURS * len(COMMON_PLAIN)
_REPEATS = [(PLAIN[0], 0, 0.4), *((kind, times, 0.6 / 4 / len(PLAIN)) for kind in PLAIN for times in (2, 3, 4, 5))]


class _Hidden(NamedTuple):
    """Things out of sight: the repeated kind and how often, whether the common and the rare one are, and the rest."""

    repeated: str
    times: int
    group: tuple[bool, bool]
    rest: int


def yes_probability(scene: Scene, question: str, cells: Sequence[bool], words: Sequence[bool]) -> float:
    """P(yes | the cells and words in sight), the Bayes value of v(S) for the answer ``yes``.

    Args:
        scene: A scene of ``base_scene``.
        question: ``is there a red circle ?``.
        cells: Which of the 36 cells are in sight, in reading order.
        words: Which of the question's six words are.
    """
    seen = [(t.colour, t.kind) for t in scene.objects if cells[t.row * GRID + t.column]]
    yes, no = joint_probability(seen, _N_CELLS - sum(map(bool, cells)), allowed(question, words))
    return yes / (yes + no)


def allowed(question: str, words: Sequence[bool]) -> list[Pair]:
    """The pairs of colour and kind that the words in sight allow."""
    asked = question.split()
    return [
        (colour, kind)
        for colour, kind in product(COLOUR_NAMES, PLAIN)
        if (not words[2] or (colour == "orange") == (asked[2] == "an"))
        and (not words[3] or colour == asked[3])
        and (not words[4] or kind == asked[4])
    ]


def joint_probability(seen: Sequence[Pair], n_hidden: int, asked: Sequence[Pair]) -> tuple[float, float]:
    """P(yes, one of the asked pairs, what the cells in sight show), and the same of no.

    Args:
        seen: Colour and kind of each thing in sight; the other cells in sight are empty.
        n_hidden: How many cells are not in sight.
        asked: Pairs that may have been asked about.
    """
    yes = no = 0.0
    for hidden, weight in _hidden_things(tuple(sorted(Counter(k for _, k in seen).items())), n_hidden).items():
        for kinds, one in zip(_GROUPS, hidden.group, strict=True):
            taken = {pair for pair in seen if pair[1] in kinds}
            ours = {pair for pair in asked if pair[1] in kinds}
            row = hidden.repeated if hidden.times and hidden.repeated in kinds else None
            shares = _shares(
                len(taken),
                sum(kind == row for _, kind in taken),
                len(ours & taken),
                sum(kind == row for _, kind in ours - taken),
                sum(kind != row for _, kind in ours - taken),
                (hidden.times if row else 0, int(one), hidden.rest),
            )
            yes, no = yes + weight * shares[0] / 4, no + weight * shares[1] / 4
    colours = float(_N_COLOURS) ** -len(seen)
    return yes * colours, no * colours


@lru_cache(maxsize=4096)
def _hidden_things(seen: tuple[tuple[str, int], ...], n_hidden: int) -> dict[_Hidden, float]:
    """P(these kinds lie in these cells, the others in sight are empty, and such things are hidden)."""
    counts = Counter(dict(seen))
    found: dict[_Hidden, float] = defaultdict(float)
    for (repeated, times, chance), first, second in product(_REPEATS, (None, *COMMON_PLAIN), (None, *RARE_PLAIN)):
        p = chance * (counts[first] / 3 if first else 1) * (counts[second] / 3 if second else 1)
        same = counts[repeated] - (repeated in (first, second))
        for again in range(min(times, same) + 1) if p else ():
            others = counts.total() - (first is not None) - (second is not None) - again
            ways = p * comb(times, again) * perm(same, again) * float(len(KINDS)) ** -others
            for n in (max(wanted, 2 + times) for wanted in range(4, 9)) if others >= 0 else ():
                rest, out = n - 2 - times - others, n - counts.total()
                if rest >= 0 and out <= n_hidden:
                    places = perm(n_hidden, out) / perm(_N_CELLS, n)
                    key = _Hidden(repeated, times - again, (first is None, second is None), rest)
                    found[key] += ways * perm(n - 2 - times, others) * places / 5
    return found


@lru_cache(maxsize=1 << 16)
def _shares(
    taken: int, taken_row: int, known: int, open_row: int, open_rest: int, balls: tuple[int, int, int]
) -> tuple[float, float]:
    """E[asked and present / present] and E[asked and absent / absent] over the hidden things, in one group.

    ``taken`` pairs are in sight, ``taken_row`` of them of the repeated kind. Of the asked pairs ``known`` are in sight,
    ``open_row`` (of the repeated kind) and ``open_rest`` are not. ``balls``: hidden things of the repeated kind, of the
    group for sure, and of any kind.
    """
    yes = no = 0.0
    asked = known + open_row + open_rest
    for t, p_row in enumerate(_newly_taken(_N_COLOURS - taken_row, _N_COLOURS, balls[0])):
        for f, p_first in enumerate(_newly_taken(_GROUP - taken - t, _GROUP, balls[1])):
            for r, p_rest in enumerate(_newly_taken(_GROUP - taken - t - f, _N_PAIRS, balls[2])):
                present = taken + t + f + r
                anywhere = (f + r) / (_GROUP - taken - t)
                in_row = t / (_N_COLOURS - taken_row) if t else 0.0
                there = known + open_rest * anywhere + open_row * (in_row + (1 - in_row) * anywhere)
                p = p_row * p_first * p_rest
                if p:
                    yes, no = yes + p * there / present, no + p * (asked - there) / (_GROUP - present)
    return yes, no


@lru_cache(maxsize=4096)
def _newly_taken(free: int, boxes: int, balls: int) -> tuple[float, ...]:
    """P(0, 1, ... of the free boxes get a ball), each ball in one of ``boxes`` at random."""
    chances = [1.0]
    for _ in range(balls):
        stay = [p * (boxes - free + s) / boxes for s, p in enumerate(chances)]
        move = [p * max(free - s, 0) / boxes for s, p in enumerate(chances)]
        chances = [a + b for a, b in zip([*stay, 0.0], [0.0, *move], strict=True)]
    return tuple(chances)
