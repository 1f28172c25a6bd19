"""The project as a whole: metadata, tested set, Makefile, data, and nothing that belongs to one machine."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

import toolkit
from toolkit.paths import VARIABLE, data_dir, data_path, models_dir
from toolkit.vlm.loading.integrity import PICKLES, check_model

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PROJECT = PYPROJECT["project"]
CORE = [Requirement(line) for line in PROJECT["dependencies"]]
EXTRAS = {name: [Requirement(line) for line in lines] for name, lines in PROJECT["optional-dependencies"].items()}
MACHINE = re.compile(r"/work/|/root/|/home/(?!jovyan\b)\w|/Users/\w|C:\\\\?Users")
TEXT = {".py", ".md", ".toml", ".txt", ".yml", ".yaml", ".json", ".ipynb", ".cfg", ".csv", ".html", ""}


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True).stdout.decode()
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def constraints() -> dict[str, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    pins = [line.split("==") for line in lines if line and not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pins}


def test_no_machine_paths_in_tracked_files() -> None:
    here = Path(__file__).resolve()
    found = [
        f"{path.relative_to(ROOT)}: {match[0]}"
        for path in tracked()
        if path.suffix in TEXT and path != here
        for match in [MACHINE.search(path.read_text(encoding="utf-8", errors="replace"))]
        if match
    ]
    assert found == []


def test_no_pickles() -> None:
    assert [path.name for path in tracked() if any(path.match(pattern) for pattern in PICKLES)] == []


def test_no_large_files() -> None:
    large = {path.relative_to(ROOT).as_posix(): path.stat().st_size for path in tracked()}
    assert {name: size for name, size in large.items() if size > 6_000_000} == {}


def test_every_core_dependency_has_a_floor() -> None:
    assert [r.name for r in CORE if not any(s.operator == ">=" for s in r.specifier)] == []
    assert {"torch", "transformers", "captum", "seaborn", "ipywidgets"} <= {r.name for r in CORE}
    assert "torchvision" not in {r.name for r in CORE}


def test_version_is_said_once() -> None:
    assert PROJECT["version"] == toolkit.__version__
    assert f"[{toolkit.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_constraints_pin_everything_that_is_set_up() -> None:
    pins = constraints()
    wanted = [*CORE, *EXTRAS["lab"], *EXTRAS["stats"], *EXTRAS["dev"], *EXTRAS["browser"], *EXTRAS["site"]]
    assert [r.name for r in wanted if canonicalize_name(r.name) not in pins] == []
    outside = [f"{r} but {pins[canonicalize_name(r.name)]}" for r in wanted
               if not r.specifier.contains(pins[canonicalize_name(r.name)], prereleases=True)]  # fmt: skip
    assert outside == []
    assert pins["torch"].local is None


def test_constraints_name_no_other_source() -> None:
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8") + (ROOT / "Makefile").read_text(encoding="utf-8")
    assert "index-url" not in text
    assert "://" not in text


def test_make_has_every_promised_target() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    assert {"demo", "test", "lab", "check", "bench", "notebooks"} <= targets
    dry = subprocess.run(["make", "--dry-run", "test"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    assert 'pytest -m "not slow and not gpu and not browser"' in dry
    assert "HF_HUB_OFFLINE=1" in dry


def test_what_has_not_begun_in_time_is_skipped_and_told(tmp_path: Path) -> None:
    def dry(*arguments: str) -> str:
        command = ["make", "--dry-run", "test-slow", *arguments]
        return subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout

    assert "--minutes 7" in dry("MINUTES=7")
    assert "--minutes" not in dry()

    def told(minutes: str) -> str:
        tried = [sys.executable, "-m", "pytest", "-ra", "-p", "tests.conftest", "--minutes", minutes, str(tmp_path)]
        alone = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
        return subprocess.run(tried, cwd=ROOT, check=True, capture_output=True, text=True, env=alone).stdout

    (tmp_path / "test_one.py").write_text("def test_one(): pass", encoding="utf-8")
    assert re.search(r"SKIPPED \[1\].*not begun within 0 minutes: make test-slow runs all of them", told("0"))
    assert "1 passed" in told("5")


def test_continuous_integration_runs_the_readme_test_command() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "set -euo pipefail" in script.read_text(encoding="utf-8")
    assert "\nmake test\n" in script.read_text(encoding="utf-8")
    assert "make test" in (ROOT / "README.md").read_text(encoding="utf-8")


def test_binder_environment_lists_every_core_dependency() -> None:
    file = ROOT / "binder" / "environment.yml"
    if not file.exists():
        pytest.skip("there is no binder/environment.yml")
    environment = yaml.safe_load(file.read_text(encoding="utf-8"))
    conda = [item for item in environment["dependencies"] if isinstance(item, str)]
    pip = [item for part in environment["dependencies"] if isinstance(part, dict) for item in part["pip"]]
    listed = {canonicalize_name(re.split(r"[=<>! \[]", item)[0]) for item in (*conda, *pip)}
    names = {"torch": "pytorch-cpu", "matplotlib": "matplotlib-base", "seaborn": "seaborn-base"}
    names["xxhash"] = "python-xxhash"
    missing = [r.name for r in CORE if not {canonicalize_name(r.name), names.get(r.name, r.name)} & listed]
    assert missing == []
    assert any(item.startswith("python=3.") for item in conda)
    assert environment["channels"] == ["conda-forge", "nodefaults"]
    for name in ("postBuild", "start"):
        assert os.access(ROOT / "binder" / name, os.X_OK)


def test_embedded_models_are_whole() -> None:
    folders = sorted(path for path in models_dir().iterdir() if path.is_dir())
    assert {folder.name: check_model(folder) for folder in folders} == dict.fromkeys(folder.name for folder in folders)


def test_data_are_those_of_the_checkout() -> None:
    assert data_dir() == ROOT / "data"


def test_data_can_be_elsewhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    assert data_dir() == tmp_path
    (tmp_path / "models").mkdir()
    with pytest.raises(FileNotFoundError, match="no 'models/gone' among .* there is: nothing|there is: $"):
        data_path("models", "gone")
    monkeypatch.setenv(VARIABLE, str(tmp_path / "gone"))
    with pytest.raises(FileNotFoundError, match=r"\$SYNERGY_TOOLKIT_DATA is .*not a folder; unset it"):
        data_dir()


def test_no_data_anywhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr("toolkit.paths.__file__", str(tmp_path / "toolkit" / "paths.py"))
    with pytest.raises(FileNotFoundError, match="install from a complete checkout"):
        data_dir()
    (tmp_path / "toolkit" / "_data" / "models").mkdir(parents=True)
    assert data_dir() == tmp_path / "toolkit" / "_data"


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built as `pip install .` builds it, by the setuptools that is here: no network."""
    folder = tmp_path_factory.mktemp("wheel")
    pip = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"]
    subprocess.run([*pip, "--wheel-dir", str(folder), str(ROOT)], check=True)
    (found,) = folder.glob("*.whl")
    return found


