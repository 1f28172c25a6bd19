import inspect
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from support.fakes import KnownVLM, known_sample

import toolkit
from toolkit.audit import validation
from toolkit.audit.metrics import StudySize, game_checks, model_checks
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
    interval,
    kept_share,
    model_entries,
    one_sided_p,
    scored_entry,
    tau,
    tied_entry,
    weights_entry,
)
from toolkit.audit.metrics.rules import RULES
from toolkit.audit.metrics.study import frame, shuffle_weights, study_controls, study_explainers, study_redundant
from toolkit.audit.metrics.two_player_macro import compare_with_exact, surrogate_table
from toolkit.audit.metrics.validity_panel import ValidityPanel
from toolkit.audit.panel_run import Study
from toolkit.audit.paper.collapse import collapse_table, mean_ranks
from toolkit.audit.validation import validate_metric
from toolkit.stats.rank_agreement import auroc

PLAN = StudySize(controls=12, halves=6, weights=0, redundant=0, ranking=6, settings=2, diagnosis=8, surrogate=2,
            flaws=2, explainers=("occlusion", "random", "oracle", "anti-oracle"))  # fmt: skip
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
        found[name] = frame(rows + study_explainers(vlm, samples, NAMES, PLAN, quiet)[0])
    return found


@pytest.fixture(scope="module")
def cells(tables):
    return model_entries(tables, {GROUNDED: BIASED}, NAMES)


def cells_of(cells, check):
    return {cell.metric: cell for cell in cells if cell.check == check}


def test_controls_are_ordered_by_a_sound_metric(cells):
    cell = cells_of(cells, "controls")["f-syn-recovered"]
    assert cell.value > 0.1
    assert cell.low > 0
    assert cell.n == 11  # the sign of one sample is contradicted by its wobble
    assert cell.verdict is None  # these are too few for a verdict
    assert "rank-biserial +1.00" in cell.note


def test_half_right_maps_lose_the_joint_part_only_in_a_joint_metric(cells):
    kept = cells_of(cells, "half right, models")
    assert abs(kept["f-syn"].value) < 0.1
    assert kept["srg-image"].value == pytest.approx(0.5, abs=0.1)


def test_twins_are_told_apart(cells):
    assert cells_of(cells, "twins")["f-syn-recovered"].value == 1.0
    assert cells_of(cells, "twins")["srg-text"].value < 0.95


def test_rank_agreement_is_computed_for_every_setting(cells):
    for check in ("fills", "steps", "granularity", "seeds"):
        cell = cells_of(cells, check)["f-syn-recovered"]
        assert -1 <= cell.value <= 1
    assert cells_of(cells, "steps")["f-syn-recovered"].value > 0.5


def test_samples_without_localised_evidence_do_not_judge():
    samples = [known_sample(0, everywhere=True), known_sample(1)]
    rows = study_controls(KnownVLM(), samples, NAMES, PLAN, quiet)
    assert {row["sample"] for row in rows} == {"known-001"}


def test_maps_with_ties_are_compared_with_orders_of_what_they_tie(tables, cells):
    """The reference orderings of a constant map have a gain of 0 on average, by construction."""
    found = {(e.metric, e.check): e for e in cells if e.check.endswith("map") and e.subject == GROUNDED}
    assert {check for _, check in found} == {"constant map", "image-only map"}
    table = tables[GROUNDED]
    ordered = table[(table["explainer"] == "constant, ordered") & (table["metric"] == "f-syn-recovered")]
    assert ordered.groupby("sample")["value"].mean().abs().max() < 1e-12
    moved = table.assign(value=table["value"] + 0.3 * (table["explainer"] == "constant"))
    before, after = (tied_entry(t, "f-syn", GROUNDED, "constant", "controls").value for t in (table, moved))
    oracle, random = (
        t["value"].mean() for t in (table[(table["metric"] == "f-syn") & (table["explainer"] == kind)
                                          & (table["part"] == "controls")][:6] for kind in ("oracle", "random"))
    )  # fmt: skip
    assert after - before == pytest.approx(0.3 / (oracle - random))


