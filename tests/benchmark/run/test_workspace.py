"""The toolkit's own bench: names are checked before anything is loaded, failures of data become records."""

import json
import os
import shutil
import weakref
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from support.toy_bench import make_sample

from toolkit.benchmark.report.run_tables import load_run
from toolkit.benchmark.run import workspace as bench_module
from toolkit.benchmark.run.runner import run_benchmark
from toolkit.benchmark.run.spec import SpecError, make_spec
from toolkit.benchmark.run.units import Skip, Unreadable
from toolkit.benchmark.run.workspace import ToolkitWorkspace, configured
from toolkit.paths import models_dir
from toolkit.registry import UnknownNameError
from toolkit.vlm import model as model_module
from toolkit.vlm.loading import load_checkpoint as loading
from toolkit.vlm.loading import placement
from toolkit.vlm.loading.catalogue import CATALOGUE
from toolkit.vlm.loading.checkpoint import CheckpointError, check_folder
from toolkit.vlm.loading.digests import listed

GOOD = {"models": ["tiny-llava-grounded"], "datasets": ["scenes-existence"], "explainers": ["random", "oracle"]}
QUICK = {"steps": 2, "device": "cpu", "progress": False}


def own_folder(folder, column="", value=""):
    """The name of a dataset of one question about a red picture."""
    Image.new("RGB", (96, 96), "red").save(folder / "a.png")
    (folder / "questions.csv").write_text(f"image,question{column}\na.png,is there a red circle ?{value}\n")
    return f"folder:{folder}"


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"models": ["tiny-lava-grounded"]}, "Did you mean 'tiny-llava-grounded'"),
        ({"datasets": ["scenes-existense"]}, "Did you mean 'scenes-existence'"),
        ({"explainers": ["randm"]}, "Did you mean 'random'"),
        ({"metrics": ["f-sin", "f-syn"]}, "Did you mean"),
        ({"split": "tset"}, "unknown split of scenes-existence 'tset'. Did you mean 'test'"),
    ],
)
def test_unknown_names_are_refused_with_a_suggestion(changed, message):
    with pytest.raises(UnknownNameError, match=message):
        ToolkitWorkspace(make_spec({**GOOD, **changed}))


def test_settings_reach_the_explainer():
    found = configured("integrated-gradients", {"steps": 5, "max_steps": 9})
    assert (found.steps, found.max_steps) == (5, 9)
    with pytest.raises(SpecError, match="has no setting 'max_step'; did you mean 'max_steps'"):
        configured("integrated-gradients", {"max_step": 5})
    with pytest.raises(SpecError, match=r"'occlusion' has no setting 'x'\. It has: none"):
        configured("occlusion", {"x": 5})


UNPINNED = next(name for name in CATALOGUE if CATALOGUE[name].source == "hub" and CATALOGUE[name].revision is None)
PINNED = next(name for name in CATALOGUE if CATALOGUE[name].source == "hub" and CATALOGUE[name].revision is not None)


def test_a_hub_model_without_a_commit_is_refused_before_anything_is_evaluated():
    with pytest.raises(CheckpointError, match=r"revision None of .* needs a commit of 40 hexadecimal digits"):
        ToolkitWorkspace(make_spec({**GOOD, "models": ["tiny-llava-grounded", UNPINNED]}))
    named = {**GOOD, "models": [UNPINNED, PINNED], "revisions": {UNPINNED: "a" * 40}, "executor": "ray"}
    found = ToolkitWorkspace(make_spec(named)).identities()
    assert found[f"model {UNPINNED}"] == f"commit {'a' * 40}"
    assert found[f"model {PINNED}"] == f"commit {CATALOGUE[PINNED].revision}"


def test_a_run_on_this_machine_looks_at_every_model_first(monkeypatch):
    spec = make_spec({**GOOD, "models": ["tiny-llava-grounded", PINNED]})
    with pytest.raises(CheckpointError, match="the hub cannot be reached"):
        ToolkitWorkspace(spec).identities()
    monkeypatch.setattr(placement, "free_bytes", lambda device: 1 << 20)
    with pytest.raises(MemoryError, match=r"'tiny-llava-grounded' has 0.00 billion weights"):
        ToolkitWorkspace(spec).identities()
    with pytest.raises(ValueError, match="PyTorch sees [0-9]+ of its kind"):
        ToolkitWorkspace(spec.model_copy(update={"device": "cuda:99"})).identities()


def test_every_model_of_a_run_is_loaded_pinned(monkeypatch):
    asked = {}
    monkeypatch.setattr(bench_module, "load_vlm", lambda name, **options: asked.update({name: options}))
    spec = make_spec({**GOOD, "models": [UNPINNED], "revisions": {UNPINNED: "b" * 40}})
    ToolkitWorkspace(spec).model(UNPINNED)
    assert asked[UNPINNED]["pinned"] is True
    assert asked[UNPINNED]["revision"] == "b" * 40


