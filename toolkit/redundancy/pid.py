"""Partial information decomposition of a target from two sources, in bits, by the BROJA definition.

The union information of the sources is the least information that any joint distribution with the same two marginals
(source 1, target) and (source 2, target) carries,

    I_union = min over q with q(x1, y) = p(x1, y), q(x2, y) = p(x2, y)  of  I_q(Y; X1, X2)

and then  redundancy = I(X1; Y) + I(X2; Y) - I_union,  unique 1 = I_union - I(X2; Y),  unique 2 = I_union - I(X1; Y),
synergy = I(X1, X2; Y) - I_union.

The minimum is found by alternating projections: I_q(Y; X1, X2) = min over r of sum_y p(y) D(q(. | y) || r), so for a
fixed r each q(. | y) is the projection of r onto the couplings of its two marginals (iterative scaling), and for fixed
q the best r is q's own marginal. Both steps are minimisations of a jointly convex function. The scaling takes three
steps for each r, from where it stopped for the r before.

How far the search came is certified by two bounds, neither of which needs the scaling to be accurate. Above: q, moved
onto exactly the given marginals. Below: the dual of the cone programme, for any f(x1, y) and g(x2, y),

    I_union >= sum p(x1, y) log f + sum p(x2, y) log g - log max over x1, x2 of sum_y p(y) f(x1, y) g(x2, y),

for which the scaling's own factors are taken. The gap is the best bound above minus the best bound below.

Reference: Bertschinger, Rauh, Olbrich, Jost and Ay, Quantifying unique information, Entropy 2014 (definition);
Banerjee, Rauh and Montufar, Computing the unique information, 2018, arXiv 1709.07487 (alternating projections);
Makkeh, Theis and Vicente, BROJA-2PID, Entropy 2018 (the dual); Altschuler, Weed and Rigollet, 2017, arXiv 1705.09634
(moving onto the marginals).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]

NATS = float(np.log(2.0))
_STEPS = 3
_LEAST = float(np.finfo(np.float64).tiny)
"""Stands for a zero in a denominator, whose numerator is zero as well."""


@dataclass(frozen=True)
class Decomposition:
    """What two sources say about a target, in bits.

    Attributes:
        redundancy: What either source says alone.
        unique_first: What only the first source says.
        unique_second: What only the second source says.
        synergy: What only both together say. It is negative where the joint predictions carry less information than
            the two marginals force them to, which a consistent model cannot do.
        total: I(X1, X2; Y), the sum of the four.
        entropy: H(Y), the most that could be said.
        gap: Bound on how far the union information lies above its minimum, in bits.
    """

    redundancy: float
    unique_first: float
    unique_second: float
    synergy: float
    total: float
    entropy: float
    gap: float


def entropy(p: ArrayLike) -> float:
    """Shannon entropy of a distribution, in bits."""
    q = np.asarray(p, dtype=np.float64)
    q = q[q > 0]
    return float(-(q * np.log2(q)).sum())


def mutual_information(joint: ArrayLike) -> float:
    """Mutual information, in bits, of a joint distribution (n_x, n_y)."""
    p = np.asarray(joint, dtype=np.float64)
    return entropy(p.sum(axis=1)) + entropy(p.sum(axis=0)) - entropy(p)


def _scale(reference: Floats, rows: Floats, columns: Floats, b: Floats) -> tuple[Floats, Floats]:
    """Factors a (y, n1) and b (y, n2) that move a reference (n1, n2) towards the couplings of rows and columns.

    A few steps from the factors b of the reference before, which lead as far as the exact projection: the bounds hold
    for any factors.
    """
    for _ in range(_STEPS):
        a = rows / np.maximum(b @ reference.T, _LEAST)
        b = columns / np.maximum(a @ reference, _LEAST)
    return a, b


def _onto(q: Floats, rows: Floats, columns: Floats) -> Floats:
    """Move couplings (y, n1, n2) onto exactly these marginals: scale down what is too much, spread what is missing."""
    for axis, wanted in ((2, rows), (1, columns)):
        got = q.sum(axis=axis)
        share = np.divide(wanted, got, out=np.ones_like(got), where=got > wanted)
        q = q * np.expand_dims(share, axis)
    missing, short = np.clip(rows - q.sum(axis=2), 0, None), np.clip(columns - q.sum(axis=1), 0, None)
    total = missing.sum(axis=1)[:, None, None]
    spread = missing[:, :, None] * short[:, None, :]
    moved: Floats = q + np.divide(spread, total, out=np.zeros_like(q), where=total > 0)
    return moved


def _dual(target: Floats, rows: Floats, columns: Floats, a: Floats, b: Floats) -> float:
    """The lower bound in nats that the factors give; -inf where one of them has underflown."""
    if (a[rows > 0] <= 0).any() or (b[columns > 0] <= 0).any():
        return -math.inf
    known = [
        (weight[:, None] * marginal)[marginal > 0] @ np.log(factor[marginal > 0])
        for weight, marginal, factor in ((target, rows, a), (target, columns, b))
    ]
    return float(sum(known) - np.log(np.einsum("y,yi,yj->ij", target, a, b).max()))


def union_information(
    first: ArrayLike, second: ArrayLike, *, tolerance: float = 1e-3, max_steps: int = 1000
) -> tuple[float, float]:
    """Least information, in bits, that two sources with these marginals carry together about the target.

    Args:
        first: p(x1, y), shape (n1, n_targets).
        second: p(x2, y), shape (n2, n_targets); both must agree on p(y).
        tolerance: Gap, in nats, at which the search stops.
        max_steps: Most steps; the returned gap says how far the search came.

    Returns:
        The information and the gap, both in bits: the minimum lies between information - gap and information.

    Raises:
        ValueError: The marginals are not distributions of the same target.
    """
    p1, p2 = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if p1.ndim != 2 or p2.ndim != 2 or p1.shape[1] != p2.shape[1] or (p1 < 0).any() or (p2 < 0).any():
        raise ValueError(f"expected two non-negative tables with one column per target, got {p1.shape} and {p2.shape}")
    if not np.allclose(p1.sum(axis=0), p2.sum(axis=0), atol=1e-9) or not np.isclose(p1.sum(), 1.0, atol=1e-9):
        raise ValueError("both tables must add up to 1 and agree on the distribution of the target")
    target = p1.sum(axis=0)
    known = target > 0
    target = target[known]
    rows, columns = (p1[:, known] / target).T, (p2[:, known] / target).T
    reference = p1.sum(axis=1)[:, None] * p2.sum(axis=1)[None, :]
    above, below, b = math.inf, 0.0, np.ones_like(columns)
    for _ in range(max_steps):
        a, b = _scale(reference, rows, columns, b)
        q = _onto(a[:, :, None] * reference * b[:, None, :], rows, columns)
        reference = np.einsum("y,yij->ij", target, q)
        ratio = np.divide(q, reference, out=np.ones_like(q), where=q > 0)
        above = min(above, float(np.einsum("y,yij,yij->", target, q, np.log(ratio))))
        below = max(below, _dual(target, rows, columns, a, b))
        if above - below < tolerance:
            break
    return above / NATS, max(above - below, 0.0) / NATS


def decompose(first: ArrayLike, second: ArrayLike, total: float, *, tolerance: float = 1e-3) -> Decomposition:
    """Decompose from the two pairwise marginals and the information that both sources carry together.

    Args:
        first: p(x1, y), shape (n1, n_targets).
        second: p(x2, y), shape (n2, n_targets).
        total: I(X1, X2; Y) in bits.
        tolerance: Gap of the union information, in nats, at which the search stops.

    Raises:
        ValueError: The marginals are not distributions of the same target.
    """
    p1, p2 = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    union, gap = union_information(p1, p2, tolerance=tolerance)
    i1, i2 = mutual_information(p1), mutual_information(p2)
    return Decomposition(i1 + i2 - union, union - i2, union - i1, total - union, total, entropy(p1.sum(axis=0)), gap)


def decompose_joint(joint: ArrayLike) -> Decomposition:
    """Decompose a known joint distribution p(x1, x2, y), shape (n1, n2, n_targets).

    AND of two fair bits gives redundancy .311 and synergy .5, XOR one bit of synergy, a copied bit one bit of
    redundancy, and a target that is the pair of both bits one bit of each unique information.
    """
    p = np.asarray(joint, dtype=np.float64)
    if p.ndim != 3 or (p < 0).any() or not np.isclose(p.sum(), 1.0):
        raise ValueError(f"expected a distribution of shape (n1, n2, n_targets), got shape {p.shape}, sum {p.sum()}")
    return decompose(p.sum(axis=1), p.sum(axis=0), mutual_information(p.reshape(-1, p.shape[2])))


def _reconcile(beliefs: Floats, target: Floats, n_steps: int = 500) -> Floats:
    """Reweigh the answers, b'(y) ~ b(y) a(y), until the mean belief is the target distribution."""
    current = beliefs
    for _ in range(n_steps):
        mean = current.mean(axis=0)
        if np.abs(mean - target).max() < 1e-12:
            break
        current = current * np.divide(target, mean, out=np.zeros_like(mean), where=mean > 0)
        current = current / current.sum(axis=1, keepdims=True)
    joint = current / len(current)
    exact: Floats = joint * np.divide(target, joint.sum(axis=0), out=np.zeros_like(target), where=target > 0)
    return exact


