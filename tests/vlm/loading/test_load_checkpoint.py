"""Loading: what is saved comes back, and what cannot or must not be loaded is refused with a way out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from huggingface_hub import errors
from safetensors.torch import load_file, save_file
from support.subjects import WORDS, sample

from toolkit.registry import UnknownNameError
from toolkit.scenes.training.tiny import FAMILIES, build_tiny
from toolkit.vlm import memory
from toolkit.vlm.loading import placement
from toolkit.vlm.loading import snapshots as hub
from toolkit.vlm.loading.checkpoint import CheckpointError, check_folder
from toolkit.vlm.loading.integrity import seal_model
from toolkit.vlm.loading.load_checkpoint import load_vlm
from toolkit.vlm.model import LoadedVLM


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> dict[str, Path]:
    """One tiny checkpoint of each family, as save_pretrained writes it."""
    folders = {}
    for family in FAMILIES:
        folders[family] = tmp_path_factory.mktemp("saved") / family
        model, processor = build_tiny(family, WORDS, seed=1)
        model.save_pretrained(folders[family])
        processor.save_pretrained(folders[family])
    return folders


@pytest.fixture
def copy(saved, tmp_path) -> Path:
    """A llava checkpoint to damage."""
    return Path(shutil.copytree(saved["llava"], tmp_path / "copy"))


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_model_comes_back_identical(saved, family: str) -> None:
    model, processor = build_tiny(family, WORDS, seed=1)
    loaded = load_vlm(saved[family], device="cpu")
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), loaded.model.parameters(), strict=True))
    chosen = np.random.default_rng(0).random((5, 42)) < 0.5
    original = LoadedVLM("o", type(loaded.adapter)(processor), model)
    values = [vlm.game(sample(1), target="yes")(chosen) for vlm in (loaded, original)]
    assert np.array_equal(*values)
    assert loaded.family == family
    assert loaded.model.dtype == torch.float32


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("side", [90, 96, 100, 111, 384, 577, 1000])
def test_square_pictures_of_any_size_are_six_by_six(saved, family: str, side: int) -> None:
    vlm = load_vlm(saved[family], device="cpu")
    geometry = vlm.view(sample(1, (side, side))).geometry
    assert (geometry.rows, geometry.columns) == (6, 6)


def test_a_seed_makes_the_weights_and_leaves_the_global_state() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    one, two, other = (build_tiny("llava", WORDS, seed=seed)[0] for seed in (1, 1, 2))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.lm_head.weight, two.lm_head.weight)
    assert not torch.equal(one.lm_head.weight, other.lm_head.weight)
    with pytest.raises(ValueError, match="unknown family 'lava'"):
        build_tiny("lava", WORDS, seed=0)


def test_bfloat16_and_eager_are_arguments(saved) -> None:
    vlm = load_vlm(saved["llava"], device="cpu", dtype="bfloat16", attention="eager")
    record = vlm.record()
    assert (record["dtype"], record["attention"]) == ("bfloat16", "eager")
    json.dumps(record)


def test_an_unknown_name_is_refused_with_a_suggestion() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'tiny-llava-grounded'"):
        load_vlm("tiny-lava-grounded")


def test_an_empty_name_is_not_this_folder() -> None:
    with pytest.raises(UnknownNameError, match="unknown model ''"):
        load_vlm("")


def test_an_address_is_not_a_hub_id() -> None:
    with pytest.raises(CheckpointError, match="is an address; give the hub id"):
        load_vlm("https://huggingface.co/llava-hf/llava-1.5-7b-hf")


@pytest.mark.parametrize("name", ["./no/such", "/no/such", "a/b/c", "a/"])
def test_a_missing_folder_is_named(name: str) -> None:
    with pytest.raises(CheckpointError, match="there is no folder"):
        load_vlm(name)


def test_a_hub_id_without_network_says_so(monkeypatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(CheckpointError, match="not in the local cache and the hub cannot be reached"):
        load_vlm("somebody/something-hf", revision="0" * 40)


@pytest.mark.parametrize(
    ("kind", "advice"),
    [
        (errors.GatedRepoError, "asks you to accept a licence"),
        (errors.RevisionNotFoundError, "it has no revision '0000"),
        (errors.RepositoryNotFoundError, "no such model on the hub"),
        (errors.RemoteEntryNotFoundError, "it is no checkpoint in the transformers format"),
        (errors.LocalEntryNotFoundError, "cannot be reached; download it once with a network"),
        (errors.HFValidationError, "expected publisher/name"),
    ],
)
def test_what_the_hub_says_is_explained(monkeypatch, kind: type[Exception], advice: str) -> None:
    def refuse(*args, **kwargs):
        is_answer = issubclass(kind, errors.HfHubHTTPError)
        answer = SimpleNamespace(headers={}, request=None, status_code=404)
        raise kind("no", response=answer) if is_answer else kind("no")

    monkeypatch.setattr(hub, "hf_hub_download", refuse)
    with pytest.raises(CheckpointError, match=advice):
        load_vlm("somebody/something-hf", revision="0" * 40)


@pytest.mark.parametrize("revision", ["main", "v1.0", "abc123", None])
def test_a_benchmark_run_needs_a_commit(revision: str | None) -> None:
    with pytest.raises(CheckpointError, match="40 hexadecimal digits"):
        load_vlm("somebody/something-hf", revision=revision, pinned=True)


@pytest.mark.parametrize(
    "name",
    [
        "config.json",
        "model.safetensors",
        "tokenizer.json",
        "tokenizer_config.json",
        "processor_config.json",
        "chat_template.jinja",
    ],
)
@pytest.mark.parametrize("kept", [None, 0.5, 0.0])
def test_a_missing_truncated_or_empty_file_is_named(copy: Path, name: str, kept: float | None) -> None:
    content = (copy / name).read_bytes()
    (copy / name).unlink()
    if kept is not None:
        (copy / name).write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(CheckpointError, match=name) as caught:
        load_vlm(copy, device="cpu")
    assert "missing" in str(caught.value) or ("lacks" if kept is None else "damaged") in str(caught.value)


def test_a_tokenizer_that_a_newer_version_wrote_is_told(copy: Path) -> None:
    content = json.loads((copy / "tokenizer.json").read_text())
    (copy / "tokenizer.json").write_text(json.dumps(content | {"model": {"type": "of tomorrow"}}))
    with pytest.raises(CheckpointError, match=r"cannot load .*\(Exception: .*copy it again, or update tokenizers"):
        load_vlm(copy, device="cpu")


@pytest.mark.parametrize("option", ["max_pixels", "max_tiles", "max_tokens"])
@pytest.mark.parametrize("value", ["1000", 1e6])
def test_bounds_are_whole_numbers(option: str, value: object) -> None:
    with pytest.raises(ValueError, match=f"{option} is {value!r}; expected a whole number, or None".replace("+", ".")):
        load_vlm("tiny-internvl-grounded", **{option: value})


def test_settings_of_generation_are_read_or_refused(copy: Path) -> None:
    (copy / "generation_config.json").write_text('{"eos_token_id"')
    with pytest.raises(CheckpointError, match=r"generation_config.json is damaged"):
        load_vlm(copy)


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_pointer_instead_of_a_large_file_is_told(copy: Path, name: str) -> None:
    (copy / name).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\n")
    with pytest.raises(CheckpointError, match=f"{name} is a Git LFS pointer; .*git lfs pull"):
        load_vlm(copy)


def test_a_changed_byte_under_a_seal_is_refused_and_papers_may_change(copy: Path) -> None:
    (copy / "README.md").write_text("card")
    seal_model(copy)
    (copy / "README.md").write_text("a better card")
    load_vlm(copy, device="cpu")
    weights = bytearray((copy / "model.safetensors").read_bytes())
    weights[-1] ^= 1
    (copy / "model.safetensors").write_bytes(bytes(weights))
    with pytest.raises(CheckpointError, match=r"model.safetensors was changed or damaged.*delete SHA256SUMS if you"):
        load_vlm(copy, device="cpu")


@pytest.mark.parametrize("name", ["preprocessor_config.json", "added_tokens.json", "additional_chat_templates/x.jinja"])
def test_a_file_that_was_added_under_a_seal_is_refused_and_papers_may_be(copy: Path, name: str) -> None:
    seal_model(copy)
    (copy / "NOTES.md").write_text("seen")
    load_vlm(copy, device="cpu")
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).write_text("{}")
    with pytest.raises(CheckpointError, match=f"{name} was added after it was sealed.*delete SHA256SUMS if you"):
        load_vlm(copy, device="cpu")


def reweigh(folder: Path, change) -> None:
    """Save the weights again after a change of the dictionary."""
    weights = load_file(folder / "model.safetensors")
    change(weights)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})


def head(weights: dict[str, torch.Tensor]) -> str:
    return next(name for name in weights if name.endswith("lm_head.weight"))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_refused(copy: Path, value: float) -> None:
    reweigh(copy, lambda weights: weights[head(weights)].view(-1)[:2].fill_(value))
    with pytest.raises(CheckpointError, match=r"2 of \d+ values of lm_head.weight are NaN or infinite"):
        load_vlm(copy, device="cpu")


def test_weights_of_another_shape_are_refused_and_no_report_is_printed(copy: Path, caplog, capfd) -> None:
    reweigh(copy, lambda weights: weights.update({head(weights): weights[head(weights)][:-1].contiguous()}))
    with pytest.raises(CheckpointError, match="has with another shape 1 weights"):
        load_vlm(copy, device="cpu")
    assert "REPORT" not in caplog.text + capfd.readouterr().err


def test_more_layers_than_the_configuration_names_are_refused(copy: Path) -> None:
    def deepen(weights: dict[str, torch.Tensor]) -> None:
        weights.update(
            {
                name.replace(".layers.0.", ".layers.9."): weight.clone()
                for name, weight in list(weights.items())
                if "language_model" in name and ".layers.0." in name
            }
        )

    reweigh(copy, deepen)
    with pytest.raises(CheckpointError, match=r"has too many: 9 weights .* as its config.json describes it"):
        load_vlm(copy, device="cpu")


def test_a_folder_has_no_revision(copy: Path) -> None:
    with pytest.raises(CheckpointError, match="has no revisions"):
        load_vlm(copy, revision="0" * 40)
    loaded = load_vlm(copy, device="cpu", pinned=True)
    assert (loaded.revision, loaded.digest) == (None, check_folder(copy).digest)


@pytest.mark.parametrize(
    ("device", "message"),
    [
        ("banana", "unknown device 'banana'; expected 'cpu', 'cuda'"),
        ("meta", "unknown device 'meta'"),
        ("cuda:99", "PyTorch sees [0-9]+ of its kind here; use device='cpu'"),
    ],
)
def test_a_device_that_is_not_there_is_refused(saved, device: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_vlm(saved["llava"], device=device)


def test_a_pickle_is_refused_under_any_name(copy: Path) -> None:
    torch.save({"a": torch.zeros(1)}, copy / "pytorch_model.bin")
    shutil.copy(copy / "pytorch_model.bin", copy / "model.safetensors")
    with pytest.raises(CheckpointError, match="is a pickle, not a safetensors file"):
        load_vlm(copy)
    (copy / "model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"pytorch_model.bin: pickles can run code"):
        load_vlm(copy)


def test_code_in_a_checkpoint_is_refused(copy: Path) -> None:
    config = json.loads((copy / "config.json").read_text())
    (copy / "config.json").write_text(json.dumps(config | {"auto_map": {"AutoModel": "modeling.Evil"}}))
    with pytest.raises(CheckpointError, match="never runs"):
        load_vlm(copy)


def test_another_architecture_is_refused(copy: Path) -> None:
    (copy / "config.json").write_text(json.dumps({"model_type": "bert"}))
    with pytest.raises(
        CheckpointError, match="'bert' model; the toolkit has adapters for: llava, qwen2_5_vl, .*internvl"
    ):
        load_vlm(copy)
    (copy / "config.json").write_text("{}")
    with pytest.raises(CheckpointError, match="names no model_type"):
        load_vlm(copy)


def test_missing_weights_are_refused(copy: Path) -> None:
    reweigh(copy, lambda weights: weights.pop(head(weights)))
    with pytest.raises(CheckpointError, match=r"lacks 1 weights .*lm_head.weight"):
        load_vlm(copy)


def test_a_file_is_no_checkpoint(copy: Path) -> None:
    with pytest.raises(CheckpointError, match="give the checkpoint's folder"):
        load_vlm(copy / "model.safetensors")


def test_a_model_too_large_is_refused_with_numbers(saved, monkeypatch) -> None:
    monkeypatch.setattr(placement, "free_bytes", lambda device: 1 << 20)
    with pytest.raises(MemoryError, match=r"needs about [1-9]\d* MiB in float32 .* 1 MiB are free on cpu"):
        load_vlm(saved["llava"], device="cpu")


def test_options_that_do_not_exist_are_refused(saved) -> None:
    with pytest.raises(ValueError, match="unknown dtype 'fp8'"):
        load_vlm(saved["llava"], dtype="fp8")
    with pytest.raises(ValueError, match="unknown attention 'flash'"):
        load_vlm(saved["llava"], attention="flash")
    with pytest.raises(ValueError, match="four_bit needs a GPU"):
        load_vlm(saved["llava"], device="cpu", four_bit=True)
    with pytest.raises(ValueError, match="max_.* does not bound the images of llava: they have one fixed size"):
        load_vlm(saved["llava"], max_pixels=100)
    with pytest.raises(ValueError, match="max_tiles does not bound the images of qwen2.5-vl: max_pixels does"):
        load_vlm(saved["qwen2.5-vl"], max_tiles=2)
    with pytest.raises(ValueError, match="max_pixels does not bound the images of internvl: max_tiles does"):
        load_vlm(saved["internvl"], max_pixels=100)
    with pytest.raises(ValueError, match="one image token needs 256"):
        load_vlm(saved["qwen2.5-vl"], max_pixels=100)
    with pytest.raises(ValueError, match="max_tiles is 0"):
        load_vlm(saved["internvl"], max_tiles=0)
    with pytest.raises(ValueError, match="max_tokens is 0"):
        load_vlm(saved["llava"], max_tokens=0)


def test_limits_are_kept_and_recorded(saved) -> None:
    wide = sample(1, (400, 200))
    tiled = load_vlm(saved["internvl"], device="cpu", max_tiles=4)
    assert tiled.view(wide).geometry.columns == 12
    assert tiled.record()["preprocessing"]["max_patches"] == 4
    bounded = load_vlm(saved["qwen2.5-vl"], device="cpu", max_pixels=16 * 16 * 12)
    assert bounded.view(wide).geometry.n_players <= 12
    assert bounded.record()["preprocessing"]["size"]["longest_edge"] == 16 * 16 * 12


def test_the_digest_follows_the_weights(copy: Path) -> None:
    before = check_folder(copy).digest
    assert check_folder(copy).digest == before
    reweigh(copy, lambda weights: next(iter(weights.values())).view(-1)[:1].add_(1))
    assert check_folder(copy).digest != before


def test_free_memory_is_a_number_of_bytes() -> None:
    assert 1 << 20 < memory.free_bytes(torch.device("cpu")) < 1 << 45


@pytest.mark.parametrize("device", ["balanced", "sequential", "cuda:0,cuda:1", {"": 0}])
def test_a_model_over_several_devices_is_refused_with_what_to_do(saved, device) -> None:
    with pytest.raises(ValueError, match=r"needs the whole model on one: name it \('cuda:0'\).*four_bit=True"):
        load_vlm(saved["llava"], device=device)
