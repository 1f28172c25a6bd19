"""The doctor on states that this machine is not in."""

from __future__ import annotations

import json
import struct
from importlib import metadata
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

import toolkit
from toolkit import environment
from toolkit.cli import app
from toolkit.environment import (
    Check,
    Diagnosis,
    check_cache,
    check_memory,
    check_models,
    check_offline,
    check_python,
    check_torchvision,
    check_versions,
    check_widgets,
    version_advice,
)
from toolkit.vlm.loading.integrity import check_model, seal_model


def installed(**versions: str):
    def lookup(name: str) -> str:
        if name.replace("-", "_") not in versions:
            raise metadata.PackageNotFoundError(name)
        return versions[name.replace("-", "_")]

    return lookup


def test_old_python() -> None:
    assert check_python((3, 10, 12)).state == "problem"
    assert check_python((3, 11, 0)).state == "ok"


def test_versions_in_range() -> None:
    (check,) = check_versions(installed(numpy="2.1", torch="2.13.0+cpu"), ["numpy>=2", "torch>=2.6"])
    assert (check.state, check.found) == ("ok", "2 core packages in their supported range")


def test_versions_too_old_too_new_and_missing() -> None:
    checks = check_versions(
        installed(numpy="1.26", matplotlib="3.13.0"), ["numpy>=2", "matplotlib>=3.10,<3.13", "torch>=2.6"]
    )
    assert [(c.name, c.state) for c in checks] == [(n, "problem") for n in ("numpy", "matplotlib", "torch")]
    assert checks[0].found == "1.26, supported is >=2"
    assert checks[1].fix == 'pip install "matplotlib<3.13,>=3.10"'
    assert checks[2].found == "not installed"


def test_versions_ignore_extras() -> None:
    (check,) = check_versions(installed(numpy="2.1"), ["numpy>=2", 'ray>=2.52; extra == "cluster"'])
    assert check.found.startswith("1 core")


def test_a_checkout_that_is_not_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(environment, "DISTRIBUTION", "not-a-distribution")
    (check,) = check_versions()
    assert check.state == "problem"
    assert "pip install --no-deps -e ." in check.fix


def test_torchvision_that_does_not_import() -> None:
    def broken(name: str) -> ModuleType:
        raise RuntimeError(f"operator {name}::nms does not exist")

    check = check_torchvision(lambda name: object(), broken)
    assert check.state == "problem"
    assert "torchvision::nms" in check.found
    assert "every image processor fails" in check.found
    assert "pip uninstall -y torchvision" in check.fix


def test_a_failed_import_says_what_to_do_about_torchvision(monkeypatch: pytest.MonkeyPatch) -> None:
    """On the command line and in Python, once each; another failed import is left as it is."""

    def broken(name: str) -> ModuleType:
        raise ImportError("Could not import module 'PreTrainedModel'.")

    state = {"now": Check("torchvision", "problem", "installed but does not import", "pip uninstall -y torchvision")}
    said = "torchvision is installed but does not import; pip uninstall -y torchvision"
    monkeypatch.setattr(environment, "check_torchvision", lambda: state["now"])
    monkeypatch.setattr(toolkit, "import_module", broken)
    monkeypatch.setattr("toolkit.environment.doctor", lambda: toolkit.__getattr__("load_vlm"))
    with pytest.raises(ImportError, match=f"'PreTrainedModel'. {said}$"):
        toolkit.__getattr__("load_vlm")
    found = CliRunner().invoke(app, ["doctor"])
    assert (found.exit_code, found.stderr) == (2, f"error: Could not import module 'PreTrainedModel'. {said}\n")
    monkeypatch.setattr("toolkit.environment.doctor", lambda: broken("transformers"))
    assert CliRunner().invoke(app, ["doctor"]).stderr.endswith(f"'PreTrainedModel'. {said}\n")
    state["now"] = Check("torchvision", "ok", "not installed, not needed")
    assert CliRunner().invoke(app, ["doctor"]).stderr == "error: Could not import module 'PreTrainedModel'.\n"
    with pytest.raises(ImportError, match=r"'PreTrainedModel'\.$"):
        toolkit.__getattr__("load_vlm")


def test_torchvision_absent_or_sound() -> None:
    assert check_torchvision(lambda name: None).state == "ok"
    assert check_torchvision(lambda name: object(), ModuleType).state == "ok"


def test_little_memory_is_a_note() -> None:
    assert check_memory(0.4).state == "note"
    assert "close other programs" in check_memory(0.4).fix
    assert check_memory(8.0).state == "ok"


@pytest.mark.parametrize(("value", "state"), [("1", "note"), ("true", "note"), ("0", "ok"), ("", "ok")])
def test_offline_state(value: str, state: str) -> None:
    check = check_offline({"HF_HUB_OFFLINE": value})
    assert check.state == state
    assert ("unset HF_HUB_OFFLINE" in check.fix) == (state == "note")


def test_cache_that_can_be_made(tmp_path: Path) -> None:
    assert check_cache(tmp_path / "not" / "yet").state == "ok"
    assert not (tmp_path / "not").exists()


def test_cache_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    check = check_cache(tmp_path / "file")
    assert check.state == "note"
    assert "HF_HOME" in check.fix