@pytest.mark.slow
def test_a_wheel_carries_its_data(wheel: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        archive.extractall(tmp_path / "site")
    models = {path.relative_to(ROOT / "data").as_posix() for path in (ROOT / "data").rglob("*") if path.is_file()}
    assert {f"toolkit/_data/{name}" for name in models} <= names
    modules = {path.relative_to(ROOT).as_posix() for path in (ROOT / "toolkit").rglob("*.py")}
    assert {name for name in names if name.endswith(".py")} == modules
    assert {"toolkit/py.typed", "toolkit/audit/metrics/CORRECTED_SCORE.md"} <= names
    code = "import toolkit.paths as p; print(p.data_dir())"
    environment = {key: value for key, value in os.environ.items() if key not in (VARIABLE, "PYTHONPATH")}
    found = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=tmp_path / "site", env=environment
    ).stdout.strip()
    assert Path(found) == tmp_path / "site" / "toolkit" / "_data"


@pytest.mark.slow
def test_the_command_of_an_installed_wheel_works_in_an_empty_folder(wheel: Path, tmp_path: Path) -> None:
    site, empty = tmp_path / "site", tmp_path / "empty"
    empty.mkdir()
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target", str(site)]
    subprocess.run([*pip, str(wheel)], check=True)
    environment = {key: value for key, value in os.environ.items() if key != VARIABLE} | {"PYTHONPATH": str(site)}

    def command(*arguments: str) -> str:
        line = [str(site / "bin" / "synergy-toolkit"), *arguments]
        done = subprocess.run(line, check=True, capture_output=True, text=True, cwd=empty, env=environment)
        return done.stdout

    where = subprocess.run(
        [sys.executable, "-c", "import toolkit; print(toolkit.__file__)"],
        check=True, capture_output=True, text=True, cwd=empty, env=environment,
    ).stdout  # fmt: skip
    assert Path(where.strip()).is_relative_to(site)
    assert "Usage: synergy-toolkit " in command("--help")
    shipped = [path for path in models_dir().iterdir() if path.is_dir()]
    assert f"{len(shipped)} embedded models, intact" in command("doctor")
    image = next(iter(toolkit.load_samples("scenes-existence", n=1))).image
    image.save(empty / "scene.png")
    command("explain", "scene.png", "is there a red circle ?", "--model", "tiny-llava-grounded", "--out", "page.html")
    assert "data:image/png;base64," in (empty / "page.html").read_text(encoding="utf-8")


def test_the_floor_run_covers_every_core_dependency_and_lies_below_the_tested_set() -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "floor.py")], check=True, capture_output=True, text=True
    ).stdout
    floors = dict(line.split("==") for line in done.splitlines())
    tested_low = [*CORE, *EXTRAS["benchmark"], *EXTRAS["datasets"], *EXTRAS["shapley"]]
    assert {canonicalize_name(name) for name in floors} == {canonicalize_name(r.name) for r in tested_low}
    tested = dict(
        line.split("==")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line and not line.startswith("#")
    )
    for name, floor in floors.items():
        assert Version(floor) <= Version(tested[name]), name
