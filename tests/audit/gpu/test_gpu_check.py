"""The GPU check: small shapes on a CPU, what is left out, and a refusal where there is no GPU."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from toolkit.audit.gpu import gpu_check as module
from toolkit.audit.gpu.gpu_check import GpuCheck, gpu_check
from toolkit.cli import app


@pytest.mark.slow
def test_small_shapes_are_measured_on_a_cpu() -> None:
    found = gpu_check(families=["llava"], small=True, hub_model=None)
    assert [row["dtype"] for row in found.exactness] == ["bfloat16", "float32"]
    assert found.exactness[1]["max"] < 1e-5
    assert [row["explainer"] for row in found.speed] == list(module.EXPLAINERS)
    assert {row["players"] for row in found.speed} == {"grid:4x4"}
    assert found.left_out == []


def test_without_a_gpu_nothing_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    result = CliRunner().invoke(app, ["doctor", "--gpu"])
    assert result.exit_code == 2
    assert result.stderr.startswith("error: there is no CUDA GPU here that PyTorch sees, so nothing was measured")
    assert len(result.stderr.splitlines()) == 1


def test_what_runs_out_of_time_or_cannot_be_reached_is_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    def stop(*args: object, **options: object) -> None:
        raise MemoryError("out of memory")

    monkeypatch.setattr(module, "_family", stop)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    found = gpu_check(families=["llava", "internvl"], small=True)
    assert [row["reason"] for row in found.left_out[:2]] == ["out of memory"] * 2
    assert "cannot be reached" in found.left_out[2]["reason"]
    late = gpu_check(families=["llava"], small=True, minutes=-1, hub_model=None)
    assert late.left_out == [{"model": "LLaVA-1.5-7B", "reason": "no time was left"}]


def test_an_error_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **options: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(module, "_family", broken)
    with pytest.raises(RuntimeError, match="a defect"):
        gpu_check(families=["llava"], small=True, hub_model=None)


def test_the_command_shows_the_tables_and_writes_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    row = {"model": "m", "dtype": "bfloat16", "max": 0.00123}
    made = GpuCheck("Some Card", exactness=[row], left_out=[{"model": "n", "reason": "no time was left"}])
    monkeypatch.setattr(module, "gpu_check", lambda **options: made)
    out = tmp_path / "gpu.json"
    result = CliRunner().invoke(app, ["doctor", "--gpu", "--out", str(out)])
    assert result.exit_code == 1  # something was left out
    assert result.stdout.startswith("Some Card\n")
    assert "0.00123" in result.stdout
    assert json.loads(out.read_text())["exactness"] == [row]
    refused = CliRunner().invoke(app, ["doctor", "--gpu", "--out", str(tmp_path / "gpu.txt")])
    assert "expected a name that ends in .json" in refused.stderr
