"""The dry run's counts are those of the paper and of the engine."""

import re

from toolkit.benchmark.run import run_cost as plan_module
from toolkit.benchmark.run.presets import PRESETS, preset
from toolkit.benchmark.run.run_cost import count_passes, dry_run
from toolkit.benchmark.run.runner import run_benchmark
from toolkit.benchmark.run.spec import make_spec
from toolkit.benchmark.run.units import jobs_of


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
    assert "time is measured, not guessed: evaluate some samples with --samples 5 --out FOLDER" in text


def test_samples_cap_the_plan():
    plan = dry_run(preset("correct", samples=10))
    assert plan.n_samples == 30
    assert plan.jobs == 8 + 2 * 3  # eight deterministic methods; random and llava-cam with three seeds


def test_time_comes_from_the_folder_of_the_run(tmp_path):
    from support.toy_bench import ToyBench, spec

    small = spec(tmp_path / "run", models=["gate-and", "gate-or"], samples=2)
    run_benchmark(small, workspace=ToyBench)
    plan = dry_run(small.model_copy(update={"datasets": ("mmstar",), "samples": None}))
    assert plan.models[0].seconds > 0
    assert plan.other == ()
    text = str(plan)
    assert "all models: " in text
    assert " with 1 worker" in text
    assert "not guessed" not in text


def test_a_rate_weighs_every_dataset_by_its_size_and_says_where_its_settings_differ(tmp_path, monkeypatch):
    """9 s on the 30 samples of one dataset, 1 s on the 10 of the other: 7 s per sample, 280 s in all, 140 s for two."""
    from support.toy_bench import ToyBench, spec

    small = spec(tmp_path / "run", models=["gate-and"], datasets=["mmstar", "cv-bench"], samples=2)
    run_benchmark(small, workspace=ToyBench)
    times = {"mmstar": 9.0, "cv-bench": 1.0}
    lines = [
        {"kind": "sample", "model": "gate-and", "dataset": name, "cost": {"seconds": seconds}}
        for name, seconds in times.items()
    ]
    monkeypatch.setattr(plan_module, "read_shards", lambda folder: lines)
    monkeypatch.setattr(plan_module, "_size", lambda name, wanted: {"mmstar": 30, "cv-bench": 10}[name])
    wanted = small.model_copy(update={"samples": None, "steps": 10, "executor": "processes", "workers": 2})
    plan = dry_run(wanted)
    assert plan.models[0].seconds == 7.0
    text = str(plan)
    assert "7 s per sample, 2.3 min with 2 workers" in text
    assert "the times were measured with other settings: steps: 5 -> 10" in text


def test_presets_are_valid_and_say_what_they_are():
    specs = {name: preset(name) for name in PRESETS}
    assert specs["paper"].headline == "f-syn-paper"
    assert specs["correct"].headline == "f-syn"
    assert specs["paper"].options["integrated-gradients"] == {"first_steps": 5, "max_steps": 5}
    assert {"oracle", "random", "anti-oracle"} < set(specs["demo"].explainers)


def test_memory_is_that_of_the_precision_which_the_run_will_have():
    """7.06 billion weights and a fifth more: 4 bytes each on a CPU, 2 on a GPU, .6 in four bits."""
    for fields, said in (
        ({"device": "cpu"}, "31.6 GiB for float32"),
        ({"device": "cuda"}, "15.8 GiB for bfloat16"),
        ({"executor": "ray", "gpus_per_worker": 1}, "15.8 GiB for bfloat16"),
        ({"executor": "ray"}, "31.6 GiB for float32"),
        ({"device": "cuda", "four_bit": True}, "4.7 GiB for 4-bit weights"),
    ):
        spec = make_spec(
            {"models": ["llava-hf/llava-1.5-7b-hf"], "datasets": ["repope"], "explainers": ["tam"], **fields}
        )
        assert said in str(dry_run(spec))
