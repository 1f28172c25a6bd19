"""The statistics against closed forms, brute force and other libraries."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from toolkit.benchmark.report.two_step import mixed_model
from toolkit.stats.correlation import clustered_tau, kendall_tau
from toolkit.stats.estimates import clustered_mean, friedman_nemenyi, holm, paired_test, rank_rows


def rng(seed=0):
    return np.random.default_rng(seed)


def test_repeating_every_sample_of_a_picture_does_not_narrow_the_interval():
    values = rng(1).standard_normal(40)
    single = clustered_mean(values, np.arange(40), rng=rng())
    repeated = clustered_mean(np.repeat(values, 10), np.repeat(np.arange(40), 10), rng=rng())
    naive = clustered_mean(np.repeat(values, 10), np.arange(400), rng=rng())
    assert repeated.mean == pytest.approx(single.mean, abs=1e-12)
    assert (repeated.low, repeated.high) == pytest.approx((single.low, single.high), abs=1e-12)
    assert naive.high - naive.low < 0.5 * (repeated.high - repeated.low)
    assert (repeated.n, repeated.n_clusters) == (400, 40)


def test_the_interval_is_that_of_the_normal_mean():
    values = rng(2).standard_normal(2000)
    found = clustered_mean(values, np.arange(2000), rng=rng(), n_resamples=4000)
    expected = values.std() / math.sqrt(2000)
    assert found.se == pytest.approx(expected, rel=0.06)
    assert found.high - found.low == pytest.approx(2 * 1.96 * expected, rel=0.08)


def test_the_interval_of_few_pictures_is_students():
    values = rng(3).standard_normal(10)
    found = clustered_mean(values, np.arange(10), rng=rng())
    expected = stats.t.interval(0.95, 9, loc=values.mean(), scale=stats.sem(values))
    assert (found.low, found.high) == pytest.approx(expected, abs=1e-12)
    twice = clustered_mean(np.repeat(values, 3), np.repeat(np.arange(10), 3), rng=rng())
    assert (twice.low, twice.high) == pytest.approx(expected, abs=1e-12)
    share = clustered_mean([1.0] * 9 + [0.0], np.arange(10), rng=rng())
    assert share.high == 1.0


def test_the_interval_of_ten_pictures_covers_as_often_as_it_says():
    inside = []
    for seed in range(400):
        found = clustered_mean(rng(seed).standard_normal(10), np.arange(10), rng=rng())
        inside.append(found.low <= 0 <= found.high)
    assert np.mean(inside) > 0.925  # a percentile interval covers .90


def test_one_picture_has_no_interval_and_none_has_no_mean():
    one = clustered_mean([1.0, 3.0], ["a", "a"], rng=rng())
    assert (one.mean, one.n_clusters) == (2.0, 1)
    assert math.isnan(one.low)
    assert math.isnan(clustered_mean([], [], rng=rng()).mean)


@pytest.mark.parametrize(("values", "clusters"), [([1.0, math.nan], [0, 1]), ([1.0, 2.0], [0])])
def test_clustered_mean_refuses_what_it_cannot_average(values, clusters):
    with pytest.raises(ValueError, match="must be"):
        clustered_mean(values, clusters, rng=rng())


def test_ranks_share_ties():
    assert rank_rows([[3.0, 1.0, 2.0], [1.0, 1.0, 0.0]]).tolist() == [[1, 3, 2], [1.5, 1.5, 3]]


def test_critical_difference_is_demsars():
    """Demsar 2006: k = 4 classifiers on n = 14 data sets, q = 2.569, CD = 1.25; and k = 5, n = 30: 2.728, 1.11."""
    matrix = rng(3).standard_normal((14, 4))
    assert friedman_nemenyi(matrix).critical_difference == pytest.approx(2.569 * math.sqrt(4 * 5 / (6 * 14)), rel=1e-3)
    matrix = rng(3).standard_normal((30, 5))
    assert friedman_nemenyi(matrix).critical_difference == pytest.approx(2.728 * math.sqrt(5 * 6 / (6 * 30)), rel=1e-3)


def test_friedmans_statistic_is_its_formula():
    """Friedman 1937: 12 n / (k (k + 1)) (sum of squared mean ranks - k (k + 1)^2 / 4), chi-squared with k - 1."""
    matrix = rng(4).standard_normal((12, 4)) + np.array([0.8, 0.0, 0.3, -0.5])
    found, n, k = friedman_nemenyi(matrix), 12, 4
    ranks = (matrix[:, None, :] >= matrix[:, :, None]).sum(axis=2).mean(axis=0)
    assert found.mean_ranks == pytest.approx(ranks, abs=1e-12)
    expected = 12 * n / (k * (k + 1)) * ((ranks**2).sum() - k * (k + 1) ** 2 / 4)
    assert found.statistic == pytest.approx(expected, abs=1e-9)
    half = expected / 2  # chi-squared with 3 degrees of freedom has a closed form
    tail = math.erfc(math.sqrt(half)) + 2 * math.sqrt(half / math.pi) * math.exp(-half)
    assert found.p == pytest.approx(tail, abs=1e-12)


def test_friedman_and_nemenyi_agree_with_scikit_posthocs():
    posthocs = pytest.importorskip("scikit_posthocs", reason="extra `stats` is not installed")
    matrix = rng(4).standard_normal((25, 5)) + np.array([0.8, 0.0, 0.0, 0.3, -0.5])
    found = friedman_nemenyi(matrix)
    expected = posthocs.posthoc_nemenyi_friedman(matrix).to_numpy()
    off_diagonal = ~np.eye(5, dtype=bool)
    assert found.pairwise_p[off_diagonal] == pytest.approx(expected[off_diagonal], abs=1e-6)
    assert found.p == pytest.approx(stats.friedmanchisquare(*matrix.T).pvalue, abs=1e-12)
    separated = np.abs(found.mean_ranks[:, None] - found.mean_ranks) > found.critical_difference
    assert (separated[off_diagonal] == (found.pairwise_p < 0.05)[off_diagonal]).all()


@pytest.mark.parametrize("shape", [(10, 2), (1, 4), (0, 3)])
def test_too_little_for_a_rank_test_says_so(shape):
    found = friedman_nemenyi(np.zeros(shape))
    assert "needs 3 explainers and 2 complete blocks" in found.reason
    assert math.isnan(found.p)


def test_all_ties_say_so():
    assert friedman_nemenyi(np.ones((5, 3))).reason == "all explainers are tied in every block"


@settings(max_examples=50)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_agrees_with_its_definition(p_values):
    found = holm(p_values)
    order = np.argsort(p_values, kind="stable")
    running = 0.0
    for place, i in enumerate(order):
        running = max(running, (len(p_values) - place) * p_values[i])
        assert found[i] == pytest.approx(min(1.0, running), abs=1e-12)


def test_holm_agrees_with_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest", reason="extra `stats` is not installed")
    p = rng(5).uniform(0, 0.1, 12)
    assert holm(p) == pytest.approx(multitest.multipletests(p, method="holm")[1], abs=1e-12)


def test_holm_leaves_out_what_was_not_tested():
    assert holm([0.01, math.nan, 0.02])[[0, 2]].tolist() == [0.02, 0.02]
    assert math.isnan(holm([math.nan])[0])


def test_paired_test_on_a_case_by_hand():
    """Differences 1, 2, -3, 4: positive ranks 1 + 2 + 4 = 7, negative 3, so rank-biserial (7 - 3) / 10."""
    found = paired_test([1, 2, 0, 4, math.nan], [0, 0, 3, 0, 1])
    assert (found.n_blocks, found.difference) == (4, 1.0)
    assert found.rank_biserial == pytest.approx(0.4, abs=1e-12)
    assert found.cohens_dz == pytest.approx(1.0 / np.std([1, 2, -3, 4], ddof=1), abs=1e-12)
    assert found.p == pytest.approx(stats.wilcoxon([1, 2, -3, 4]).pvalue, abs=1e-12)


@pytest.mark.parametrize("n", [3, 6, 10])
def test_wilcoxons_p_counts_the_signs(n):
    """All 2^n signs are equally likely: the share whose smaller rank sum is no larger than the observed one."""
    differences = rng(n).standard_normal(n) + 0.5
    ranks = np.argsort(np.argsort(np.abs(differences))) + 1
    total = n * (n + 1) // 2

    def smaller(signs):
        positive = int(ranks[np.asarray(signs) > 0].sum())
        return min(positive, total - positive)

    observed = smaller(np.sign(differences))
    share = np.mean([smaller(signs) <= observed for signs in itertools.product((-1, 1), repeat=n)])
    assert paired_test(differences, np.zeros(n)).p == pytest.approx(share, abs=1e-12)


def test_paired_test_without_difference_has_no_p():
    found = paired_test([1.0, 2.0], [1.0, 2.0])
    assert math.isnan(found.p)
    assert (found.difference, found.rank_biserial) == (0.0, 0.0)
    assert paired_test([], []).n_blocks == 0


def brute_force_p(x, y):
    """Share of all orders of y whose concordance is at least as extreme."""

    def balance(order):
        return sum(
            np.sign(x[i] - x[j]) * np.sign(order[i] - order[j]) for i, j in itertools.combinations(range(len(x)), 2)
        )

    observed = abs(balance(y))
    orders = [abs(balance(order)) >= observed for order in itertools.permutations(y)]
    return np.mean(orders)


@pytest.mark.parametrize(
    ("x", "y"),
    [
        ([1, 2, 3, 4, 5], [2, 1, 4, 3, 5]),
        ([1, 2, 2, 3], [4, 1, 3, 3]),
        ([1, 2], [2, 1]),
        ([1, 1, 1, 2, 3, 3], [6, 5, 1, 2, 3, 4]),
        ([3, 1, 2, 5, 4], [1, 1, 2, 2, 2]),
    ],
)
def test_kendalls_p_is_exact(x, y):
    found = kendall_tau(x, y)
    assert found.p == pytest.approx(brute_force_p(x, y), abs=1e-12)
    assert found.tau == pytest.approx(stats.kendalltau(x, y).statistic, abs=1e-12)


def test_the_papers_tau_is_no_association():
    """9 methods, 17 pairs in the same order and 19 in opposite order: tau = -0.06 and p = .92."""
    x = np.arange(9)
    y = next(
        np.array(order)
        for order in itertools.permutations(range(9))
        if sum(a < b for a, b in itertools.combinations(order, 2)) == 17
    )
    found = kendall_tau(x, y)
    assert (found.concordant, found.discordant) == (17, 19)
    assert found.tau == pytest.approx(-2 / 36, abs=1e-12)
    assert found.p == pytest.approx(0.92, abs=0.005)
    assert found.method == "exact"


def test_a_constant_ranking_has_no_tau():
    assert math.isnan(kendall_tau([1, 1, 1], [1, 2, 3]).tau)


def test_tau_refuses_missing_values():
    with pytest.raises(ValueError, match="finite"):
        kendall_tau([1, math.nan], [1, 2])


def test_the_interval_of_tau_narrows_with_pictures():
    level = np.linspace(0, 0.5, 6)

    def noisy(n, seed):
        return level + rng(seed).standard_normal((n, 6))

    wide, narrow = (clustered_tau(noisy(n, n), noisy(n, n + 1), rng=rng(), n_resamples=500) for n in (10, 4000))
    assert narrow.tau == 1.0
    assert narrow.low > 0.85
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_the_mixed_model_finds_the_difference_behind_the_pictures():
    pytest.importorskip("statsmodels", reason="extra `stats` is not installed")
    draw = rng(6)
    pictures = np.repeat(np.arange(60), 2)
    methods = np.tile(["a", "b"], 60)
    level = np.repeat(draw.standard_normal(60), 2)
    values = level + 0.5 * (methods == "b") + 0.2 * draw.standard_normal(120)
    found = mixed_model(values, methods, pictures, reference="a")
    assert found["converged"], found["reason"]
    effect, error, p = found["effects"]["b"]
    assert effect == pytest.approx(0.5, abs=4 * error)
    assert error < 0.06
    assert p < 1e-6


def test_a_mixed_model_that_cannot_be_fitted_says_why():
    pytest.importorskip("statsmodels", reason="extra `stats` is not installed")
    assert "fewer than" in mixed_model([1.0, 2.0], ["a", "b"], [0, 0], reference="a")["reason"]
    flat = mixed_model(np.zeros(12), np.tile(["a", "b"], 6), np.repeat(np.arange(6), 2), reference="a")
    assert not flat["converged"]
    assert flat["effects"] == {}
    assert flat["reason"]
