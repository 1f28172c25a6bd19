"""The Bayes values inside the game: what is hidden is summed over, and answers come as often as told."""

from __future__ import annotations

from collections import Counter
from itertools import product
from math import factorial, prod

import numpy as np
import pytest

from toolkit.scenes import questions
from toolkit.scenes.generator import propose
from toolkit.scenes.partial_bayes import allowed, joint_probability, yes_probability
from toolkit.scenes.questions import COLOUR_NAMES
from toolkit.scenes.vocabulary import GRID, KINDS, PLAIN
from toolkit.scenes.world import COMMON_PLAIN, RARE_PLAIN, Scene, arrange, base_scene

CELLS, WORDS = GRID * GRID, 6
ALL = list(product(COLOUR_NAMES, PLAIN))
WHITE = ((255, 255, 255), (255, 255, 255))


def in_sight(scene, cells):
    return [(t.colour, t.kind) for t in scene.objects if cells[t.row * GRID + t.column]]


@pytest.mark.parametrize("n_hidden", [0, 1, 6, 20, 35])
def test_hiding_one_cell_more_sums_over_all_that_may_lie_there(n_hidden):
    rng = np.random.default_rng(n_hidden)
    scene = base_scene(rng)
    cells = np.ones(CELLS, dtype=bool)
    cells[rng.choice(CELLS, n_hidden, replace=False)] = False
    last = rng.choice(np.flatnonzero(cells))
    cells[last] = False
    seen = in_sight(scene, cells)
    for asked in ([("red", "circle")], [("orange", k) for k in PLAIN], ALL):
        parts = [joint_probability(seen, n_hidden, asked)]
        parts += [joint_probability([*seen, thing], n_hidden, asked) for thing in product(COLOUR_NAMES, KINDS)]
        whole = joint_probability(seen, n_hidden + 1, asked)
        np.testing.assert_allclose(np.sum(parts, axis=0), whole, rtol=1e-10)


def test_nothing_in_sight_is_certain_and_yes_as_likely_as_no():
    np.testing.assert_allclose(joint_probability([], CELLS, ALL), (0.5, 0.5), rtol=1e-12)


def test_a_scene_in_full_sight_has_the_probability_that_it_is_drawn_with():
    """Of four things: by enumeration of the lists of kinds that ``base_scene`` can build."""
    lists = Counter()
    for first, second in product(COMMON_PLAIN, RARE_PLAIN):
        for rest in product(KINDS, repeat=2):
            lists[tuple(sorted((first, second, *rest)))] += 0.4 / 9 / 5 / len(KINDS) ** 2
        for again in PLAIN:
            lists[tuple(sorted((first, second, again, again)))] += 0.15 / 9 / 5 / len(PLAIN)
    for kinds in [("circle", "circle", "circle", "star"), ("cross", "heart", "lemon", "square")]:
        orders = prod(map(factorial, Counter(kinds).values()))
        told = lists[kinds] * orders * factorial(CELLS - 4) / factorial(CELLS) / len(COLOUR_NAMES) ** 4
        assert sum(joint_probability([("red", k) for k in kinds], 0, ALL)) == pytest.approx(told, rel=1e-10)


def test_answers_come_as_often_as_told_at_random_coalitions():
    rng = np.random.default_rng(0)
    values, answers = [], []
    for _ in range(400):
        scene, question = propose(questions.existence, rng, 0.0, "test")
        cells, words = rng.random(CELLS) < rng.random(), rng.random(WORDS) < 0.8
        values.append(yes_probability(scene, question.text, cells, words))
        answers.append(question.answer == "yes")
    values, answers = np.array(values), np.array(answers)
    assert values.std() > 0.15
    for chosen in (values > 0.5, values <= 0.5):
        spread = np.sqrt((values[chosen] * (1 - values[chosen])).sum())
        assert abs((answers - values)[chosen].sum()) < 4 * spread


def test_all_in_sight_is_known_and_the_article_gives_orange_away():
    scene = Scene(arrange(np.random.default_rng(0), [("orange", "circle"), ("red", "star")]), "plain", WHITE, 0.0, 0)
    # A scene of two things is never drawn: two more cells are hidden from sight, far from both.
    taken = {t.row * GRID + t.column for t in scene.objects}
    hidden = [i for i in range(CELLS) if i not in taken][:2]
    cells = [i not in hidden for i in range(CELLS)]
    every, no_colour = [True] * WORDS, [True, True, True, False, True, True]
    assert yes_probability(scene, "is there an orange circle ?", cells, every) == 1
    assert yes_probability(scene, "is there an orange circle ?", cells, no_colour) == 1
    assert 0 < yes_probability(scene, "is there a red circle ?", cells, no_colour) < 0.5
    assert {colour for colour, _ in allowed("is there a red star ?", no_colour)} == set(COLOUR_NAMES) - {"orange"}
