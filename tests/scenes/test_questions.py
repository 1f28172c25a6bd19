"""The embedded world's promises: answers, priors, evidence and Bayes values."""

from __future__ import annotations

import numpy as np
import pytest

from toolkit.scenes import mixed, questions
from toolkit.scenes.everyday import colour_given_kind, everyday
from toolkit.scenes.generator import FAMILIES, default_strength, propose
from toolkit.scenes.vocabulary import COLOURS, EVERYDAY, GRID, KINDS, PLAIN, VOCABULARY
from toolkit.scenes.world import Scene, arrange, base_scene

ALL = [template for templates in FAMILIES.values() for template in templates]
LETTERED = [template for template in ALL if template not in (questions.existence, questions.binding, everyday)]


def draws(template, strength, n, seed=0):
    rng = np.random.default_rng(seed)
    return [propose(template, rng, strength, "test") for _ in range(n)]


def scene_of(*words, cells=None):
    rng = np.random.default_rng(0)
    return Scene(arrange(rng, list(words), cells), "plain", ((255, 255, 255), (255, 255, 255)), 0.0, 0)


@pytest.mark.parametrize("template", ALL, ids=lambda t: t.__name__)
def test_every_word_is_known_and_every_answer_is_a_choice(template):
    for _, question in draws(template, 0.5, 40):
        unknown = set((question.text + " " + question.instruction).split()) - set(VOCABULARY)
        assert not unknown
        assert question.answer in question.choices
        assert max(question.evidence_words, default=0) < len(question.text.split())


def recompute(scene, question):
    """A second, independent reading of the picture: the answer from the words and the list of things."""
    words = question.text.split()
    objects = [(t.colour, t.kind, t.row, t.column) for t in scene.objects]
    plural = {s.plural: kind for kind, s in KINDS.items()}
    if question.family in ("existence", "binding"):
        return "yes" if any((c, k) == (words[3], words[4]) for c, k, _, _ in objects) else "no"
    body, options = words[: words.index("?")], words[words.index("?") + 1 :]
    letter = dict(zip(options[1::2], options[0::2], strict=True))
    if question.family == "colour":
        value = next(c for c, k, _, _ in objects if k == body[-1])
    elif question.family == "count":
        value = str(sum(k == plural[body[2]] for _, k, _, _ in objects))
    elif question.family == "shape":
        value = next(k for c, k, _, _ in objects if c == body[3])
    elif question.family == "compare":
        counts = {w: sum(k == plural[w] for _, k, _, _ in objects) for w in (body[3], body[5])}
        value = max(counts, key=counts.get)
    elif question.family == "same":
        colour = {k: c for c, k, _, _ in objects}
        value = "yes" if colour[body[2]] == colour[body[5]] else "no"
    elif question.family == "relation":
        (r1, c1), (r2, c2) = (
            next((r, c) for colour, k, r, c in objects if (colour, k) == pair)
            for pair in ((body[3], body[4]), (body[8], body[9]))
        )
        value = ("left" if c1 < c2 else "right") if "left" in letter else ("above" if r1 < r2 else "below")
    else:
        row, column = next((r, c) for colour, k, r, c in objects if (colour, k) == (body[-2], body[-1]))
        down, right = {"left": (0, -1), "right": (0, 1), "above": (-1, 0), "below": (1, 0)}[body[5]]
        value = next(c for c, _, r, col in objects if (r, col) == (row + down, column + right))
    return letter[value]


@pytest.mark.parametrize("template", [t for t in ALL if t is not everyday], ids=lambda t: t.__name__)
def test_answers_agree_with_a_second_reading_of_the_scene(template):
    for scene, question in draws(template, 0.3, 60, seed=1):
        assert recompute(scene, question) == question.answer, question.text


@pytest.mark.parametrize("strength", [0.0, 0.6])
@pytest.mark.parametrize("template", ALL, ids=lambda t: t.__name__)
def test_the_text_corner_is_calibrated(template, strength):
    """The stereotype, where offered, is right as often as its Bayes value says; the other options share the rest."""
    drawn = [q for _, q in draws(template, strength, 300, seed=2)]
    offered = [q for q in drawn if q.prior_answer is not None and "usually" not in q.text]
    if not offered:
        assert {q.bayes.text for q in drawn} == {1 / len(drawn[0].choices)}
        return
    hits = np.array([q.answer == q.prior_answer for q in offered])
    values = np.array([q.bayes.text for q in offered])
    assert np.ptp(values[hits]) < 1e-12
    known = values[hits][0]
    np.testing.assert_allclose(values[~hits], (1 - known) / (len(offered[0].choices) - 1), rtol=0, atol=1e-12)
    assert abs(hits.mean() - known) < 4 * np.sqrt(known * (1 - known) / len(hits))


@pytest.mark.parametrize("template", LETTERED, ids=lambda t: t.__name__)
def test_letters_are_uniform_so_that_a_constant_answer_earns_nothing(template):
    drawn = [q for _, q in draws(template, 0.0, 400, seed=3)]
    n = len(drawn[0].choices)
    counts = np.array([sum(q.answer == letter for q in drawn) for letter in drawn[0].choices])
    assert abs(counts / len(drawn) - 1 / n).max() < 4 * np.sqrt(1 / n * (1 - 1 / n) / len(drawn))
    assert {q.bayes.empty for q in drawn} == {1 / n}


