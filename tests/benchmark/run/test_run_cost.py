"""The dry run's counts are those of the paper and of the engine."""

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import toolkit
from toolkit.benchmark.run import run_cost as plan_module
from toolkit.benchmark.run.presets import PRESETS, preset
from toolkit.benchmark.run.run_cost import count_passes, dry_run
from toolkit.benchmark.run.runner import run_benchmark
from toolkit.benchmark.run.spec import SpecError, make_spec
from toolkit.benchmark.run.units import jobs_of
from toolkit.explainers import EXPLAINERS
from toolkit.games.attribution import Attribution
from toolkit.synergy import evaluate_all
from toolkit.vlm.loading.catalogue import CATALOGUE


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


def _pairs(folder: Path) -> str:
    """A folder of five questions: two about one image, three about two or three images."""
    for name, colour in (("a.png", "red"), ("b.png", "blue"), ("c.png", "green")):
        Image.new("RGB", (24, 24), colour).save(folder / name)
    lines = ["a.png,", "a.png,b.png", "b.png,", "c.png,a.png", "a.png,b.png|c.png"]
    rows = [f"{line},is there a red circle ?,yes|no" for line in lines]
    (folder / "questions.csv").write_text("\n".join(["image,further_images,question,choices", *rows]))
    return f"folder:{folder}"


def test_a_sample_of_several_images_counts_all_of_them(tmp_path):
    """Three images of 36 cells, and the question file says how many samples there are."""
    fields = {"datasets": [_pairs(tmp_path)], "explainers": ["occlusion"], "samples": None}
    plan = dry_run(make_spec({"models": ["tiny-llava-grounded"], **fields}))
    one = dry_run(make_spec({"models": ["tiny-llava-grounded"], "datasets": ["mmstar"], "explainers": ["occlusion"]}))
    assert (plan.n_samples, plan.n_images) == (5, {f"folder:{tmp_path}": 3})
    assert (plan.models[0].n_tokens, plan.models[0].n_image) == (3 * 36, 3 * 36)
    assert plan.models[0].forward - one.models[0].forward == 2 * 36
    assert plan.models[0].images > one.models[0].images == 20
    assert f"the most that one has, for which is counted: folder:{tmp_path} 3" in str(plan)
    assert "images of a sample" not in str(one)
    grid = dry_run(make_spec({"models": ["tiny-llava-grounded"], "players": "grid:2x3", **fields}))
    assert (grid.models[0].n_tokens, grid.models[0].n_image) == (3 * 36, 3 * 6)
    alone = dry_run(make_spec({"models": ["google/gemma-3-4b-it"], **fields}))
    assert "  gemma3 is asked about one image here, and samples of folder:" in str(alone)
    with pytest.raises(ValueError, match="has 5 samples, 6 were asked for"):
        dry_run(make_spec({"models": ["tiny-llava-grounded"], **fields, "samples": 6}))


def test_the_images_of_the_plan_are_those_that_the_model_encodes(tmp_path):
    """Each image of three is encoded once for each way in which its own cells are hidden."""
    (sample,) = (s for s in toolkit.load_samples(_pairs(tmp_path), n=None) if len(s.images) == 3)
    vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu", store=None)
    game, rng = vlm.game(sample, target="yes"), np.random.default_rng(0)
    spec = make_spec({"models": ["m"], "datasets": ["d"], "explainers": ["tam", "occlusion"]})
    found = [Attribution(rng.standard_normal(game.players.n), game.players, name, "yes") for name, _ in jobs_of(spec)]
    vlm.engine.forget()
    before = vlm.engine.counters.images
    evaluate_all(game, found, spec.steps, metrics=spec.metrics)
    n_image = game.players.n_image
    images = count_passes(spec, jobs_of(spec), n_image, game.players.n - n_image, len(sample.images))[2]
    assert vlm.engine.counters.images - before == images


def test_attention_weights_are_estimated_from_the_configuration_before_anything_loads(monkeypatch):
    """4 heads, 36 image tokens, 8 words and 32 tokens of the template; LLaVA-1.5-7B has 32 heads and 576."""
    chosen = {"datasets": ["mmstar"], "explainers": ["occlusion", "rollout", "attn-lrp"], "device": "cpu"}
    small = dry_run(make_spec({"models": ["tiny-llava-grounded"], **chosen}))
    assert small.models[0].attention == 5 * 4 * 4 * 76**2
    assert "  memory for the attention weights of one layer (rollout, attn-lrp): about 452 KiB" in str(small)
    large = make_spec({"models": ["llava-hf/llava-1.5-7b-hf"], **chosen})
    monkeypatch.setattr(plan_module, "stored_config", lambda name, revision: None)
    assert "(rollout, attn-lrp): unknown until the model's files are on this machine" in str(dry_run(large))
    tower = {"num_attention_heads": 16, "image_size": 336, "patch_size": 14}
    config = {"text_config": {"num_attention_heads": 32}, "vision_config": tower}
    monkeypatch.setattr(plan_module, "stored_config", lambda name, revision: config)
    assert dry_run(large).models[0].attention == 20 * 32 * (576 + 24 + 32) ** 2
    assert dry_run(large.model_copy(update={"device": "cuda"})).models[0].attention == 10 * 32 * 632**2
    without = dry_run(large.model_copy(update={"explainers": ("occlusion",)}))
    assert without.models[0].attention == 0
    assert "attention weights" not in str(without)


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
    monkeypatch.setattr(plan_module, "_extent", lambda name, spec: ({"mmstar": 30, "cv-bench": 10}[name], 1))
    wanted = small.model_copy(update={"samples": None, "steps": 10, "executor": "processes", "workers": 2})
    plan = dry_run(wanted)
    assert plan.models[0].seconds == 7.0
    text = str(plan)
    assert "7 s per sample, 2.3 min with 2 workers" in text
    assert "the times were measured with other settings: steps: 5 -> 10" in text


