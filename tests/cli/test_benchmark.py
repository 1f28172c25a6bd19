"""``benchmark run``: every field of a specification can be given on the command line."""

from pathlib import Path
from typing import Any

import pytest

from toolkit.benchmark.run.spec import BenchmarkSpec
from toolkit.cli import benchmark_command as benchmark
from toolkit.cli.app import app

TINY = ("--models", "m", "--datasets", "scenes-existence", "--explainers", "random,oracle")


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[BenchmarkSpec]:
    """The specifications that would be run."""
    found: list[BenchmarkSpec] = []

    def keep(spec: BenchmarkSpec, *, dry_run: bool) -> None:
        found.append(spec)

    monkeypatch.setattr(benchmark, "_evaluate", keep)
    return found


def invoke(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    with pytest.raises(SystemExit) as ended:
        app(["benchmark", "run", *words])
    return int(ended.value.code or 0), capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "fields"),
    [
        (("--retry-failed",), {"retry_failed": True}),
        (
            ("--executor", "ray", "--workers", "4", "--gpus-per-worker", "0.5", "--ray-address", "127.0.0.1:6379"),
            {"executor": "ray", "workers": 4, "gpus_per_worker": 0.5, "ray_address": "127.0.0.1:6379"},
        ),
        (
            ("--set", "metrics=[f-syn, srg-image]", "--set", "images=0", "--set", "level=0.9"),
            {"metrics": ("f-syn", "srg-image"), "images": 0, "level": 0.9},
        ),
        (("--set", "options={oracle: {}}", "--set", "retry-failed=true"), {"options": {"oracle": {}}}),
    ],
)
def test_options_become_fields(
    capsys: pytest.CaptureFixture[str], asked: list[BenchmarkSpec], words: tuple[str, ...], fields: dict[str, Any]
) -> None:
    assert invoke(capsys, *TINY, *words)[0] == 0
    assert {name: getattr(asked[0], name) for name in fields} == fields


def test_options_override_the_file(
    capsys: pytest.CaptureFixture[str], asked: list[BenchmarkSpec], tmp_path: Path
) -> None:
    path = tmp_path / "spec.yaml"
    path.write_text("models: [m]\ndatasets: [d]\nexplainers: [random]\nsamples: 3\nsteps: 4\n")
    assert invoke(capsys, str(path), "--steps", "5", "--set", "samples=null")[0] == 0
    assert (asked[0].steps, asked[0].samples, asked[0].datasets) == (5, None, ("d",))


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--set", "images"), "--set 'images': expected FIELD=VALUE"),
        (("--set", "=1"), "--set '=1': expected FIELD=VALUE"),
        (("--set", "images=[1"), "'[1' is not YAML"),
        (("--set", "images=1", "--set", "images=2"), "images is given twice"),
        (("--steps", "3", "--set", "steps=2"), "steps is given twice"),
        (("--set", "image=2"), "unknown key 'image'; did you mean 'images'?"),
        (("--set", "images=many"), "got 'many'"),
        (("--gpus-per-worker", "1"), "need executor: ray"),
        (("--executor", "ray", "--device", "cuda", "--workers", "4"), "device: cuda on Ray needs gpus_per_worker"),
    ],
)
def test_wrong_options_are_one_line(
    capsys: pytest.CaptureFixture[str], asked: list[BenchmarkSpec], words: tuple[str, ...], message: str
) -> None:
    code, err = invoke(capsys, *TINY, *words)
    assert (code, asked) == (2, [])
    assert message in err
    assert len(err.splitlines()) == 1
