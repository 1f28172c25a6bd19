"""The dry run's counts are those of the paper and of the engine."""

import re

from toolkit.benchmark.plan import count_passes, dry_run
from toolkit.benchmark.presets import PRESETS, preset
from toolkit.benchmark.runner import run_benchmark
from toolkit.benchmark.spec import make_spec
from toolkit.benchmark.units import jobs_of


def test_one_explainer_costs_76_passes_over_20_images_and_nine_cost_652_over_164():
    one = make_spec({"models": ["m"], "datasets": ["d"], "explainers": ["tam"]})
    assert count_passes(one, jobs_of(one), 36, 12)[::2] == (76, 20)
    nine = preset("paper")
    assert len(jobs_of(nine)) == 9
    passes, separate, images = count_passes(nine, jobs_of(nine), 576, 200)
    assert (passes, images) == (652, 164)
    assert separate == 9 * 76


def test_the_plan_of_the_full_grid_needs_no_model_and_no_network():
    plan = dry_run(preset("paper"))
    assert plan.n_samples == 4779 + 2638 + 1500
    text = str(plan)
    assert re.search(r"6[45][0-9] scoring passes over 164 images", text)
    assert f"records: {8917 * 9 * 3:,}" in text
    assert "GiB for bfloat16" in text
    assert "evaluate a few samples into it first" in text


def test_samples_cap_the_plan():
    plan = dry_run(preset("correct", samples=10))
    assert plan.n_samples == 30
    assert plan.jobs == 8 + 2 * 3  # eight deterministic methods; random and llava-cam with three seeds


def test_time_comes_from_the_folder_of_the_run(tmp_path):
    from toy_bench import ToyBench, spec

    small = spec(tmp_path / "run", models=["gate-and"], samples=2)
    run_benchmark(small, bench=ToyBench)
    plan = dry_run(small.model_copy(update={"datasets": ("mmstar",), "samples": None}))
    assert plan.models[0].seconds > 0
    assert "worker(s)" in str(plan)


def test_presets_are_valid_and_say_what_they_are():
    specs = {name: preset(name) for name in PRESETS}
    assert specs["paper"].headline == "f-syn-paper"
    assert specs["correct"].headline == "f-syn"
    assert specs["paper"].options["integrated-gradients"] == {"first_steps": 5, "max_steps": 5}
    assert {"oracle", "random", "anti-oracle"} < set(specs["demo"].explainers)
