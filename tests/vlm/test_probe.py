"""At load a model is compared with itself; one that would be scored as another is refused with the numbers."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from subjects import SUBJECTS
from windowed import DECODERS, windowed

from toolkit.paths import models_dir
from toolkit.vlm import engine, masks, probe
from toolkit.vlm.checkpoint import CheckpointError
from toolkit.vlm.loading import load_vlm
from toolkit.vlm.probe import EXACT, check_scoring, require_scoring


@pytest.mark.parametrize("vlm", SUBJECTS, indirect=True)
def test_every_family_is_scored_as_itself(vlm) -> None:
    check = require_scoring(vlm)
    assert check.passed
    assert check.tolerance == EXACT
    assert check.spread == 0.0
    assert max(check.engine, check.forward) <= EXACT


@pytest.mark.parametrize("name", DECODERS)
def test_windows_pass_and_an_engine_that_ignored_them_would_not(name: str, monkeypatch) -> None:
    vlm = windowed(name)
    assert require_scoring(vlm).passed
    n_layers = len(masks.layer_windows(vlm.model))
    for module in (masks, probe):
        monkeypatch.setattr(module, "layer_windows", lambda model: (None,) * n_layers)
    vlm.engine.forget()
    with pytest.raises(
        CheckpointError, match=r"would not be scored as itself: .* differs from the model's plain passes"
    ):
        require_scoring(vlm)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("family", ["llava", "qwen2.5-vl", "internvl"])
def test_half_precision_is_measured_by_its_own_spread(family: str, dtype: str) -> None:
    check = check_scoring(load_vlm(f"tiny-{family}-grounded", device="cpu", dtype=dtype))
    assert check.passed
    assert check.tolerance == 3 * check.spread > EXACT


def test_a_layer_that_the_engine_does_not_run_is_noticed(monkeypatch) -> None:
    vlm = load_vlm("tiny-llava-grounded", device="cpu")
    exact = engine.decoder.lm_head
    monkeypatch.setattr(engine.decoder, "lm_head", lambda model, hidden: 1.01 * exact(model, hidden))
    with pytest.raises(CheckpointError, match="would not be scored as itself"):
        require_scoring(vlm)


def test_numbers_that_are_none_do_not_pass() -> None:
    nothing = float("nan")
    assert not probe.ScoringCheck(nothing, 0.0, 0.0, EXACT, 4).passed
    assert not probe.ScoringCheck(0.0, nothing, 0.0, EXACT, 4).passed


def test_a_layer_type_that_is_not_known_is_refused_when_the_checkpoint_is_loaded(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(models_dir() / "tiny-internvl-grounded", tmp_path / "copy"))
    (folder / "SHA256SUMS").unlink()
    config = json.loads((folder / "config.json").read_text())
    n_layers = config["text_config"]["num_hidden_layers"]
    config["text_config"]["layer_types"] = ["chunked_attention"] * n_layers
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError, match="chunked_attention"):
        load_vlm(folder, device="cpu")


def test_the_check_leaves_the_model_as_it_was() -> None:
    vlm = load_vlm("tiny-qwen2.5-vl-grounded", device="cpu")
    torch.manual_seed(3)
    before = torch.get_rng_state()
    check_scoring(vlm)
    assert vlm.is_as_loaded()
    assert torch.equal(torch.get_rng_state(), before)