def test_the_rows_of_the_papers_models_differ_by_what_a_photograph_makes():
    """640 x 480: one crop of 24 x 24, 17 x 23 merged blocks of 28 pixels, 4 x 3 tiles of 16 x 16."""
    plan = dry_run(preset("paper", explainers=["occlusion", "integrated-gradients", "kernel-shap"], device="cuda"))
    assert [model.n_image for model in plan.models] == [576, 17 * 23, 12 * 256]
    shap = [max(512, 6 * (cells + 24)) for cells in (576, 391, 3072)]
    assert [m.forward for m in plan.models] == [
        cells + 24 + 1 + 7 + more for cells, more in zip((576, 391, 3072), shap, strict=True)
    ]
    assert {model.backward for model in plan.models} == {5}
    bounded = dry_run(preset("paper", max_pixels=200 * 28**2, max_tiles=2))
    assert [model.n_image for model in bounded.models] == [576, 200, 512]


def test_the_readme_shows_the_three_rows_of_the_papers_preset():
    """As the dry run prints them: the same command, three different models."""
    page = (Path(plan_module.__file__).parents[1] / "README.md").read_text(encoding="utf-8")
    plan = dry_run(preset("paper", device="cuda"))
    rows = [line for line in str(plan).splitlines() if line.startswith(tuple(plan.spec.models))]
    assert len({line.split(":", 1)[1] for line in rows}) == len(rows) == 3
    assert "\n".join(rows) in page


def test_a_photographs_cells_are_those_of_the_released_processors():
    from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import get_optimal_tiled_canvas
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import smart_resize

    height, width = smart_resize(480, 640, factor=28)
    assert CATALOGUE["Qwen/Qwen2.5-VL-3B-Instruct"].n_image_tokens() == height * width // 28**2
    height, width = smart_resize(480, 640, factor=32)
    assert CATALOGUE["Qwen/Qwen3-VL-2B-Instruct"].n_image_tokens() == height * width // 32**2
    assert CATALOGUE["Qwen/Qwen3-VL-2B-Instruct"].n_image_tokens(max_pixels=100 * 32**2) == 100
    tiles = np.prod(get_optimal_tiled_canvas((480, 640), (448, 448), 1, 12))
    assert CATALOGUE["OpenGVLab/InternVL3_5-2B-HF"].n_image_tokens() == 256 * tiles


def test_an_explainer_that_would_refuse_or_does_not_say_is_named(monkeypatch):
    explainers = ["tam", "shapley-interaction", "math:floor"]
    monkeypatch.setitem(EXPLAINERS._entries, "math:floor", lambda: lambda vlm, sample: [])
    text = str(dry_run(preset("paper", explainers=explainers, options={})))
    assert "at most 1 forward and 0 backward rows without math:floor" in text
    assert "shapley-interaction: interactions among 600 players need about" in text


def test_presets_are_valid_and_say_what_they_are():
    specs = {name: preset(name) for name in PRESETS}
    assert specs["paper"].headline == "f-syn-paper"
    assert specs["correct"].headline == "synergy-surface-recovered"
    assert {"f-syn", "f-syn-paper"} < set(specs["correct"].metrics)
    assert specs["paper"].options["integrated-gradients"] == {"steps": 5}
    assert {"oracle", "random", "anti-oracle"} < set(specs["demo"].explainers)
    assert specs["correct"].options["integrated-gradients"] == {"max_steps": 1024}
    assert preset("correct", explainers=["occlusion"]).options == {}
    with pytest.raises(SpecError, match="options name integrated-gradients, not evaluated here"):
        preset("correct", explainers=["occlusion"], options={"integrated-gradients": {"max_steps": 8}})


def test_memory_is_that_of_the_precision_which_the_run_will_have():
    """7.06 billion weights and a fifth more: 4 bytes each on a CPU, 2 on a GPU, .6 in four bits."""
    for fields, said in (
        ({"device": "cpu"}, "31.6 GiB for float32"),
        ({"device": "cuda"}, "15.8 GiB for bfloat16"),
        ({"executor": "ray", "gpus_per_worker": 1}, "15.8 GiB for bfloat16"),
        ({"executor": "ray"}, "31.6 GiB for float32"),
        ({"device": "cuda", "four_bit": True}, "4.7 GiB for 4-bit weights"),
    ):
        one = {"models": ["llava-hf/llava-1.5-7b-hf"], "datasets": ["repope"], "explainers": ["tam"]}
        assert said in str(dry_run(make_spec({**one, **fields})))