def _merge(joint: Floats, n_states: int) -> Floats:
    """Merge the rows of p(x, y) with the most similar conditionals p(y | x) until ``n_states`` are left (Ward)."""
    from scipy.cluster.hierarchy import fcluster, linkage

    weight = joint.sum(axis=1, keepdims=True)
    joint, weight = joint[weight[:, 0] > 0], weight[weight > 0][:, None]
    if len(joint) <= n_states:
        return joint
    labels = fcluster(linkage(joint / weight, method="ward"), n_states, criterion="maxclust") - 1
    merged = np.zeros((int(labels.max()) + 1, joint.shape[1]))
    np.add.at(merged, labels, joint)
    return merged


def decompose_beliefs(
    both: ArrayLike, image: ArrayLike, text: ArrayLike, *, n_states: int = 8, tolerance: float = 1e-3
) -> Decomposition:
    """Decompose what a model says over a dataset: sources are the picture and the question, Y is its answer.

    Each sample contributes three beliefs of the model: p(y | image, text), p(y | image) and p(y | text). Their means
    over samples estimate one distribution of the answer; a model that was never trained on partial inputs disagrees
    with itself here, so both partial beliefs are reweighed until their means equal that of the full belief. Sources
    whose partial beliefs are alike say the same about the answer; they are merged into ``n_states`` states, which can
    only lose information.

    Args:
        both: Beliefs with both modalities, shape (n_samples, n_answers); rows add up to 1.
        image: Beliefs from the image alone, same shape.
        text: Beliefs from the text alone, same shape.
        n_states: States that each source is merged into.
        tolerance: Gap of the union information, in nats, at which the search stops.

    Returns:
        First source: the image. Second source: the text.

    Raises:
        ValueError: The shapes differ, or a row is not a distribution.

    Reference: Liang et al., Quantifying and modeling multimodal interactions, 2023, arXiv 2302.12247 (decomposition
    from unimodal predictions); for vision-language models: arXiv 2603.29676.
    """
    full, first, second = (np.asarray(b, dtype=np.float64) for b in (both, image, text))
    for name, beliefs in (("both", full), ("image", first), ("text", second)):
        if beliefs.shape != full.shape or beliefs.ndim != 2 or not np.allclose(beliefs.sum(axis=1), 1.0, atol=1e-6):
            raise ValueError(f"{name}: expected distributions of shape {full.shape}, got shape {beliefs.shape}")
    target = full.mean(axis=0)
    total = entropy(target) - float(np.mean([entropy(row) for row in full]))
    first, second = (_merge(_reconcile(beliefs, target), n_states) for beliefs in (first, second))
    return decompose(first, second, total, tolerance=tolerance)
