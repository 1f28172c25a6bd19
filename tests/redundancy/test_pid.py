import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from toolkit.redundancy.pid import _reconcile, decompose_beliefs, decompose_joint, mutual_information, union_information


def joint(rule, n_targets=4):
    p = np.zeros((2, 2, n_targets))
    for a in (0, 1):
        for b in (0, 1):
            p[a, b, rule(a, b)] += 0.25
    return p


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (lambda a, b: a & b, (0.311278, 0.0, 0.0, 0.5)),
        (lambda a, b: a ^ b, (0.0, 0.0, 0.0, 1.0)),
        (lambda a, b: a, (0.0, 1.0, 0.0, 0.0)),
        (lambda a, b: 2 * a + b, (0.0, 1.0, 1.0, 0.0)),
    ],
    ids=["AND", "XOR", "UNQ", "COPY of both"],
)
def test_known_decompositions(rule, expected):
    found = decompose_joint(joint(rule))
    got = (found.redundancy, found.unique_first, found.unique_second, found.synergy)
    assert got == pytest.approx(expected, abs=2e-3)
    assert found.total == pytest.approx(sum(expected), abs=1e-6)


def test_a_bit_that_both_sources_share_is_redundancy():
    p = np.zeros((2, 2, 2))
    p[0, 0, 0] = p[1, 1, 1] = 0.5
    found = decompose_joint(p)
    assert (found.redundancy, found.synergy, found.unique_first) == pytest.approx((1.0, 0.0, 0.0), abs=1e-9)


def brute_force_union(p):
    """Minimum over all couplings of two binary sources and a binary target: one free number per target."""
    best = np.inf
    pairs = []
    for y in (0, 1):
        r, c, total = p[:, :, y].sum(axis=1), p[:, :, y].sum(axis=0), p[:, :, y].sum()
        corner = np.linspace(max(0.0, r[0] + c[0] - total), min(r[0], c[0]), 201)
        pairs.append([np.array([[t, r[0] - t], [c[0] - t, total - r[0] - c[0] + t]]) for t in corner])
    for q0 in pairs[0]:
        for q1 in pairs[1]:
            q = np.clip(np.stack([q0, q1], axis=-1), 0, None)
            best = min(best, mutual_information(q.reshape(4, 2)))
    return best


@pytest.mark.parametrize("seed", [0, 1])
def test_union_information_equals_a_search_over_all_couplings(seed):
    p = np.random.default_rng(seed).dirichlet(np.ones(8)).reshape(2, 2, 2)
    found, gap = union_information(p.sum(axis=1), p.sum(axis=0), tolerance=1e-6, max_steps=20_000)
    assert found == pytest.approx(brute_force_union(p), abs=2e-4)
    assert gap < 1e-4


EXACT = json.loads((Path(__file__).parents[1] / "support" / "union_information.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("tolerance", [1e-3, 1e-5, 1e-8])
@pytest.mark.parametrize("case", EXACT["cases"], ids=lambda case: case["name"])
def test_the_gap_bounds_the_distance_from_an_exact_cone_solver(case, tolerance):
    p = np.array(case["joint"])
    found, gap = union_information(p.sum(axis=1), p.sum(axis=0), tolerance=tolerance, max_steps=200)
    solver = 3e-9  # what the solver reaches
    assert -solver < found - case["bits"] <= gap + solver
    assert gap < 3e-3


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 10_000))
def test_parts_are_non_negative_and_add_up(seed):
    p = np.random.default_rng(seed).dirichlet(np.ones(18)).reshape(3, 3, 2)
    found = decompose_joint(p)
    parts = (found.redundancy, found.unique_first, found.unique_second, found.synergy)
    assert min(parts) > -found.gap - 1e-6
    assert sum(parts) == pytest.approx(found.total)
    swapped = decompose_joint(p.transpose(1, 0, 2))
    assert swapped.unique_first == pytest.approx(found.unique_second, abs=2e-3)


def sharp(labels, certain, n=4):
    return np.eye(n)[labels] * certain + (1 - certain) / n


@pytest.mark.parametrize(
    ("image", "text", "part"),
    [(0.0, 0.0, "synergy"), (1.0, 0.0, "unique_first"), (0.0, 1.0, "unique_second"), (1.0, 1.0, "redundancy")],
)
def test_beliefs_of_pure_models(image, text, part):
    labels = np.arange(80) % 4
    found = decompose_beliefs(sharp(labels, 1.0), sharp(labels, image), sharp(labels, text))
    assert getattr(found, part) == pytest.approx(2.0, abs=1e-6)
    assert found.total == pytest.approx(2.0)


def test_a_biased_partial_belief_is_reconciled_and_carries_nothing():
    labels = np.arange(40) % 2
    always = np.tile([0.9, 0.1], (40, 1))
    found = decompose_beliefs(sharp(labels, 1.0, 2), sharp(labels, 1.0, 2), always)
    assert found.unique_first == pytest.approx(1.0, abs=1e-6)
    assert found.unique_second == pytest.approx(0.0, abs=1e-6)


def test_reconciled_beliefs_keep_one_share_per_sample_and_meet_the_target():
    beliefs = np.array([[0.9, 0.1], [0.8, 0.2], [0.3, 0.7], [0.6, 0.4]])
    joint = _reconcile(beliefs, np.array([0.5, 0.5]))
    assert joint.sum(axis=0) == pytest.approx([0.5, 0.5], abs=1e-12)
    assert joint.sum(axis=1) == pytest.approx([0.25] * 4, abs=1e-9)


def test_wrong_tables_are_refused():
    with pytest.raises(ValueError, match="agree on the distribution"):
        union_information([[0.5, 0.0], [0.0, 0.5]], [[0.5, 0.2], [0.3, 0.0]])
    with pytest.raises(ValueError, match="expected distributions"):
        decompose_beliefs([[0.5, 0.2]], [[0.5, 0.5]], [[0.5, 0.5]])
