from collections import deque

import numpy as np
import pytest
from support.fakes import GATES, GateVLM, gate_sample

import toolkit
from toolkit.datasets.sample import Corners
from toolkit.games.analytic import SumOfUnanimityGames, additive, and_gate, or_gate, xor_gate
from toolkit.games.interactions import shapley_values
from toolkit.redundancy import corners_of, mm_shap_share, modality_shares
from toolkit.redundancy.gates import Parts, gate_of, measure_noise, parts
from toolkit.redundancy.summary import constant_accuracy
from toolkit.reporting.plots.redundancy_figure import draw_report
from toolkit.reporting.redundancy_page import redundancy_page


@pytest.mark.parametrize(
    ("game", "dividend"), [(and_gate(3, 2), 1), (or_gate(3, 2), -1), (xor_gate(3, 2), -2), (additive(3, 2), 0)]
)
def test_corners_of_the_gates(game, dividend):
    corners = corners_of(game)
    assert corners.total_interaction == dividend
    shares = modality_shares(corners)
    assert shares.image + shares.text == pytest.approx(corners.both - corners.empty, abs=1e-12)


def test_shares_of_one_sided_corners():
    assert modality_shares(Corners(1.0, 0.0, 1.0, 0.0)).text_share == 1.0
    assert modality_shares(Corners(1.0, 1.0, 0.0, 0.0)).text_share == 0.0
    assert modality_shares(Corners(1.0, 0.0, 0.0, 0.0)).text_share == 0.5
    assert modality_shares(Corners(0.2, 0.2, 0.2, 0.2)).text_share == 0.5


def test_token_level_shares_are_another_number():
    """AND of two cells and one word: a third each token by token, halves with two players; and signs cancel in one."""
    exact = shapley_values(and_gate(3, 2))
    found = mm_shap_share(and_gate(3, 2), rng=np.random.default_rng(0), n_pairs=400)
    share = np.abs(exact[3:]).sum() / np.abs(exact).sum()
    assert abs(found.text_share - share) < 4 * found.standard_error
    assert 0 < found.standard_error < 0.02
    assert modality_shares(corners_of(and_gate(3, 2))).text_share == 0.5 > share
    assert found.n_evaluations <= 2**5
    against = SumOfUnanimityGames(and_gate(3, 2).players, {(0,): 1.0, (1,): -1.0, (3,): 1.0})
    assert mm_shap_share(against, rng=np.random.default_rng(0)).text_share == pytest.approx(1 / 3)
    assert modality_shares(corners_of(against)).text_share == 1.0
    with pytest.raises(ValueError, match="at least 2"):
        mm_shap_share(against, rng=np.random.default_rng(0), n_pairs=1)


@pytest.mark.parametrize("gate", list(GATES))
def test_every_gate_is_recognised_above_the_noise_and_lost_below_it(gate):
    corners = Corners(*GATES[gate])
    assert gate_of(corners) == gate_of(corners, Parts(*[0.1] * 5)) == gate
    assert gate_of(corners, Parts(*[2.0] * 5)) == "neither"


@pytest.mark.parametrize(
    ("corners", "expected"),
    [
        (Corners(1.0, 0.59, 1.0, 0.5), "text-only"),  # a guess from the image that the text makes superfluous
        (Corners(1.0, 0.41, 1.0, 0.5), "text-only"),
        (Corners(1.0, 0.9, 0.8, 0.1), "redundancy"),
        (Corners(0.1, 0.9, 0.9, 0.1), "interference"),  # XOR: neither part suffices when both are there
        (Corners(0.1, 0.4, 0.4, 0.5), "interference"),  # only both together speak against the answer
        (Corners(1.0, 1.0, 0.5625, 0.1875), "image-only"),  # a lone lemon at strength .5: the image says more
        (Corners(1.0, 1.0, 0.65, 0.175), "redundancy"),  # and at strength .6
        (Corners(0.9, 0.3, 0.4, 0.25), "synergy"),
        (Corners(0.2, 0.9, 0.2, 0.9), "text-only"),  # the text speaks against the answer
    ],
)
def test_the_largest_part_names_the_gate(corners, expected):
    found = parts(corners)
    total = found.synergy + found.redundancy + found.text + found.image - found.interference
    assert total == pytest.approx(corners.both - corners.empty, abs=1e-12)
    assert gate_of(corners) == gate_of(corners, Parts(*[0.01] * 5)) == expected