def test_a_model_is_gone_before_the_next_one_is_loaded(monkeypatch):
    loaded = []

    def load(name, **options):
        assert [ref() for ref in loaded] == [None] * len(loaded)
        vlm = loading.load_vlm(name, **options)
        vlm.circle = vlm  # as transformers' modules and ours are part of some
        loaded.append(weakref.ref(vlm))
        return vlm

    monkeypatch.setattr(bench_module, "load_vlm", load)
    space = ToolkitWorkspace(make_spec({**GOOD, "models": ["tiny-llava-grounded", "tiny-llava-biased"], **QUICK}))
    for name in ("tiny-llava-grounded", "tiny-llava-grounded", "tiny-llava-biased"):
        assert space.model(name).name == name
    assert len(loaded) == 2
    assert loaded[1]() is space.model("tiny-llava-biased")


def test_folders_are_identified_by_their_files_and_datasets_by_their_content(tmp_path):
    name = own_folder(tmp_path)
    spec = make_spec({**GOOD, "datasets": [name], "explainers": ["random"], "samples": None})
    before = ToolkitWorkspace(spec).identities()
    digests = check_folder(models_dir() / "tiny-llava-grounded").digests()
    assert before["model tiny-llava-grounded"] == listed(digests)
    assert {"config.json", "tokenizer.json", "model.safetensors"} < set(digests)
    assert ToolkitWorkspace(spec).identities() == before
    Image.new("RGB", (64, 64), "blue").save(tmp_path / "a.png")
    after = ToolkitWorkspace(spec).identities()
    assert [key for key in before if before[key] != after[key]] == [f"samples of {name}"]


@pytest.mark.parametrize("name", ["tiny-llava-grounded", "scenes-existence"])
def test_what_has_no_revisions_takes_none(name):
    with pytest.raises((CheckpointError, SpecError), match="has no revisions|which has none"):
        ToolkitWorkspace(make_spec({**GOOD, "revisions": {name: "a" * 40}}))


@pytest.mark.parametrize(
    ("fields", "expected"),
    [({"revisions": {"repope": "c" * 40}}, ("c" * 40, None)), ({"sources": {"repope": "here"}}, (None, Path("here")))],
)
def test_revision_or_source_of_a_dataset_reaches_its_loader(monkeypatch, fields, expected):
    asked = {}

    def iter_samples(name, split, n, *, revision, source, instruction, on_unreadable):
        asked[name] = revision, source
        return iter([make_sample("toys", 0)])

    monkeypatch.setattr(bench_module, "iter_samples", iter_samples)
    spec = make_spec({**GOOD, "datasets": ["repope"], **fields})
    ToolkitWorkspace(spec).samples("repope")
    assert asked == {"repope": expected}


