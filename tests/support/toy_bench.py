"""A bench whose models are analytic gates: every number is known and a unit takes well under a millisecond."""

from __future__ import annotations

import hashlib
import os
import random
import signal
import time
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
import torch
from PIL import Image

from toolkit.benchmark.run.spec import BenchmarkSpec
from toolkit.benchmark.run.units import Skip, Unreadable
from toolkit.datasets.sample import Corners, Sample, Truth
from toolkit.games.analytic import SumOfUnanimityGames, additive, and_gate, or_gate
from toolkit.games.attribution import Attribution
from toolkit.synergy.score import MetricSpec, Score
from toolkit.testing import FakeVLM

GATES = {"gate-and": and_gate, "gate-or": or_gate, "gate-additive": additive}
WORDS = "is there a red circle ?".split()
N_CELLS = 9
METRICS = [
    MetricSpec("f-syn", 1, (-2.0, 1.0), "probability", "test"),
    MetricSpec("srg-image", 1, (-1.0, 1.0), "probability", "test"),
    MetricSpec("srg-text", 1, (-1.0, 1.0), "probability", "test"),
]


def evidence(sample: Sample) -> tuple[list[int], list[int]]:
    number = int(sample.id.rsplit("-", 1)[1])
    return [number % N_CELLS], [3 + number % 2]


def toy_vlm(name: str) -> FakeVLM:
    def gate(sample: Sample, target: str, baseline: str) -> SumOfUnanimityGames:
        cells, words = evidence(sample)
        return GATES[name](N_CELLS, len(WORDS), image=cells, text=words)

    return FakeVLM(gate, name=name)


def make_sample(dataset: str, number: int) -> Sample:
    image = Image.new("RGB", (96, 96), (40 * (number % 6), 120, 200))
    truth = Truth("synergy", ((0, 0, 1 / 3, 1 / 3),), (3, 4), Corners(1, 0.5, 0.5, 0.5), family="existence")
    return Sample(
        id=f"{dataset}-{number}", image=image, question=" ".join(WORDS), choices=("yes", "no"),
        answer="yes" if number % 3 else "no", image_id=f"image-{number // 2}", dataset=dataset, truth=truth,
    )  # fmt: skip


def curve(game, attribution, steps):
    """Insertion minus deletion of both modalities together: enough for a runner's test."""
    n = game.players.n
    order = np.argsort(-attribution.scores, kind="stable")
    sizes = np.floor(np.linspace(0, 1, steps + 1) * n + 0.5).astype(int)
    kept = np.zeros((len(sizes), n), dtype=np.bool_)
    for row, size in enumerate(sizes):
        kept[row, order[:size]] = True
    return game(kept) - game(~kept)


