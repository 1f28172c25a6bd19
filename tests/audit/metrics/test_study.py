import numpy as np
import pytest
from scipy import stats
from support.fakes import KnownVLM, known_sample

import toolkit
from toolkit.audit import validation
from toolkit.audit.metrics import StudySize
from toolkit.audit.metrics import shipped_panel as passes
from toolkit.audit.metrics.claims import (
    BIAS_ONLY,
    MIXED,
    NOT,
    REPRODUCED,
    UNKNOWN,
    _twins,
    metric_claims,
    prior_claims,
)  # fmt: skip
from toolkit.audit.metrics.model_checks import (
    auroc,
    interval_of_p,
    kept_share,
    model_entries,
    one_sided_p,
    tau,
    weights_entry,
)
from toolkit.audit.metrics.rules import RULES
from toolkit.audit.metrics.study import frame, shuffle_weights, study_controls, study_explainers
from toolkit.audit.metrics.two_player_macro import surrogate_rows, surrogate_table
from toolkit.audit.metrics.validity_panel import ValidityPanel
from toolkit.audit.paper.collapse import collapse_table, mean_ranks
from toolkit.audit.validation import validate_metric

PLAN = StudySize(controls=12, halves=6, weights=0, ranking=6, settings=2, diagnosis=8, surrogate=2, flaws=2,
            explainers=("occlusion", "random", "oracle", "anti-oracle"))  # fmt: skip
NAMES = ("srg-image", "srg-text", "f-syn", "f-syn-recovered")
GROUNDED, BIASED = "tiny-llava-grounded", "tiny-llava-biased"


def quiet(message):
    assert message


@pytest.fixture(scope="module")
def tables():
    samples = [known_sample(i) for i in range(14)]
    found = {}
    for name in (GROUNDED, BIASED):
        vlm = KnownVLM(name)
        rows = study_controls(vlm, samples, NAMES, PLAN, quiet)
        found[name] = frame(rows + study_explainers(vlm, samples, NAMES, PLAN, quiet))
    return found


@pytest.fixture(scope="module")
def cells(tables):
    return model_entries(tables, {GROUNDED: BIASED}, NAMES)


def cells_of(cells, check):
    return {cell.metric: cell for cell in cells if cell.check == check}


def test_controls_are_ordered_by_a_sound_metric(cells):
    cell = cells_of(cells, "controls")["f-syn-recovered"]
    assert cell.value < 1e-3
    assert cell.n == 12
    assert cell.passed is None  # 12 samples are too few for a verdict
    assert "rank-biserial +1.00" in cell.note
    assert np.isnan(cell.low)  # and for the interval of p


def test_half_right_maps_lose_the_joint_part_only_in_a_joint_metric(cells):
    kept = cells_of(cells, "half right, models")
    assert abs(kept["f-syn"].value) < 0.1
    assert kept["srg-image"].value == pytest.approx(0.5, abs=0.1)


def test_twins_are_told_apart(cells):
    assert cells_of(cells, "twins")["f-syn-recovered"].value == 1.0
    assert cells_of(cells, "twins")["srg-text"].value < 0.95


def test_rank_agreement_is_computed_for_every_setting(cells):
    for check in ("baselines", "steps", "granularity", "seeds"):
        cell = cells_of(cells, check)["f-syn-recovered"]
        assert -1 <= cell.value <= 1
    assert cells_of(cells, "steps")["f-syn-recovered"].value > 0.5


def test_samples_without_localised_evidence_do_not_judge():
    samples = [known_sample(0, everywhere=True), known_sample(1)]
    rows = study_controls(KnownVLM(), samples, NAMES, PLAN, quiet)
    assert {row["sample"] for row in rows} == {"known-001"}


def test_a_failing_method_is_a_row_with_a_reason():
    def broken(vlm, sample):
        raise ValueError("no gradient")

    plan = StudySize(ranking=2, settings=0, explainers=("random", "occlusion", broken))
    table = frame(study_explainers(KnownVLM(), [known_sample(0)], NAMES, plan, quiet))
    failed = table[table["part"] == "failures"]
    assert failed["reason"].tolist() == ["ValueError: no gradient"]
    assert set(table.loc[table["part"] == "explainers", "explainer"]) == {"random", "occlusion"}


def test_collapse_reports_an_exact_p_and_both_twins(tables):
    table = collapse_table(tables, ("srg-image", "srg-text", "f-syn"))
    assert set(table["model"]) == {GROUNDED, BIASED}
    row = table[(table["first"] == "srg-image") & (table["second"] == "f-syn") & (table["dataset"] == "all")].iloc[0]
    assert row["concordant"] + row["discordant"] <= 6
    assert 0 < row["p"] <= 1
    ranks = mean_ranks(tables[GROUNDED], ("srg-image", "f-syn"))
    assert ranks["srg-image"]["anti-oracle"] == 4.0
    assert ranks["f-syn"]["oracle"] <= 2.0


