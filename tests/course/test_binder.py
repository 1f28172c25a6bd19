"""The Binder set-up, checked without conda: it parses, pins Python, lists every core dependency, and can be run."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "binder"
CONDA_NAMES = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base", "seaborn": "seaborn-base"}
CONDA_NAMES |= {"xxhash": "python-xxhash", "huggingface-hub": "huggingface_hub"}


def requirements():
    environment = yaml.safe_load((FOLDER / "environment.yml").read_text(encoding="utf-8"))
    conda = [entry for entry in environment["dependencies"] if isinstance(entry, str)]
    pip = [entry for group in environment["dependencies"] if isinstance(group, dict) for entry in group["pip"]]
    return environment, conda, pip


def name_of(requirement):
    return re.split(r"[<>=!~\[ ]", requirement, maxsplit=1)[0]


def test_python_is_pinned_and_channels_are_closed():
    environment, conda, _ = requirements()
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    assert "python=3.12" in conda


def test_every_core_dependency_is_listed_with_its_floor():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    _, conda, pip = requirements()
    listed = {name_of(entry): entry for entry in [*conda, *pip]}
    for wanted in project["dependencies"]:
        name = name_of(wanted)
        entry = listed.get(CONDA_NAMES.get(name, name))
        assert entry, f"{name} is missing from binder/environment.yml"
        floor = re.search(r">=([\d.]+)", wanted).group(1)
        ours = re.search(r">=([\d.]+)", entry).group(1)
        assert tuple(map(int, ours.split("."))) >= tuple(map(int, floor.split("."))), f"{entry} is below {wanted}"


def test_the_statistics_of_the_reports_are_there():
    assert any(entry.startswith("statsmodels>=") for entry in requirements()[1])


def test_what_conda_forge_lacks_comes_by_pip():
    _, conda, pip = requirements()
    missing = {"captum", "shapiq"}
    assert missing == {name_of(entry) for entry in pip}, "conda-forge stopped at captum 0.7 and has no shapiq"
    assert not missing & {name_of(entry) for entry in conda}


def test_nothing_local_is_installed_in_the_cached_layer():
    _, conda, pip = requirements()
    assert not [entry for entry in [*conda, *pip] if entry.startswith(("-e", ".", "/"))]
    assert not [entry for entry in [*conda, *pip] if name_of(entry) in {"ray", "torchvision"}]


@pytest.mark.parametrize("name", ["postBuild", "start"])
def test_scripts_are_executable_and_strict(name):
    path = FOLDER / name
    text = path.read_text(encoding="utf-8")
    assert os.access(path, os.X_OK)
    assert text.startswith("#!/usr/bin/env bash\n")
    assert "set -euo pipefail" in text
    subprocess.run(["bash", "-n", str(path)], check=True)


def test_start_hands_over_to_the_command_with_the_offline_variables():
    done = subprocess.run(
        [str(FOLDER / "start"), "bash", "-c", "echo $HF_HUB_OFFLINE $OMP_NUM_THREADS"],
        check=True,
        capture_output=True,
        text=True,
    )
    assert done.stdout.split() == ["1", "1"]


def test_post_build_leaves_conda_packages_alone():
    assert "pip install --no-deps" in (FOLDER / "postBuild").read_text(encoding="utf-8")