def test_noise_is_the_spread_over_baselines():
    vlm = GateVLM(jitter=0.05)
    samples = [gate_sample("synergy", i) for i in range(6)]
    noise = toolkit.diagnose(vlm, samples).noise
    assert noise.sd.text == pytest.approx(0.05)
    assert noise.sd.synergy == pytest.approx(0.05)
    assert noise.sd.image == pytest.approx(0.0, abs=1e-12)
    assert noise.threshold.text == pytest.approx(2.179 * 0.05, rel=1e-3)  # t of 12 degrees of freedom
    with pytest.raises(ValueError, match="at least two baselines"):
        measure_noise([])


def test_confusion_is_diagonal_on_a_model_that_is_its_own_truth():
    samples = [gate_sample(g, i) for g in GATES if g != "neither" for i in range(5)]
    table = toolkit.diagnose(GateVLM(jitter=0.01), samples).confusion()
    assert table.to_numpy().sum() == 20
    assert all(table.loc[g, g] == 5 for g in table.index)


def test_a_negative_interaction_is_counted_whatever_part_is_largest(monkeypatch):
    """An image that says everything, and a text that repeats less than half of it."""
    monkeypatch.setitem(GATES, "redundancy", (1.0, 1.0, 0.45, 0.0))
    report = toolkit.diagnose(GateVLM(), [gate_sample("redundancy", i) for i in range(10)])
    assert report["gate, image-only"].value == 1.0
    assert report["negative interaction beyond noise"].value == 1.0
    assert toolkit.diagnose(GateVLM(), [gate_sample("synergy", 0)])["negative interaction beyond noise"].value == 0.0


def test_the_noise_of_the_interaction_hides_a_small_one():
    report = toolkit.diagnose(GateVLM(jitter=0.5), [gate_sample("redundancy", i) for i in range(4)])
    assert report.noise.interaction > 0.94 * 0.75
    assert report["negative interaction beyond noise"].value == 0.0


def test_mostly_is_said_of_more_than_half_only():
    kinds = ["synergy"] * 9 + ["text-only"] * 6 + ["image-only"] * 5
    often = toolkit.diagnose(GateVLM(), [gate_sample(g, i) for i, g in enumerate(kinds)]).verdict
    assert "gates most often needs image and text together (45% of 20 samples)" in often
    assert "gates mostly needs" in toolkit.diagnose(GateVLM(), [gate_sample("synergy", i) for i in range(9)]).verdict


def test_pure_synergy_report():
    report = toolkit.diagnose(GateVLM(), [gate_sample("synergy", i) for i in range(40)])
    assert report["accuracy, both"].value == 1.0
    assert report["accuracy, text"].value == pytest.approx(0.25)
    assert report["accuracy, constant answer"].value == pytest.approx(0.25)
    assert report["total interaction"].value == pytest.approx(0.955 - 0.25)
    assert report["information, synergy"].value > 1.6
    assert report["information, redundancy"].value == pytest.approx(0.0, abs=1e-6)
    assert report["text share"].value == pytest.approx(0.5)
    assert "needs image and text together (100% of 40 samples)" in report.verdict


def test_a_model_that_follows_the_prior_is_caught():
    samples = [gate_sample("synergy", i, prior="A") for i in range(40)]
    grounded = toolkit.diagnose(GateVLM(), samples)
    biased = toolkit.diagnose(GateVLM(follow_prior=True), samples)
    assert biased["language-prior rate"].value == 1.0
    assert biased["language-prior rate"].n == 30
    assert biased["stereotype rate"].value == 1.0
    assert grounded["stereotype rate"].value == 0.0
    assert grounded["language-prior rate"].value == 0.0
    assert biased["text share"].value == pytest.approx(1.0)
    assert "answers from the text alone" in biased.verdict