def test_weights_cell_compares_with_the_gap_before(tables):
    controls = tables[GROUNDED][tables[GROUNDED]["part"] == "controls"]
    shuffled = controls[controls["explainer"].isin(["oracle", "random"])].copy()
    shuffled["part"], shuffled["value"] = "weights", 0.1 * shuffled["value"]
    table = frame([*controls.to_dict("records"), *shuffled.to_dict("records")])
    cell = weights_entry(table, "f-syn-recovered", GROUNDED)
    assert cell.value == pytest.approx(0.1)
    assert cell.n == 12


def test_shuffling_keeps_the_entries_and_moves_them():
    import torch

    class Loaded(KnownVLM):
        def __init__(self):
            super().__init__()
            self.model = torch.nn.Linear(20, 5)

    vlm = Loaded()
    before = vlm.model.weight.detach().clone()
    shuffle_weights(vlm, seed=1)
    assert torch.equal(before.flatten().sort().values, vlm.model.weight.detach().flatten().sort().values)
    assert (before != vlm.model.weight).float().mean() > 0.5
    with pytest.raises(TypeError, match="no torch module"):
        shuffle_weights(KnownVLM())


def test_surrogate_check_separates_samples_from_explainers():
    samples = [known_sample(i) for i in range(4)]
    rows = surrogate_rows(KnownVLM(), samples, ("occlusion", "random", "anti-oracle"), steps=4, n_background=2)
    assert len(rows) == 4 * 3 * 5
    ends = rows[rows["k"].isin([0.0, 1.0])]
    assert np.allclose(ends["f-syn"], ends["exact"], atol=1e-12)
    table = surrogate_table(rows)
    assert table.loc["within samples, interior points", "n"] == 4
    assert table.loc["cost ratio", "value"] > 1
    assert 0 <= table.loc["share of variance between samples", "value"] <= 1


def test_pooling_makes_a_surrogate_out_of_nothing():
    rng = np.random.default_rng(0)
    rows = []
    for sample, total in enumerate(np.linspace(-1, 1, 12)):
        for method in "abcde":
            noise = rng.normal(0, 0.05, size=2)
            for k, weight in ((0.0, 0.0), (0.5, 0.5), (1.0, 1.0)):
                inside = noise if k == 0.5 else (0.0, 0.0)
                rows.append(
                    {"sample": str(sample), "image_id": str(sample), "explainer": method, "k": k,
                     "f-syn": weight * total + inside[0], "exact": weight * total + inside[1],
                     "f-syn area": total / 2 + noise[0] / 2, "exact area": total / 2 + noise[1] / 2,
                     "f-syn cost": 10, "exact cost": 100}
                )  # fmt: skip
    import pandas as pd

    table = surrogate_table(pd.DataFrame(rows))
    assert table.loc["pooled over samples, areas", "value"] > 0.95
    assert table.loc["pooled, methods shuffled within samples", "value"] > 0.95
    assert abs(table.loc["within samples, interior points", "value"]) < 0.4
    assert table.loc["pooled, interior points", "n"] == 12 * 5
    assert table.loc["cost ratio", "value"] == 10


def test_validate_metric_needs_no_model(monkeypatch):
    panel = validate_metric("f-syn-paper", models=[])
    assert panel.metrics == ("f-syn-paper",)
    assert {"gate AND", "noise alone"} <= {cell.check for cell in panel.entries}
    assert "noise alone" in panel.verdict("f-syn-paper")


def test_validate_writes_a_report(tmp_path, monkeypatch):
    monkeypatch.setattr(toolkit, "load_vlm", KnownVLM, raising=False)
    monkeypatch.setattr(validation, "shared_samples", lambda plan, seed=0: [known_sample(i) for i in range(14)])
    monkeypatch.setattr(validation, "_dataset", lambda name, n, seed: [known_sample(i) for i in range(n)])
    monkeypatch.setattr(StudySize, "scaled", lambda self, controls: PLAN)
    messages = []
    changing = iter(["before", "after"])
    monkeypatch.setattr(passes, "weights", lambda: {GROUNDED: next(changing)})  # a training ends meanwhile
    report = validation.validate(
        tmp_path / "v", metrics=NAMES, models=[GROUNDED, BIASED], samples=12, workers=1, progress=messages.append
    )
    tables = {f"{name}.csv" for name in ("panel", "claims", "collapse", "flaws", "redundancy", "scores")}
    assert {p.name for p in (tmp_path / "v").iterdir()} >= {"validity.html", "panel.png", *tables}
    assert passes.load(tmp_path / "v")[1]["weights"] == {GROUNDED: "before"}
    verdicts = dict(zip(report.claims["claim"].str[:2], report.claims["verdict"], strict=True))
    assert verdicts["1a"] == NOT  # this toy's text-only answer is right as often as the full one
    page = (tmp_path / "v" / "validity.html").read_text(encoding="utf-8")
    assert "Rules were fixed before" in page
    assert len(report.flaws) == 15
    assert set(report.surrogate) == {GROUNDED, BIASED}
    assert "resampled: no flaw, chance alone" in page
    assert {"2c", "3a", "4a", "4c"} <= set(verdicts)
    assert messages


