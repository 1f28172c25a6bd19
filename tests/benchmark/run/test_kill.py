"""SIGKILL at random moments, resumed: the tables come out byte by byte as of an undisturbed run."""

from support.toy_bench import ToyBench, spec

from tests.stress.kills import STAGES, Killer
from toolkit.benchmark.run.runner import run_benchmark


def test_two_kills(tmp_path):
    """More of them, with workers and on Ray, are among the slow tests of tests/stress."""
    count = Killer(tmp_path, {}).kill(2)
    assert count.kills.total() == 2
    assert set(count.kills) <= set(STAGES.values())
    assert (count.lost, count.doubled, count.different) == (0, 0, 0)


def test_a_kill_while_the_specification_is_written_leaves_a_folder_that_resumes(tmp_path):
    folder = tmp_path / "run"
    (folder / "shards").mkdir(parents=True)
    (folder / ".spec.json.4242.tmp").write_text('{"schema"', encoding="utf-8")
    run_benchmark(spec(folder, samples=8), workspace=ToyBench)
    assert (folder / "records.parquet").exists()
    assert not list(folder.glob(".spec.json.*"))