@dataclass
class ToyBench:
    spec: BenchmarkSpec
    asked: ClassVar[list] = []
    """What was explained in this process, by any toy bench."""

    def samples(self, dataset):
        found = {f"{dataset}-{i}": make_sample(dataset, i) for i in range(self.spec.samples or 8)}
        if dataset == "torn":
            found["torn-99"] = Unreadable("torn-99", "UnidentifiedImageError: cannot identify image file")
        return {} if dataset == "empty" else found

    def identities(self):
        return {"model": "weights 1"}

    def model(self, name):
        if name == "unloadable":
            raise OSError("no such checkpoint")
        return toy_vlm(name)

    def explain(self, explainer, vlm, sample, *, target, seed):
        self.asked.append((vlm.name, sample.id, explainer, seed))
        time.sleep(float(os.environ.get("TOY_SECONDS", "0")))
        number = int(sample.id.rsplit("-", 1)[1])
        self._misbehave(explainer, number)
        cells, words = evidence(sample)
        players = vlm.players(sample)
        scores = np.random.default_rng([seed, number, len(explainer)]).standard_normal(players.n)
        sign = {"oracle": 10.0, "anti-oracle": -10.0}.get(explainer, 0.0)
        scores[[*cells, *(N_CELLS + w for w in words)]] += sign
        return Attribution(scores, players, explainer, target, n_evaluations=3, seconds=time.perf_counter() % 1)

    def _misbehave(self, explainer, number):
        if explainer == "nan" and number == 2:
            raise ValueError("attribution of 'nan' has 1 non-finite scores")
        if explainer == "hungry" and number == 1:
            raise MemoryError
        if explainer == "needs-truth":
            raise Skip("needs-truth needs a sample that carries its ground truth")
        if explainer == "interrupted" and number == 2:
            raise KeyboardInterrupt
        marker = Path(os.environ.get("TOY_MARKER", "/nonexistent"))
        if explainer == "deadly" and number == 2 and (os.environ.get("TOY_ALWAYS") or not marker.exists()):
            marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)

    def score(self, game, attributions):
        results = []
        for attribution in attributions:
            before = game.n_evaluations
            values = curve(game, attribution, self.spec.steps)
            k = np.linspace(0, 1, self.spec.steps + 1)
            auc = float(np.trapezoid(values, k))
            numbers = {"f-syn": auc, "srg-image": auc + 0.1 * attribution.scores[0], "srg-text": -auc}
            added = game.n_evaluations - before
            wanted = [m for m in METRICS if m.name in self.spec.metrics]
            results.append({m.name: Score(m, numbers[m.name], k, values, added) for m in wanted})
        return results

    def environment(self, vlm):
        return {"toolkit": "test", "device": "cpu", "model_name": vlm.name}

    def origin(self, vlm, dataset):
        return {"checkpoint": f"files of {vlm.name}", "content": f"content of {dataset}"}

    def effort(self, vlm):
        return {"tokens_per_batch": os.getpid()}


class DeadlyOnce(ToyBench):
    """Dies on the first encounter with sample 2; the marker lies in the run's folder, which all nodes share here."""

    @staticmethod
    def marker(spec):
        return Path(spec.out).parent / "died"

    def _misbehave(self, explainer, number):
        os.environ["TOY_MARKER"] = str(self.marker(self.spec))
        super()._misbehave(explainer, number)


class Mortal(ToyBench):
    """Its workers die at random; each death leaves a file beside the run's folder."""

    def _misbehave(self, explainer, number):
        super()._misbehave(explainer, number)
        if self.spec.executor != "serial" and random.random() < 0.01:
            (Path(self.spec.out).parent / f"death-{os.getpid()}").touch()
            os.kill(os.getpid(), signal.SIGKILL)


class TellsThreads(ToyBench):
    """Says in its environment how many threads PyTorch uses; this module brings PyTorch along, as real benches do."""

    def environment(self, vlm):
        return {**super().environment(vlm), "threads": str(torch.get_num_threads())}


class Peaceful(ToyBench):
    """Never dies."""

    def _misbehave(self, explainer, number):
        return None


def spec(out: Path, **changes) -> BenchmarkSpec:
    fields = {
        "models": ["gate-and", "gate-or"], "datasets": ["toys"], "explainers": ["random", "oracle", "anti-oracle"],
        "metrics": ["f-syn", "srg-image", "srg-text"],
        "samples": 6, "seeds": [0, 1], "steps": 5, "out": out, "progress": False, "images": 2, "bootstrap": 200,
    }  # fmt: skip
    return BenchmarkSpec(**{**fields, **changes})


def tables_digest(folder: Path) -> str:
    """Of everything that must not depend on how a run went: the parquet tables and all CSV tables but the costs."""
    from toolkit.benchmark.report.report_data import ReportData
    from toolkit.benchmark.report.run_tables import load_run
    from toolkit.benchmark.report.write_report import write_tables

    write_tables(ReportData(load_run(folder)))
    found = hashlib.sha256()
    names = sorted(path for path in (folder / "tables").glob("*.csv") if path.name != "costs.csv")
    for path in (folder / "records.parquet", folder / "samples.parquet", *names):
        found.update(path.read_bytes())
    return found.hexdigest()