def test_samples_that_ask_the_same_question_share_the_luck_of_its_orders():
    scores = {"constant": (0.1, 0.2, 0.3), "constant, ordered": (0.0,) * 3, "oracle": (1.0,) * 3, "random": (0.0,) * 3}
    rows = [
        {"part": "controls", "metric": "m", "sample": f"{number:02d}", "explainer": name, "value": luck[number % 3]}
        for number in range(24)
        for name, luck in scores.items()
    ]
    table = pd.DataFrame(rows)
    alone, shared = (
        tied_entry(table.assign(question=asked), "m", "subject", "constant", "controls")
        for asked in (table["sample"], table["sample"].astype(int) % 3)
    )
    assert alone.value == shared.value == pytest.approx(0.2)
    assert (alone.n, shared.n) == (24, 24)
    assert shared.high - shared.low > 2 * (alone.high - alone.low)
    assert (alone.note.split(", ")[1], shared.note.split(", ")[1]) == ("24 questions", "3 questions")


def test_redundant_samples_are_chosen_by_their_construction():
    samples = [known_sample(i) for i in range(4)]
    other = replace(samples[2], truth=replace(samples[2].truth, gate="redundancy"))
    rows = study_redundant(KnownVLM(), [*samples[:2], other], NAMES, replace(PLAN, redundant=3), quiet)
    assert {(row["sample"], row["part"]) for row in rows} == {(other.id, "redundant")}


def test_the_share_of_scored_samples_has_an_interval_unless_all_are(tables):
    table = tables[GROUNDED]
    assert (scored_entry(table, "f-syn", GROUNDED).value, scored_entry(table, "f-syn", GROUNDED).low) == (1.0, 1.0)
    first = table["sample"] == table["sample"].iloc[0]
    some = scored_entry(table.assign(value=table["value"].mask(first)), "f-syn", GROUNDED)
    assert some.value == pytest.approx(11 / 12)
    assert some.low < some.value < some.high < 1


def test_the_interval_of_few_samples_is_corrected_for_its_skew():
    """As scipy's BCa interval, whose resamples differ; and no interval leaves out its own number."""
    values = np.random.default_rng(5).exponential(size=12)
    ours = interval(lambda index: float(values[index].mean()), 12)
    theirs = stats.bootstrap((values,), np.mean, method="BCa", rng=np.random.default_rng(0)).confidence_interval
    assert ours == pytest.approx((theirs.low, theirs.high), rel=0.08)
    low, high = interval(lambda index: float(np.unique(index).size), 12)
    assert low <= 12 <= high


def test_a_failing_method_is_a_row_with_a_reason():
    def broken(vlm, sample):
        raise ValueError("no gradient")

    plan = StudySize(ranking=2, settings=0, explainers=("random", "occlusion", broken))
    table = frame(study_explainers(KnownVLM(), [known_sample(0)], NAMES, plan, quiet)[0])
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
    assert cell.n == 11


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
    vlm, rows = KnownVLM(), []
    for sample in (known_sample(i) for i in range(4)):
        maps = [toolkit.explain(name, vlm, sample) for name in ("occlusion", "random", "anti-oracle")]
        rows += compare_with_exact("m", sample, vlm.game(sample), maps, steps=4, n_background=2, seed=0)
    rows = pd.DataFrame(rows)
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
    table = surrogate_table(pd.DataFrame(rows))
    assert table.loc["pooled over samples, areas", "value"] > 0.95
    assert table.loc["pooled, explainers shuffled within samples", "value"] > 0.95
    assert abs(table.loc["within samples, interior points", "value"]) < 0.4
    assert table.loc["pooled, interior points", "n"] == 12 * 5
    assert table.loc["cost ratio", "value"] == 10


def test_validate_metric_needs_no_model(monkeypatch):
    monkeypatch.setattr(game_checks, "N_NOISE", 60)
    panel = validate_metric("f-syn-paper", models=[])
    assert panel.metrics == ("f-syn-paper",)
    assert {"gate AND", "noise alone"} <= {cell.check for cell in panel.entries}
    assert "noise alone" in panel.verdict("f-syn-paper")