@pytest.mark.parametrize(
    ("versions", "state", "word"),
    [
        ({"ipywidgets": "8.1.9", "jupyterlab_widgets": "3.0.17", "jupyterlab": "4.6.6"}, "ok", "JupyterLab 4.6.6"),
        ({"ipywidgets": "7.7.1", "jupyterlab_widgets": "1.1.11", "widgetsnbextension": "3.6.10"}, "ok", "7.7.1"),
        ({"ipywidgets": "7.7.1", "jupyterlab_widgets": "3.0.17"}, "problem", "needs jupyterlab-widgets 1, found 3"),
        ({"ipywidgets": "8.1.9", "widgetsnbextension": "3.6.10"}, "problem", "needs widgetsnbextension 4, found 3"),
        ({}, "problem", "not installed"),
    ],
)
def test_widgets(versions: dict[str, str], state: str, word: str) -> None:
    check = check_widgets(installed(**versions))
    assert check.state == state
    assert word in check.found


@pytest.fixture
def model(tmp_path: Path) -> Path:
    folder = tmp_path / "tiny"
    folder.mkdir()
    save_file({"weight": np.arange(6, dtype=np.float32)}, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps({"model_type": "llava"}))
    (folder / "tokenizer.json").write_text("{}")
    return folder


def test_whole_model(model: Path) -> None:
    assert check_model(model) is None
    seal_model(model)
    assert check_model(model) is None
    (check,) = check_models(model.parent, ("tiny",))
    assert (check.state, check.found) == ("ok", "1 embedded models, intact")


def test_missing_model(tmp_path: Path) -> None:
    (check,) = check_models(tmp_path, ("gone",))
    assert check.state == "problem"
    assert "no folder" in check.found
    assert "python -m toolkit train gone" in check.fix


def test_several_broken_models_are_one_problem(model: Path) -> None:
    (model / "config.json").unlink()
    (check,) = check_models(model.parent, ("tiny", "gone"))
    assert check.name == "models"
    assert check.found.startswith("2 of 2 embedded models cannot be used: tiny: lacks config.json; gone: there is no")
    assert "python -m toolkit train tiny" in check.fix


WEIGHTS = "model.safetensors"


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        *((name, None, f"lacks {name}") for name in ("config.json", WEIGHTS, "tokenizer.json")),
        (WEIGHTS, lambda whole: whole[:-4], "its header says"),
        (WEIGHTS, lambda whole: whole + b"\0", "its header says"),
        (WEIGHTS, lambda whole: whole[:20], "truncated"),
        (WEIGHTS, lambda whole: b"", "truncated"),
        (WEIGHTS, lambda whole: b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (WEIGHTS, lambda whole: struct.pack("<Q", 4) + b"nope", "not safetensors"),
        ("pytorch_model.bin", lambda whole: b"\x80\x04N.", "pytorch_model.bin"),
        ("config.json", lambda whole: b"{", "config.json is damaged"),
    ],
)
def test_what_is_missing_damaged_or_unsafe_is_named(model: Path, name: str, change, said: str) -> None:
    path = model / name
    if change is None:
        path.unlink()
        assert check_model(model) == said
    else:
        path.write_bytes(change(path.read_bytes() if path.exists() else b""))
        assert said in (check_model(model) or "")


def test_one_changed_byte_breaks_the_seal(model: Path) -> None:
    seal_model(model)
    weights = model / "model.safetensors"
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(bytes(data))
    assert "model.safetensors was changed or damaged" in (check_model(model) or "")


def test_file_gone_after_sealing(model: Path) -> None:
    (model / "card.md").write_text("card")
    seal_model(model)
    (model / "card.md").unlink()
    assert check_model(model) == "lacks card.md"


def test_no_data_at_all(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SYNERGY_TOOLKIT_DATA", str(tmp_path / "gone"))
    (check,) = check_models(names=("tiny",))
    assert check.state == "problem"
    assert "SYNERGY_TOOLKIT_DATA" in check.found


def test_diagnosis_says_what_to_do() -> None:
    sound = Diagnosis((Check("python", "ok", "3.11"), Check("network", "note", "offline", "unset it")))
    assert sound.ok
    assert str(sound).splitlines()[-1] == "everything needed is here"
    broken = Diagnosis((Check("numpy", "problem", "1.26", 'pip install "numpy>=2"'),))
    assert not broken.ok
    assert repr(broken).splitlines() == [
        "PROBLEM  numpy  1.26",
        '                -> pip install "numpy>=2"',
        "1 problem",
    ]


def test_long_checks_are_wrapped_with_a_hanging_indent() -> None:
    broken = Check("models", "problem", "word " * 30 + "end", "mend " * 30 + "it")
    wide = Diagnosis((broken, Check("python", "ok", "3")))
    lines = wide.text(60).splitlines()
    assert max(map(len, lines)) <= 60
    assert lines[0].startswith("PROBLEM  models  word")
    assert lines[1].startswith(" " * 17 + "word")
    assert " ".join(wide.text(60).split()) == " ".join(wide.text().split())
    assert len(wide.text().splitlines()) == 4
    assert str(wide) == wide.text(100)  # a page of a notebook breaks longer lines anywhere


def test_this_machine_passes_everything_but_perhaps_the_models() -> None:
    diagnosis = toolkit.doctor()
    assert {check.name for check in diagnosis.checks} >= {"python", "versions", "torchvision", "device", "widgets"}
    assert [check for check in diagnosis.problems if not check.name.startswith(("tiny", "models"))] == []


def test_the_advice_is_one_sentence_with_one_command() -> None:
    old = Check("torch", "problem", "2.11, supported is >=2.13", 'pip install "torch>=2.13"')
    gone = Check("shapiq", "problem", "not installed", 'pip install "shapiq>=1.4"')
    said = version_advice((old, gone))
    assert "torch: 2.11" in said
    assert '%pip install --upgrade "torch>=2.13" "shapiq>=1.4" in a new cell' in said
    assert version_advice((Check("versions", "ok", "26"),)) == "All versions fit."