@pytest.mark.parametrize(("gate", "part"), [("redundancy", "redundancy"), ("image-only", "unique image")])
def test_information_lands_where_the_gate_says(gate, part):
    report = toolkit.diagnose(GateVLM(), [gate_sample(gate, i) for i in range(40)])
    parts = {name: report[f"information, {name}"].value for name in ("redundancy", "unique image", "synergy")}
    assert max(parts, key=lambda name: parts[name]) == part
    assert parts[part] > 1.5


def test_the_number_of_options_is_no_redundancy():
    """Image and text say nothing; that a question offers two or four answers does, and stands apart."""
    two = [gate_sample("synergy", i, n_choices=2) for i in range(16)]
    four = [gate_sample("synergy", 100 + i) for i in range(16)]
    report = toolkit.diagnose(GateVLM(), [*two, *four])
    assert report["information, redundancy"].value == pytest.approx(0.0, abs=1e-6)
    assert report["information, unique text"].value == pytest.approx(0.0, abs=1e-6)
    alone = [toolkit.diagnose(GateVLM(), samples)["information, synergy"].value for samples in (two, four)]
    assert report["information, synergy"].value == pytest.approx(np.mean(alone), abs=1e-6)
    mixed = np.array([3, 3, 1, 1]) / 8  # of A, B, C, D: 1.811 bit, where 1 and 2 bit are expected knowing the options
    assert report["information, options"].value == pytest.approx(-(mixed * np.log2(mixed)).sum() - 1.5, abs=1e-9)
    assert alone[0] == pytest.approx(1 - 0.195, abs=0.02)  # 1 bit less what 97 % certainty leaves open
    few = toolkit.diagnose(GateVLM(), [*two[:4], *four])
    assert "4 samples with 2 answers" in (few["information, synergy"].reason or "")


def test_the_bias_of_few_samples_is_named():
    """At 12 samples of four answers, halves hold too few answers: the synergy is too low, and the line says so."""
    report = toolkit.diagnose(GateVLM(), [gate_sample("synergy", i) for i in range(12)])
    told = report["information, synergy"].meaning
    bias = float(told.split("about ")[1].split(" ")[0])
    assert -0.5 < bias < -0.05
    assert "about" not in toolkit.diagnose(GateVLM(), [gate_sample("synergy", i, image_id="one") for i in range(12)])[
        "information, synergy"].meaning  # fmt: skip


def test_intervals_resample_pictures_and_not_samples():
    gates = ["synergy"] * 20 + ["text-only"] * 20
    alone = [gate_sample(g, i, image_id=f"{g}{i}") for i, g in enumerate(gates)]
    shared = [gate_sample(g, i, image_id=f"{g}{i % 4}") for i, g in enumerate(gates)]
    widths = []
    for samples in (alone, shared):
        quantity = toolkit.diagnose(GateVLM(), samples)["total interaction"]
        widths.append(quantity.high - quantity.low)
    assert widths[1] > 1.5 * widths[0]


def test_report_has_one_table_one_figure_one_page():
    report = toolkit.diagnose(GateVLM(jitter=0.02), [gate_sample(g, i) for g in GATES for i in range(3)])
    table = report.table()
    assert {"value", "low", "high", "n", "unit"} <= set(table.columns)
    assert (table["value"].isna() == table["reason"].notna()).all()
    assert len(draw_report(report).figure.axes) == 3
    page = redundancy_page(report)
    assert report.verdict.split(";")[0] in page
    assert "<svg" in page or "data:image" in page
    right = int(report.confusion().to_numpy().sum())
    assert f"Over the {right} of {len(report.records)} samples that the model answers rightly" in page
    assert f"may still lie about {3 / len(report.records):.2f} away" in page
    assert '<th scope="col" class="n">95 % from</th>' in page
    assert f'<td class="n">{report["text share"].value:.3f}</td>' in page
    assert "<td>probability</td>" in page
    assert "nan" not in page.split("<h2>Numbers")[1].lower()
    assert len(report.samples()) == 15
    with pytest.raises(KeyError, match="no quantity"):
        report["nonsense"]