def test_a_run_reads_a_dataset_from_a_folder_and_knows_it_by_its_content(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    row = {"image_id": "7", "question": "Is it?", "answer": "yes", "category": "random"}
    found = []
    for folder, colour in (("one", "red"), ("two", "red"), ("three", "blue")):
        (tmp_path / folder).mkdir()
        Image.new("RGB", (8, 6), colour).save(tmp_path / "a.png")
        image = {"bytes": (tmp_path / "a.png").read_bytes(), "path": None}
        pq.write_table(pa.Table.from_pylist([row | {"image": image}]), tmp_path / folder / "repope.parquet")
        spec = {**GOOD, "datasets": ["repope"], "explainers": ["random"], "samples": None}
        bench = ToolkitWorkspace(make_spec({**spec, "sources": {"repope": str(tmp_path / folder)}}))
        found.append(bench.identities()["samples of repope"])
    assert found[0] == found[1] != found[2]
    with pytest.raises(SpecError, match="sources name 'scenes-existence', which is read from elsewhere"):
        ToolkitWorkspace(make_spec({**GOOD, "sources": {"scenes-existence": "here"}}))


def test_how_models_are_loaded_reaches_each_that_has_it(monkeypatch):
    asked = {}
    monkeypatch.setattr(bench_module, "load_vlm", lambda name, **options: asked.update({name: options}))
    names = ["tiny-llava-grounded", "tiny-qwen2.5-vl-grounded"]
    spec = make_spec({**GOOD, "models": names, "max_pixels": 9000, "attention": "eager", "dtype": "bfloat16"})
    bench = ToolkitWorkspace(spec)
    for name in names:
        bench._model = None
        bench.model(name)
    assert [asked[name].get("max_pixels") for name in names] == [None, 9000]
    assert {(o["attention"], o["dtype"], o["four_bit"]) for o in asked.values()} == {("eager", "bfloat16", False)}
    with pytest.raises(SpecError, match="max_tiles bounds none of tiny-llava-grounded"):
        ToolkitWorkspace(make_spec({**GOOD, "max_tiles": 3})).identities()


def test_a_precision_that_the_machine_chose_is_part_of_the_identity():
    chosen = ToolkitWorkspace(make_spec({**GOOD, "device": "cpu"})).identities()
    assert chosen["dtype of tiny-llava-grounded"] == "float32"
    named = ToolkitWorkspace(make_spec({**GOOD, "device": "cpu", "dtype": "bfloat16"})).identities()
    assert not [key for key in named if key.startswith("dtype of")]


def test_the_instruction_reaches_every_sample_and_every_record(tmp_path):
    given = {**GOOD, **QUICK, "datasets": [own_folder(tmp_path)], "explainers": ["random"], "samples": None}
    told = {}
    for instruction in (None, "", "answer with one word"):
        wanted = make_spec({**given, "instruction": instruction, "out": tmp_path / f"run {instruction}"})
        (sample,) = load_run(run_benchmark(wanted).folder).samples
        told[instruction] = sample["instruction"], sample["probability"]
    assert [said for said, _ in told.values()] == ["answer yes or no", "", "answer with one word"]
    assert len({probability for _, probability in told.values()}) == 3


def test_an_oracle_without_truth_is_skipped():
    sample = make_sample("toys", 1)
    bare = sample.__class__(**{**vars(sample), "truth": None})
    with pytest.raises(Skip, match="needs evidence that serves as ground truth; toys has none"):
        ToolkitWorkspace(make_spec(GOOD)).explain("oracle", None, bare, target="yes", seed=0)


def test_a_real_run_skips_what_does_not_apply_and_still_succeeds(tmp_path):
    name = own_folder(tmp_path, ",answer", ",no")
    wanted = make_spec({**GOOD, **QUICK, "datasets": [name], "samples": None, "out": tmp_path / "run"})
    summary = run_benchmark(wanted)
    assert (summary.planned, summary.ok, summary.skipped, summary.failed) == (2, 1, 1, 0)
    assert summary.exit_status == 0
    skipped, scored = sorted(load_run(summary.folder).records, key=lambda record: record["explainer"])
    assert (skipped["explainer"], skipped["status"]) == ("oracle", "skipped")
    assert "oracle needs evidence that serves as ground truth; folder:" in skipped["reason"]
    assert "metrics" not in skipped
    assert set(scored["metrics"]) == set(wanted.metrics)


def test_pictures_that_cannot_be_decoded_keep_their_place(monkeypatch):
    def iter_samples(name, split, n, *, revision, source, instruction, on_unreadable):
        yield make_sample("toys", 0)
        on_unreadable("toys-1", "truncated")
        yield make_sample("toys", 2)

    monkeypatch.setattr(bench_module, "iter_samples", iter_samples)
    found = ToolkitWorkspace(make_spec(GOOD)).samples("scenes-existence")
    assert list(found) == ["toys-0", "toys-1", "toys-2"]
    assert found["toys-1"] == Unreadable("toys-1", "truncated")


def test_repeated_ids_are_refused(monkeypatch):
    monkeypatch.setattr(bench_module, "iter_samples", lambda *a, **k: iter([make_sample("a", 1), make_sample("a", 1)]))
    with pytest.raises(SpecError, match="the id 'a-1' more than once"):
        ToolkitWorkspace(make_spec(GOOD)).samples("scenes-existence")


def test_a_run_does_not_go_on_with_a_folder_that_was_edited_and_names_the_file(tmp_path):
    folder = shutil.copytree(models_dir() / "tiny-llava-grounded", tmp_path / "model")
    (folder / "SHA256SUMS").unlink()
    one = {"models": [str(folder)], "explainers": ["random"], "samples": 1, "out": tmp_path / "run"}
    wanted = make_spec({**GOOD, **QUICK, **one})
    assert run_benchmark(wanted).ok == 1
    config = json.loads((folder / "config.json").read_text())
    config["text_config"]["rope_parameters"] = {"rope_type": "default", "rope_theta": 123.0}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(SpecError, match=r"other settings: model .*: config.json changed\. Choose"):
        run_benchmark(wanted)


class TellsMemory(ToolkitWorkspace):
    """What a model keeps of earlier samples has bounds, which are so small here that they are reached at once."""

    def model(self, name):
        model_module._GAMES, model_module._VIEW_BYTES = 4, 1 << 20
        found = super().model(name)
        found.engine.encode._kept_bytes = 1 << 20
        return found

    def effort(self, vlm):
        pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
        return {**super().effort(vlm), "mb": pages * os.sysconf("SC_PAGE_SIZE") / 2**20}


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="only Linux tells a process's memory so")
def test_the_memory_of_a_worker_does_not_grow_with_its_units(tmp_path):
    how = {"samples": 60, "steps": 2, "images": 0, "out": tmp_path / "run", "executor": "processes"}
    wanted = make_spec({**GOOD, "explainers": ["random"], "progress": False, **how})
    folder = run_benchmark(wanted, workspace=TellsMemory).folder
    costs = pd.read_parquet(folder / "costs.parquet")
    used = costs.loc[costs["kind"] == "sample", "mb"].to_numpy()
    assert len(used) == 60
    assert used[-20:].max() - used[10:30].max() < 8
