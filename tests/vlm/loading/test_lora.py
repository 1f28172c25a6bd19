"""A LoRA adapter is merged into its base and part of its identity, or refused; it is never left out."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model
from safetensors.torch import load_file, save_file

from toolkit.datasets import load_samples
from toolkit.paths import models_dir
from toolkit.vlm.loading import load_checkpoint as loading
from toolkit.vlm.loading import lora
from toolkit.vlm.loading.checkpoint import CheckpointError
from toolkit.vlm.loading.load_checkpoint import load_vlm
from toolkit.vlm.loading.sources import find_source, identity_of
from toolkit.vlm.prompt import render

FAMILIES = ("llava", "qwen2.5-vl", "internvl")


def base_of(family: str, into: Path) -> Path:
    folder = Path(shutil.copytree(models_dir() / f"tiny-{family}-grounded", into / "base"))
    (folder / "SHA256SUMS").unlink()
    return folder


def save_adapter(base: Path, into: Path, *, rank: int = 4, targets: str = r".*language_model.*\.(q|v)_proj") -> object:
    """Write an adapter of random weights for a base, and return the model with it, unmerged."""
    model = load_vlm(base, device="cpu").model
    torch.manual_seed(1)
    adapted = get_peft_model(model, LoraConfig(r=rank, lora_alpha=8, target_modules=targets))
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    adapted.peft_config["default"].base_model_name_or_path = str(base)
    adapted.save_pretrained(into)
    return adapted.eval()


def value(vlm) -> float:
    game = vlm.game(load_samples("scenes-existence", n=1)[0], target="yes")
    return float(game(np.ones((1, game.players.n), dtype=bool))[0])


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("place", ["beside", "apart"])
def test_an_adapter_counts_wherever_it_lies(family: str, place: str, tmp_path: Path) -> None:
    base = base_of(family, tmp_path)
    plain = load_vlm(base, device="cpu")
    folder = base if place == "beside" else tmp_path / "adapter"
    adapted = save_adapter(base, folder)
    vlm = load_vlm(folder, device="cpu")
    sample = load_samples("scenes-existence", n=1)[0]
    assert abs(value(vlm) - value(plain)) > 1e-3
    with torch.inference_mode():
        whole = vlm.adapter.processor(text=[render(vlm.adapter, sample)[0]], images=[sample.image], return_tensors="pt")
        expected = adapted(**whole).logits[0, -1].log_softmax(-1)
        found = vlm.model(**whole).logits[0, -1].log_softmax(-1)
    assert torch.allclose(expected, found, atol=1e-4)
    assert vlm.digest != plain.digest
    assert not any("lora" in name for name, _ in vlm.model.named_parameters())


def test_another_adapter_is_another_model(tmp_path: Path) -> None:
    base = base_of("llava", tmp_path)
    save_adapter(base, tmp_path / "adapter")
    before, known = load_vlm(tmp_path / "adapter", device="cpu").digest, identity_of(str(tmp_path / "adapter"))
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    (tmp_path / "adapter" / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 16}))
    assert load_vlm(tmp_path / "adapter", device="cpu").digest != before
    assert identity_of(str(tmp_path / "adapter")) != known
    assert {name for name in find_source(str(tmp_path / "adapter")).digests() if name.startswith("adapter/")} == {
        "adapter/adapter_config.json",
        "adapter/adapter_model.safetensors",
    }


def test_without_peft_an_adapter_is_refused_and_not_left_out(tmp_path: Path, monkeypatch) -> None:
    base = base_of("llava", tmp_path)
    save_adapter(base, base)
    monkeypatch.setattr(lora, "find_spec", lambda name: None)
    with pytest.raises(CheckpointError, match=r"without the package peft it would be left out: pip install"):
        load_vlm(base, device="cpu")


def test_an_adapter_of_another_base_is_refused_by_module_and_size(tmp_path: Path) -> None:
    base = base_of("llava", tmp_path)
    save_adapter(base, tmp_path / "adapter", targets=r".*vision_tower.*\.q_proj")
    other = Path(shutil.copytree(models_dir() / "tiny-internvl-grounded", tmp_path / "other"))
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": str(other)}))
    with pytest.raises(CheckpointError, match=r"for another base: its .*q_proj.lora_[AB].weight .* has no such module"):
        load_vlm(tmp_path / "adapter", device="cpu")


def test_an_adapter_of_another_size_is_refused_with_both_sizes(tmp_path: Path) -> None:
    base = base_of("llava", tmp_path)
    save_adapter(base, base)
    weights = load_file(base / "adapter_model.safetensors")
    cut = {name: value[:, :-8].contiguous() if "lora_A" in name else value for name, value in weights.items()}
    save_file(cut, base / "adapter_model.safetensors")
    with pytest.raises(CheckpointError, match=r"is for a module of size 120, and Llava.* has 128 there; name its own"):
        load_vlm(base, device="cpu")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"peft_type": "PROMPT_TUNING"}, "kind 'PROMPT_TUNING'; the toolkit merges LORA"),
        ({"base_model_name_or_path": None}, "names no base"),
        ({"base_model_name_or_path": "/no/such"}, "its base cannot be used: there is no folder '/no/such'"),
        ({"target_modules": ["k_proj"]}, "copy the adapter again"),
    ],
)
def test_what_cannot_be_merged_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    base = base_of("llava", tmp_path)
    save_adapter(base, tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))
    with pytest.raises(CheckpointError, match=message):
        load_vlm(tmp_path / "adapter", device="cpu")


def test_an_adapter_without_its_weights_or_with_pickled_ones_is_refused(tmp_path: Path) -> None:
    base = base_of("llava", tmp_path)
    save_adapter(base, tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_model.safetensors").unlink()
    with pytest.raises(CheckpointError, match=r"lacks adapter_model.safetensors"):
        load_vlm(tmp_path / "adapter")
    (tmp_path / "adapter" / "adapter_model.bin").write_bytes(b"x")
    with pytest.raises(CheckpointError, match=r"adapter_model.bin: pickles can run code"):
        load_vlm(tmp_path / "adapter")


def test_an_adapter_is_not_merged_into_four_bits(tmp_path: Path, monkeypatch) -> None:
    base = base_of("llava", tmp_path)
    save_adapter(base, base)
    with pytest.raises(CheckpointError, match="cannot be merged into 4-bit weights exactly"):
        loading._check_stored(find_source(str(base)), torch.device("cpu"), four_bit=True)
