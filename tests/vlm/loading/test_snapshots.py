"""A hub model: from the cache at a commit, by every door, and never another one than was asked for."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from PIL import Image
from support.hub_cache import COMMIT, put_into_cache, use_cache
from typer.testing import CliRunner

import toolkit
from toolkit.benchmark.report.run_tables import load_run
from toolkit.cli import app
from toolkit.paths import models_dir
from toolkit.vlm.loading import load_checkpoint as loading
from toolkit.vlm.loading import snapshots as hub
from toolkit.vlm.loading.checkpoint import CheckpointError
from toolkit.vlm.loading.sources import find_source

REPO = "somebody/tiny-hf"


@pytest.fixture
def snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of an embedded model's copy in a hub cache, which is the only one that this process sees."""
    use_cache(monkeypatch, tmp_path / "hub")
    return put_into_cache(tmp_path / "hub", models_dir() / "tiny-llava-grounded", REPO)


def run(*words: str) -> str:
    result = CliRunner().invoke(app, list(words))
    assert result.exit_code == 0, result.output
    return result.stdout


def asked() -> toolkit.Sample:
    return toolkit.load_samples("scenes-existence", n=1)[0]


@pytest.mark.parametrize("revision", [COMMIT, "main", None])
def test_a_cached_model_loads_and_says_its_commit(snapshot: Path, revision: str | None) -> None:
    vlm = toolkit.load_vlm(REPO, revision=revision, device="cpu")
    assert (vlm.revision, vlm.name) == (COMMIT, REPO)
    same = toolkit.load_vlm("tiny-llava-grounded", device="cpu")
    assert vlm.digest == same.digest
    assert vlm.answer(asked()).by_choice == same.answer(asked()).by_choice


def test_a_cached_model_is_explained_on_a_page(snapshot: Path, tmp_path: Path) -> None:
    Image.new("RGB", (96, 96), "red").save(tmp_path / "red.png")
    page = tmp_path / "page.html"
    words = ["explain", str(tmp_path / "red.png"), "is there a red circle ?", "--model", REPO, "--out", str(page)]
    assert f"{REPO}: " in run(*words, "--explainer", "random", "--steps", "2")
    assert REPO in page.read_text(encoding="utf-8")


@pytest.mark.parametrize("command", ["explain", "diagnose"])
def test_a_checkpoint_is_checked_again_on_demand(snapshot: Path, tmp_path: Path, monkeypatch, command: str) -> None:
    Image.new("RGB", (96, 96), "red").save(tmp_path / "red.png")
    words = {
        "explain": [str(tmp_path / "red.png"), "is there a red circle ?", "--explainer", "random", "--steps", "2",
                    "--out", str(tmp_path / "page.html")],
        "diagnose": ["--samples", "2"],
    }[command]  # fmt: skip
    toolkit.load_vlm(REPO)
    seen = []
    check = loading.require_scoring
    monkeypatch.setattr(loading, "require_scoring", lambda vlm: (seen.append(vlm.name), check(vlm))[1])
    run(command, *words, "--model", REPO)
    assert seen == []
    run(command, *words, "--model", REPO, "--verify")
    assert seen == [REPO]


def test_a_cached_model_is_diagnosed(snapshot: Path) -> None:
    assert "total interaction" in run("diagnose", "--model", REPO, "--samples", "8")


def test_a_cached_model_is_evaluated_at_its_commit(snapshot: Path, tmp_path: Path) -> None:
    words = ["benchmark", "run", "--models", REPO, "--datasets", "scenes-existence", "--explainers", "random"]
    words += ["--samples", "2", "--steps", "2", "--device", "cpu", "--out", str(tmp_path / "run")]
    refused = CliRunner().invoke(app, words)
    assert refused.exit_code == 2
    assert "40 hexadecimal digits" in refused.stderr
    run(*words, "--revision", f"{REPO}={COMMIT}")
    done = load_run(tmp_path / "run")
    assert done.identities[f"model {REPO}"] == f"commit {COMMIT}"
    digest = toolkit.load_vlm("tiny-llava-grounded", device="cpu").digest
    assert {(record["revision"], record["checkpoint"]) for record in done.records} == {(COMMIT, digest)}
    assert len({record["content"] for record in done.records}) == 1


def test_a_commit_that_is_not_cached_names_those_that_are(snapshot: Path) -> None:
    with pytest.raises(CheckpointError, match=f"cannot be reached; the cache has {COMMIT}: give one as the revision"):
        toolkit.load_vlm(REPO, revision="f" * 40)


def test_what_looks_like_a_snapshot_and_lacks_weights_is_downloaded(snapshot: Path, monkeypatch) -> None:
    """Offline that fails, with the reason; the size of the model is known from its configuration all the same."""
    whole = find_source(REPO, revision=COMMIT).n_parameters
    shutil.move(snapshot / "model.safetensors", snapshot.parent / "elsewhere")
    source = find_source(REPO, revision=COMMIT)
    assert (source.checkpoint, source.n_parameters) == (None, whole)
    with pytest.raises(CheckpointError, match="lacks model.safetensors"):
        source.fetched()

    def download(repo: str, *, revision: str, allow_patterns: list[str]) -> str:
        assert not any(Path("pytorch_model.bin").match(pattern) for pattern in allow_patterns)
        shutil.move(snapshot.parent / "elsewhere", snapshot / "model.safetensors")
        return str(snapshot)

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert source.fetched().folder == snapshot


@pytest.mark.parametrize("name", ["tokenizer.json", "processor_config.json", "chat_template.jinja"])
def test_what_a_tokenizer_and_a_model_alone_left_in_the_cache_is_completed(
    snapshot: Path, monkeypatch, name: str
) -> None:
    whole = toolkit.load_vlm(REPO, revision=COMMIT, device="cpu").digest
    shutil.move(snapshot / name, snapshot.parent / "elsewhere")
    with pytest.raises(CheckpointError, match=name.partition(".")[0]):  # without a network
        toolkit.load_vlm(REPO, revision=COMMIT, device="cpu")
    local = hub.snapshot_download

    def download(repo: str, *, revision: str, allow_patterns: list[str] | None = None, **options: bool) -> str:
        if not options and any(Path(name).match(pattern) for pattern in allow_patterns or ()):
            shutil.move(snapshot.parent / "elsewhere", snapshot / name)
        return local(repo, revision=revision, local_files_only=True)

    monkeypatch.setattr(hub, "snapshot_download", download)
    assert toolkit.load_vlm(REPO, revision=COMMIT, device="cpu").digest == whole


def test_a_hub_model_of_absurd_depth_is_refused_before_anything_is_built(snapshot: Path) -> None:
    config = (snapshot / "config.json").read_text()
    (snapshot / "config.json").write_text(config.replace('"num_hidden_layers": 4', '"num_hidden_layers": 4000000000'))
    with pytest.raises(CheckpointError, match=r"text_config.num_hidden_layers = 4,000,000,000, and no model has more"):
        toolkit.load_vlm(REPO, revision=COMMIT)
