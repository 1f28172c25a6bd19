"""Write ``union_information.json``: union information by an exact cone solver, for tests to compare with.

Run in an environment of its own, which the toolkit does not need:

    python -m venv cone && cone/bin/pip install "cvxpy==1.9.3" "clarabel==0.11.1"
    cone/bin/python tests/support/exact_union_information.py

The programme is min sum q log(q / q(x1, x2)) with the marginals (x1, y) and (x2, y) of p given, in the form of
relative-entropy cones (Makkeh, Theis and Vicente, Entropy 2018). Nothing of the toolkit is imported.
"""

import importlib.metadata
import json
import warnings
from pathlib import Path

import cvxpy
import numpy as np

SHAPES = [(2, 2, 2), (3, 3, 2), (4, 3, 3), (6, 6, 4)]


def gate(rule, n_targets):
    p = np.zeros((2, 2, n_targets))
    for a in (0, 1):
        for b in (0, 1):
            p[a, b, rule(a, b)] += 0.25
    return p


def joints():
    """Gates with zeros, where the minimum lies on the border; random joints; random ones with zeros."""
    yield "AND", gate(lambda a, b: a & b, 2)
    yield "XOR", gate(lambda a, b: a ^ b, 2)
    yield "SUM", gate(lambda a, b: a + b, 3)
    rng = np.random.default_rng(2605)
    for shape in SHAPES:
        for kind, sparse in (("dense", 0.0), ("sparse", 0.4)):
            p = rng.gamma(0.5, size=shape) * (rng.random(shape) >= sparse) + 1e-3 * (sparse == 0)
            yield f"{kind} {shape}", p / p.sum()


def union_information(p):
    """In bits."""
    n1, n2, n_targets = p.shape
    q = [cvxpy.Variable((n1, n2), nonneg=True) for _ in range(n_targets)]
    given = [cvxpy.sum(q[y], axis=1) == p[:, :, y].sum(axis=1) for y in range(n_targets)]
    given += [cvxpy.sum(q[y], axis=0) == p[:, :, y].sum(axis=0) for y in range(n_targets)]
    problem = cvxpy.Problem(cvxpy.Minimize(sum(cvxpy.sum(cvxpy.rel_entr(of_y, sum(q))) for of_y in q)), given)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the last digits of 1e-12 are not reached on every problem
        problem.solve(solver=cvxpy.CLARABEL, tol_gap_abs=1e-12, tol_gap_rel=1e-12, tol_feas=1e-12, max_iter=500)
    target = p.sum(axis=(0, 1))
    target = target[target > 0]
    return float((problem.value - (target * np.log(target)).sum()) / np.log(2))


if __name__ == "__main__":
    cases = [{"name": name, "joint": p.tolist(), "bits": union_information(p)} for name, p in joints()]
    versions = {package: importlib.metadata.version(package) for package in ("cvxpy", "clarabel", "numpy")}
    path = Path(__file__).with_name("union_information.json")
    path.write_text(json.dumps({"solver": versions, "cases": cases}) + "\n", encoding="utf-8")
