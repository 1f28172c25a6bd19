"""The demonstration: the embedded models, explainers and controls on the embedded question sets."""

from __future__ import annotations

from typing import Any

from toolkit.benchmark.run.spec import BenchmarkSpec, make_spec
from toolkit.paths import models_dir
from toolkit.vlm.loading.catalogue import CATALOGUE

DATASETS = ("scenes-existence", "scenes-choice", "scenes-mixed", "scenes-everyday")
EXPLAINERS = (
    "attn-lrp", "grad-rollout", "rollout", "integrated-gradients", "input-x-gradient", "grad-cam", "llava-cam", "tam",
    "occlusion", "random", "oracle", "anti-oracle",
)  # fmt: skip


def embedded_models() -> tuple[str, ...]:
    """The grounded and biased models whose checkpoints are there, in the order of the catalogue.

    The shortcut twins are left out: the demo is short, and on its questions they answer nearly as the grounded ones.

    Raises:
        FileNotFoundError: There are none.
    """
    known = [name for name in CATALOGUE if CATALOGUE[name].source == "embedded" and not name.endswith("-shortcut")]
    found = tuple(name for name in known if (models_dir() / name / "model.safetensors").is_file())
    if not found:
        raise FileNotFoundError(f"no embedded model in {models_dir()}; train one: python -m toolkit train {known[0]}")
    return found


def demo_spec(**changes: Any) -> BenchmarkSpec:
    """What ``make demo`` evaluates: minutes on two CPU cores, nothing mocked.

    Nine samples of each of four datasets: as many as twelve of three, so that it takes no longer with the everyday
    objects, where all four gates occur.
    """
    fields: dict[str, Any] = {
        "name": "demo", "models": embedded_models(), "datasets": DATASETS, "explainers": EXPLAINERS, "samples": 9,
        "seeds": (0, 1, 2), "images": 12, "device": "cpu",
    }  # fmt: skip
    return make_spec({**fields, **changes}, "preset 'demo'")
