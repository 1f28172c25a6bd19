"""A folder whose files do not fit each other is refused with the reason, before memory is spent on it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from toolkit.paths import models_dir
from toolkit.vlm.loading import load_checkpoint as loading
from toolkit.vlm.loading.checkpoint import CheckpointError
from toolkit.vlm.loading.load_checkpoint import load_vlm

FAMILIES = ("llava", "qwen2.5-vl", "internvl")


@pytest.fixture(params=FAMILIES)
def folder(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    copied = Path(shutil.copytree(models_dir() / f"tiny-{request.param}-grounded", tmp_path / "copy"))
    (copied / "SHA256SUMS").unlink()
    return copied


def edit(folder: Path, change) -> None:
    config = json.loads((folder / "config.json").read_text())
    change(config)
    (folder / "config.json").write_text(json.dumps(config))


@pytest.fixture
def no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reading the weights is a failure of the test."""

    def read(*args: object) -> None:
        raise AssertionError("the weights were read")

    monkeypatch.setattr(loading, "load_weights", read)


def test_a_configuration_without_its_decoder_is_refused_before_memory_is_spent(folder: Path, no_memory) -> None:
    edit(folder, lambda config: config.pop("text_config"))
    with pytest.raises(CheckpointError, match="(lacks|has with another shape) [0-9]+ weights"):
        load_vlm(folder, device="cpu")


def test_a_configuration_of_another_size_names_both_shapes(folder: Path, no_memory) -> None:
    edit(folder, lambda config: config["text_config"].update(intermediate_size=320))
    with pytest.raises(CheckpointError, match=r"another shape [0-9]+ weights .* in the file, .*320.* by config.json"):
        load_vlm(folder, device="cpu")


@pytest.mark.parametrize("layers", [3, 5])
def test_a_configuration_of_another_depth_is_refused(folder: Path, no_memory, layers: int) -> None:
    def cut(config: dict) -> None:
        config["text_config"]["num_hidden_layers"] = layers
        config["text_config"].pop("layer_types", None)

    edit(folder, cut)
    with pytest.raises(
        CheckpointError, match=r"lacks [0-9]+ weights" if layers == 5 else "has too many: [0-9]+ weights"
    ):
        load_vlm(folder, device="cpu")


@pytest.mark.parametrize("where", ["text_config", "vision_config"])
@pytest.mark.parametrize("key", ["num_hidden_layers", "depth", "num_experts"])
def test_absurd_numbers_of_modules_are_refused_at_once(folder: Path, no_memory, where: str, key: str) -> None:
    edit(folder, lambda config: config[where].update({key: 10**12}))
    with pytest.raises(CheckpointError, match=rf"{where}.{key} = 1,000,000,000,000, and no model has more than 1,000"):
        load_vlm(folder, device="cpu")


@pytest.mark.parametrize("size", [2**45, 0, -8])
@pytest.mark.parametrize("key", ["hidden_size", "num_attention_heads", "vocab_size", "intermediate_size"])
def test_absurd_sizes_are_refused(folder: Path, no_memory, key: str, size: int) -> None:
    edit(folder, lambda config: config["text_config"].update({key: size}))
    with pytest.raises(CheckpointError, match="contradicts another|another shape|expected at least 1"):
        load_vlm(folder, device="cpu")


@pytest.mark.parametrize("method", ["awq", "gptq", "fp8", "compressed-tensors"])
@pytest.mark.parametrize("place", ["top", "text"])
def test_a_quantised_checkpoint_is_refused_with_what_to_do(folder: Path, no_memory, method: str, place: str) -> None:
    def quantise(config: dict) -> None:
        (config if place == "top" else config["text_config"])["quantization_config"] = {"quant_method": method}

    edit(folder, quantise)
    with pytest.raises(CheckpointError, match=rf"stored quantised by {method}.*toolkit.wrap\(model, processor\)"):
        load_vlm(folder, device="cpu")


def test_a_checkpoint_quantised_by_bitsandbytes_needs_a_gpu(folder: Path, no_memory) -> None:
    edit(
        folder, lambda config: config.update(quantization_config={"quant_method": "bitsandbytes", "load_in_4bit": True})
    )
    with pytest.raises(CheckpointError, match="stored quantised by bitsandbytes, which needs a GPU"):
        load_vlm(folder, device="cpu")


def test_a_template_that_lies_in_the_tokenizer_is_taken(folder: Path) -> None:
    expected = load_vlm(folder, device="cpu").adapter.processor.chat_template
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").unlink()
    (folder / "tokenizer_config.json").write_text(json.dumps(settings | {"chat_template": template}))
    assert load_vlm(folder, device="cpu").adapter.processor.chat_template == expected


def test_what_was_checked_is_not_checked_again_unless_asked(folder: Path, monkeypatch) -> None:
    edit(folder, lambda config: config.update(something="that nobody reads"))
    seen = []
    for name in ("check_weights", "check_finite", "require_scoring"):
        ours = getattr(loading, name)
        monkeypatch.setattr(loading, name, lambda *a, _n=name, _f=ours, **k: (seen.append(_n), _f(*a, **k))[1])
    load_vlm(folder, device="cpu")
    assert seen == ["check_weights", "check_finite", "require_scoring"]
    load_vlm(folder, device="cpu")
    assert len(seen) == 3
    load_vlm(folder, device="cpu", dtype="bfloat16")
    assert len(seen) == 6
    load_vlm(folder, device="cpu", verify=True)
    assert len(seen) == 9


@pytest.mark.parametrize(
    ("family", "part", "settings"),
    [
        ("llava", None, {"vision_feature_layer": -9}),
        ("internvl", None, {"vision_feature_layer": -9}),
        ("qwen2.5-vl", "text_config", {"rope_parameters": {"rope_theta": 50.0, "mrope_section": [1, 1, 1]}}),
        ("qwen2.5-vl", "vision_config", {"window_size": 1}),
    ],
)  # fmt: skip
def test_a_configuration_that_fits_the_weights_and_breaks_the_first_pass_is_refused(
    tmp_path: Path, family: str, part: str | None, settings: dict
) -> None:
    folder = Path(shutil.copytree(models_dir() / f"tiny-{family}-grounded", tmp_path / "copy"))
    (folder / "SHA256SUMS").unlink()
    edit(folder, lambda config: (config if part is None else config[part]).update(settings))
    with pytest.raises(CheckpointError, match=r"cannot load .*contradicts another"):
        load_vlm(folder, device="cpu")