def test_twins_verdicts():
    assert _twins({"a-grounded": True, "a-biased": True}) == REPRODUCED
    assert _twins({"a-grounded": False, "a-biased": True}) == BIAS_ONLY
    assert _twins({"a-grounded": False, "a-biased": False}) == NOT
    assert _twins({"a-grounded": True, "b-grounded": False}) == MIXED


def test_the_interval_of_p_is_that_of_the_larger_one_resampled():
    rng = np.random.default_rng(1)
    clear, weak = rng.normal(1, 1, 60), rng.normal(0.3, 1, 60)
    low, high = interval_of_p((clear, weak))
    index = np.random.default_rng(0).integers(60, size=(1000, 60))
    by_hand = [
        max(float(stats.wilcoxon(d[i], alternative="greater", method="asymptotic").pvalue) for d in (clear, weak))
        for i in index[:200]
    ]
    assert np.quantile(by_hand, 0.025) == pytest.approx(low, rel=1)
    assert np.quantile(by_hand, 0.975) == pytest.approx(high, rel=0.3)
    assert interval_of_p((np.zeros(60), clear)) == (1.0, 1.0)
    assert np.isnan(interval_of_p((clear[:50], weak[:50]))).all()


def test_prior_claim_reads_the_diagnosis():
    import pandas as pd

    rows = [
        {"model": m, "name": n, "value": v, "n": 10}
        for m, v in ((GROUNDED, 0.1), (BIASED, 0.9))
        for n in ("language-prior rate", "gate, redundancy", "gate, text-only", "negative interaction beyond noise")
    ]
    first, second = prior_claims(pd.DataFrame(rows))
    assert first.verdict == BIAS_ONLY
    assert "tiny-llava-biased 90%" in first.numbers
    assert second.verdict == BIAS_ONLY
    assert "redundancy gate: tiny-llava-grounded 10%; tiny-llava-biased 90%; with a negative" in second.numbers
    assert "largest part" in second.rule  # what is printed is what is computed
    rows = [r | {"value": 0.9} if r["name"].startswith("negative") else r | {"value": 0.1} for r in rows]
    assert prior_claims(pd.DataFrame(rows))[1].verdict == NOT


def test_a_rank_correlation_of_few_samples_decides_nothing():
    import pandas as pd

    def verdicts(n):
        names = ["pooled over samples, areas", "pooled, methods shuffled within samples",
                 "within samples, interior points", "cost ratio", "share of variance between samples"]  # fmt: skip
        table = pd.DataFrame({"value": 0.95, "n": n}, index=names)
        return [claim.verdict for claim in metric_claims(ValidityPanel.of([]), {GROUNDED: table})[2:4]]

    assert verdicts(20) == [REPRODUCED, REPRODUCED]
    assert verdicts(19) == [UNKNOWN, UNKNOWN]


def test_small_statistics():
    assert auroc(np.array([2.0, 3.0]), np.array([1.0])) == 1.0
    assert auroc(np.array([1.0]), np.array([1.0])) == 0.5
    assert tau(np.array([1.0, 2, 3]), np.array([3.0, 2, 1])) == -1.0
    assert np.isnan(tau(np.ones(3), np.array([1.0, 2, 3])))
    assert one_sided_p(np.arange(1.0, 21), np.zeros(20)) < 1e-5
    assert one_sided_p(np.zeros(5), np.zeros(5)) == 1.0
    assert kept_share([0.0], [0.0], [1.0], [0.0]) == 0.0


def test_shared_samples_take_turns_and_suffice():
    plan = StudySize(controls=4, ranking=2)
    samples = validation.shared_samples(plan)
    assert [s.dataset for s in samples[:4]] == ["scenes-existence", "scenes-choice"] * 2
    assert len(samples) == 8


def test_a_smaller_plan_shrinks_every_part_and_a_twin_is_asked_less():
    small = StudySize().scaled(20)
    assert (small.controls, small.halves, small.ranking) == (20, 4, 4)
    assert StudySize().scaled(400).ranking == StudySize().ranking
    assert StudySize().for_biased().controls == 60
    assert StudySize().for_biased().weights == 0
    assert StudySize().for_biased().settings == 0


def test_the_full_plan_asks_enough_for_every_rule():
    plan = StudySize()
    asked = {
        "controls": plan.controls, "half right, models": plan.halves, "twins": plan.for_biased().controls,
        "random weights": plan.weights, "seeds": plan.ranking,
    } | dict.fromkeys(("baselines", "steps", "granularity"), plan.settings)  # fmt: skip
    needed = {rule.check: rule.n_min for rule in RULES if rule.needs == "models"}
    assert set(asked) == set(needed)
    assert {check: n for check, n in asked.items() if n < needed[check]} == {}


def test_flaws_and_exact_index_are_measured_on_every_grounded_model_and_one_twin():
    plans = validation._plans([name for pair in validation.PAIRS.items() for name in pair], StudySize())
    assert {name for name, plan in plans.items() if plan.flaws} == set(validation.PAIRS)
    assert {name for name, plan in plans.items() if plan.surrogate} == {*validation.PAIRS, BIASED}
    assert validation._plans([], StudySize()) == {}