def test_templates_with_different_numbers_of_options_differ_in_length():
    lengths: dict[int, set[int]] = {}
    for template in LETTERED:
        for _, question in draws(template, 0.0, 30):
            lengths.setdefault(len(question.text.split()), set()).add(len(question.choices))
    assert all(len(options) == 1 for options in lengths.values()), lengths


def test_counts_follow_the_enumerated_distribution():
    rng = np.random.default_rng(5)
    scenes = [base_scene(rng) for _ in range(3000)]
    seen = np.array([len(scene.of(kind)) for scene in scenes for kind in PLAIN])
    seen = seen[seen <= 5]
    expected = questions.count_distribution()
    observed = np.bincount(seen, minlength=6) / len(seen)
    assert abs(observed - expected).max() < 4 * np.sqrt(0.25 / len(scenes))


def test_existence_evidence_is_the_named_thing_or_the_whole_picture():
    for scene, question in draws(questions.existence, 0.0, 60):
        if question.answer == "no":
            assert question.evidence_boxes == ((0.0, 0.0, 1.0, 1.0),)
        else:
            words = question.text.split()
            cells = {(t.row, t.column) for t in scene.find(words[3], words[4])}
            boxes = {(round(y0 * GRID), round(x0 * GRID)) for x0, y0, _, _ in question.evidence_boxes}
            assert boxes == cells


def test_all_four_gates_occur_at_the_default_strength_of_everyday_objects():
    gates = [q.gate for _, q in draws(everyday, default_strength("scenes-everyday"), 200)]
    counts = {gate: gates.count(gate) for gate in ("synergy", "redundancy", "text-only", "image-only")}
    assert sum(counts.values()) == 200
    assert min(counts.values()) > 15, counts
    assert "redundancy" not in {q.gate for _, q in draws(everyday, 0.5, 200)}


def test_a_lone_lemon_is_redundant_with_a_prior_and_image_only_without():
    scene = scene_of(("yellow", "lemon"))
    rng = np.random.default_rng(0)
    gates = {}
    for strength in (0.0, 0.9):
        asked = [everyday(scene, rng, strength) for _ in range(60)]
        gates[strength] = {q.gate for q in asked if q.text == "what color is the lemon ?"}
    assert gates == {0.0: {"image-only"}, 0.9: {"redundancy"}}


def test_colour_prior_of_everyday_objects_is_a_distribution():
    for kind in EVERYDAY:
        assert sum(colour_given_kind(c, kind, 0.7) for c in COLOURS) == pytest.approx(1, abs=1e-12)
        assert colour_given_kind(KINDS[kind].colour, kind, 1.0) == 1


def test_everyday_image_corner_counts_the_things_of_that_colour():
    scene = scene_of(("blue", "lemon"), ("blue", "fish"), ("red", "leaf"))
    rng = np.random.default_rng(0)
    asked = [everyday(scene, rng, 0.5) for _ in range(80)]
    blue = {q.bayes.image for q in asked if q.answer == "blue" and "usually" not in q.text}
    assert blue == {2 / 3}


@pytest.mark.parametrize("strength", [0.0, 0.7])
def test_everyday_answers_follow_the_empty_corner(strength):
    """With neither picture nor words only the question's length is left, and an answer is as frequent as it says."""
    asked = [q for _, q in draws(everyday, strength, 900, seed=7)]
    for length in (6, 7):
        alike = [q for q in asked if len(q.text.split()) == length]
        value = {q.answer: q.bayes.empty for q in alike}
        assert all(q.bayes.empty == value[q.answer] for q in alike)
        for answer, told in value.items():
            share = sum(q.answer == answer for q in alike) / len(alike)
            assert abs(share - told) < 4 * np.sqrt(told * (1 - told) / len(alike)), (length, answer)


def test_binding_asks_where_both_attributes_are_and_half_the_time_not_on_one_thing():
    drawn = draws(questions.binding, 0.0, 400, seed=4)
    for scene, question in drawn:
        colour, kind = question.text.split()[3:5]
        assert any(t.colour == colour for t in scene.objects)
        assert scene.of(kind)
    assert abs(np.mean([q.answer == "yes" for _, q in drawn]) - 0.5) < 4 * 0.5 / np.sqrt(len(drawn))


def test_binding_passes_over_scenes_in_which_every_pair_is_one_thing():
    scene = scene_of(("red", "circle"), ("red", "square"))
    assert {questions.binding(scene, np.random.default_rng(i), 0.0) for i in range(20)} == {None}


@pytest.mark.parametrize("template", [questions.count, mixed.compare], ids=lambda t: t.__name__)
def test_that_nothing_else_is_one_is_evidence_too(template):
    assert {q.evidence_boxes for _, q in draws(template, 0.0, 20)} == {((0.0, 0.0, 1.0, 1.0),)}