def test_validate_writes_a_report(tmp_path, monkeypatch):
    monkeypatch.setattr(toolkit, "load_vlm", KnownVLM, raising=False)
    monkeypatch.setattr(validation, "shared_samples", lambda plan, seed=0: [known_sample(i) for i in range(14)])
    monkeypatch.setattr(validation, "_dataset", lambda name, n, seed: [known_sample(i) for i in range(n)])
    monkeypatch.setattr(StudySize, "scaled", lambda self, controls: PLAN)
    for module, name, value in ((model_checks, "N_RESAMPLES", 40), (game_checks, "N_NOISE", 20),
                                (game_checks, "N_DRAWS", 6), (game_checks, "N_RENAMED", 3)):  # fmt: skip
        monkeypatch.setattr(module, name, value)
    messages = []
    monkeypatch.setattr(passes, "weights", lambda: {GROUNDED: "before", "another": "one"})
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
    assert set(report.surrogate) == {GROUNDED}
    assert {p.name for p in (tmp_path / "v" / "studies").iterdir()} == {GROUNDED, BIASED}
    assert "resampled: no flaw, chance alone" in page
    assert {"2c", "3a", "4a", "4c"} <= set(verdicts)
    assert messages


def test_an_interrupted_run_goes_on_with_the_next_model(tmp_path, monkeypatch):
    asked = []

    def study(name, metrics, plan, *, seed, step):
        asked.append(name)
        scores = pd.DataFrame({"metric": [name, None], "value": [0.1 + 1e-17, np.nan]})
        return Study(scores, scores[:0], scores, scores.set_index("metric"))

    monkeypatch.setattr(validation, "study", study)

    def run(models, plan=PLAN):
        return validation.studies(models, {}, plan, seed=0, workers=1, step=quiet, folder=tmp_path)

    run([GROUNDED])
    found = run([GROUNDED, BIASED])
    assert asked == [GROUNDED, BIASED]
    for kept, made in zip(vars(run([GROUNDED])[GROUNDED]).values(), vars(found[GROUNDED]).values(), strict=True):
        pd.testing.assert_frame_equal(kept, made)
    run([GROUNDED], replace(PLAN, steps=5))  # something else is asked
    assert asked == [GROUNDED, BIASED, GROUNDED]


def test_twins_verdicts():
    assert _twins({"a-grounded": True, "a-biased": True}) == REPRODUCED
    assert _twins({"a-grounded": False, "a-biased": True}) == BIAS_ONLY
    assert _twins({"a-grounded": False, "a-biased": False}) == NOT
    assert _twins({"a-grounded": True, "b-grounded": False}) == MIXED


def test_prior_claim_reads_the_diagnosis():
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
    def verdicts(n):
        names = ["pooled over samples, areas", "pooled, explainers shuffled within samples",
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
    assert (small.controls, small.halves, small.ranking) == (20, 7, 7)
    assert StudySize().scaled(400).ranking == StudySize().ranking
    assert StudySize().for_biased().controls == 45
    assert StudySize().for_biased().weights == 0
    assert StudySize().for_biased().settings == 0


def test_the_command_plans_what_the_package_plans():
    from toolkit.cli.validate_command import validate as command

    assert inspect.signature(command).parameters["samples"].default.default == StudySize().controls


def test_every_rule_is_judged_where_a_metric_leaves_a_third_of_the_samples_unscored():
    plan = StudySize()
    asked = {
        "controls": plan.controls, "half right, models": plan.halves, "twins": plan.for_biased().controls,
        "random weights": plan.weights, "seeds": plan.ranking, "redundant controls": plan.redundant,
        "scored": plan.controls, "constant map": min(plan.halves, plan.redundant),
        "image-only map": min(plan.halves, plan.redundant),
    } | dict.fromkeys(("fills", "steps", "granularity"), plan.settings)  # fmt: skip
    needed = {rule.check: rule.n_min for rule in RULES if rule.needs == "models"}
    assert set(asked) == set(needed)
    assert {check: n for check, n in asked.items() if n - n // 3 < needed[check]} == {}