def test_a_sample_that_fails_is_counted_and_not_dropped_silently():
    class Broken(GateVLM):
        def game(self, sample, *, target=None, baseline="blur"):
            if sample.id == "synergy-1":
                raise ValueError("no picture")
            return super().game(sample, target=target, baseline=baseline)

    report = toolkit.diagnose(Broken(), [gate_sample("synergy", i) for i in range(4)])
    assert report.failures == {"synergy-1": "ValueError: no picture"}
    assert len(report.records) == 3
    with pytest.raises(ValueError, match="at least one sample"):
        toolkit.diagnose(GateVLM(), [])


def test_samples_are_asked_together_and_a_failing_one_fails_alone(monkeypatch):
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
    samples = toolkit.load_samples("scenes-choice", split="test", n=6)
    alone = [toolkit.diagnose(vlm, [sample]).records[0] for sample in samples]
    vlm.forget()
    passes = []
    engine = type(vlm.engine)
    ask, view = engine.log_probabilities, type(vlm).view
    monkeypatch.setattr(engine, "log_probabilities", lambda *a: passes.append(a) or ask(*a))
    together = toolkit.diagnose(vlm, samples)
    assert len(passes) == 2, "once for the answers, once for the corners"
    for one, other in zip(alone, together.records, strict=True):
        assert one.target == other.target
        np.testing.assert_allclose(other.beliefs, one.beliefs, atol=1e-5)

    def refused(self, sample):
        if sample.id == samples[3].id:
            raise ValueError("no picture")
        return view(self, sample)

    vlm.forget()
    monkeypatch.setattr(type(vlm), "view", refused)
    report = toolkit.diagnose(vlm, samples)
    assert report.failures == {samples[3].id: "ValueError: no picture"}
    assert [record.sample for record in report.records] == [*samples[:3], *samples[4:]]


def test_large_pictures_are_asked_about_in_smaller_groups(monkeypatch):
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
    samples = deque(toolkit.load_samples("scenes-choice", split="test", n=6))
    size = vlm.view(samples[0]).nbytes * 4
    answers, groups = type(vlm).answers, []
    monkeypatch.setattr(type(vlm), "answers", lambda self, some: groups.append(len(some)) or answers(self, some))
    for bound, expected in ((size, [1] * 6), (2 * size, [2] * 3), (100 * size, [6])):
        monkeypatch.setattr("toolkit.redundancy.corners.VIEW_BYTES", bound)
        vlm.forget()
        groups.clear()
        assert len(toolkit.diagnose(vlm, samples).records) == 6
        assert groups == expected


def test_few_samples_have_no_information_and_a_reason():
    report = toolkit.diagnose(GateVLM(), [gate_sample("synergy", i) for i in range(3)])
    assert np.isnan(report["information, synergy"].value)
    assert "at least 8 samples" in (report["information, synergy"].reason or "")


def test_constant_accuracy():
    assert constant_accuracy(["yes", "no", "yes", "yes"]) == 0.75


def test_panels_of_the_figure_keep_to_themselves_where_a_reason_stands_for_a_number():
    report = toolkit.diagnose(GateVLM(), [gate_sample("synergy", i) for i in range(4)])
    assert report["information, synergy"].reason
    figure = draw_report(report).figure
    figure.draw_without_rendering()
    _, middle, right = (axes.get_tightbbox() for axes in figure.axes)
    assert middle.x1 < right.x0
    assert right.x1 <= figure.bbox.x1
