"""The page on executors: its scripts parse, and its commands are commands of the toolkit."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

import toolkit
from toolkit.benchmark.run import run_cost as plan
from toolkit.benchmark.run import workspace as bench
from toolkit.cli.app import app
from toolkit.vlm.loading.catalogue import CATALOGUE

PAGE = (Path(toolkit.__path__[0]) / "benchmark" / "EXECUTORS.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"```(\w+)\n(.*?)```", PAGE, re.DOTALL)


def commands():
    found = re.findall(r"python -m toolkit (benchmark run .*)", PAGE)
    return [shlex.split(line.replace('"$SCRATCH/runs/correct"', "/runs/correct")) for line in found]


def test_there_is_a_command_for_one_machine_for_slurm_and_for_kubernetes():
    assert [language for language, _ in BLOCKS] == ["sh", "bash", "yaml"]
    assert len(commands()) == 3


@pytest.mark.parametrize("words", commands())
def test_the_commands_are_understood(monkeypatch, capsys, words):
    """Planned, not run; --ray-address stands for a machine that is not there."""
    monkeypatch.setattr(bench, "check_spec", lambda spec, *, pinned: seen.append(spec))
    monkeypatch.setattr(plan, "dry_run", lambda spec: "planned")
    seen = []
    with pytest.raises(SystemExit) as ended:
        app([*words, "--dry-run"])
    assert (ended.value.code or 0, capsys.readouterr().out) == (0, "planned\n")
    assert (seen[0].executor, seen[0].device, seen[0].gpus_per_worker) == ("ray", "cuda", 1)
    assert set(seen[0].models) <= set(CATALOGUE)


@pytest.mark.parametrize("script", [text for language, text in BLOCKS if language in ("sh", "bash")])
def test_the_scripts_parse(script):
    done = subprocess.run(["bash", "-n"], input=script, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_kubernetes_job_uses_the_token_and_keeps_its_records():
    (job,) = [yaml.safe_load(text) for language, text in BLOCKS if language == "yaml"]
    cluster = job["spec"]["rayClusterSpec"]
    assert cluster["authOptions"] == {"mode": "token"}
    head = cluster["headGroupSpec"]["template"]["spec"]
    kept = {mount["mountPath"] for mount in head["containers"][0]["volumeMounts"]}
    assert any(job["spec"]["entrypoint"].endswith(f"--out {path}/correct") for path in kept)
    (group,) = cluster["workerGroupSpecs"]
    gpus = int(group["template"]["spec"]["containers"][0]["resources"]["limits"]["nvidia.com/gpu"])
    assert f"--workers {group['replicas'] * gpus} " in job["spec"]["entrypoint"]


def test_slurm_shares_one_token_and_asks_for_what_it_has():
    (script,) = [text for language, text in BLOCKS if language == "bash"]
    asked = dict(re.findall(r"#SBATCH --([a-z-]+)=(\d+)$", script, re.MULTILINE))
    assert "export RAY_AUTH_MODE=token" in script
    assert "export RAY_AUTH_TOKEN" in script
    assert f"--num-cpus {asked['cpus-per-task']} --num-gpus {asked['gpus-per-node']} " in script
    assert f"--workers {int(asked['nodes']) * int(asked['gpus-per-node'])} " in script
