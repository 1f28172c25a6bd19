"""Ready-made specifications: the demonstration, the paper's settings, and ours."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from toolkit.benchmark.run.spec import BenchmarkSpec, make_spec
from toolkit.explainers import PAPERS_EIGHT
from toolkit.paths import models_dir
from toolkit.registry import Registry
from toolkit.synergy.metrics import DEFAULT_METRICS
from toolkit.synergy.recovered import SURFACE_RECOVERED
from toolkit.vlm.loading.catalogue import CATALOGUE

MODELS = ("llava-hf/llava-1.5-7b-hf", "Qwen/Qwen2.5-VL-3B-Instruct", "OpenGVLab/InternVL3_5-2B-HF")
DATASETS = ("repope", "cv-bench", "mmstar")
DEMO_DATASETS = ("scenes-existence", "scenes-choice", "scenes-mixed", "scenes-everyday")
DEMO_EXPLAINERS = (
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
        "name": "demo", "models": embedded_models(), "datasets": DEMO_DATASETS, "explainers": DEMO_EXPLAINERS,
        "samples": 9, "seeds": (0, 1, 2), "images": 12, "device": "cpu",
    }  # fmt: skip
    return _changed(fields, changes)


def paper_spec(**changes: Any) -> BenchmarkSpec:
    """The settings of arXiv 2605.22168 on the paper's grid: clipped headline, 5 integration steps, one random seed.

    Its bugs are not settings: the scored token is the explained one and the player map is right here too.
    """
    fields: dict[str, Any] = {
        "name": "paper", "models": MODELS, "datasets": DATASETS, "explainers": (*PAPERS_EIGHT, "random"),
        "samples": None, "seeds": (0,), "steps": 10, "baseline": "blur", "headline": "f-syn-paper",
        "dtype": "bfloat16", "players": "tokens",
        "options": {"integrated-gradients": {"steps": 5}}, "max_failed": 0.01,
    }  # fmt: skip
    return _changed(fields, changes)


def correct_spec(**changes: Any) -> BenchmarkSpec:
    """The same grid the way we measure: corrected headline, converged integration, three seeds, float32."""
    fields: dict[str, Any] = {
        "name": "correct", "models": MODELS, "datasets": DATASETS, "explainers": (*PAPERS_EIGHT, "random", "occlusion"),
        "samples": None, "seeds": (0, 1, 2), "steps": 10, "baseline": "blur", "dtype": "float32",
        "metrics": (SURFACE_RECOVERED.name, *DEFAULT_METRICS), "headline": SURFACE_RECOVERED.name,
        "options": {"integrated-gradients": {"max_steps": 1024}}, "max_failed": 0.01,
    }  # fmt: skip
    return _changed(fields, changes)


def _changed(fields: dict[str, Any], changes: dict[str, Any]) -> BenchmarkSpec:
    """The preset with some fields changed; its options of explainers that are not evaluated any more go."""
    merged = fields | changes
    if "options" in fields and "options" not in changes:
        merged["options"] = {name: how for name, how in fields["options"].items() if name in merged["explainers"]}
    return make_spec(merged, f"preset {fields['name']!r}")


PRESETS: Registry[Callable[..., BenchmarkSpec]] = Registry("preset")
for _name, _preset in (("demo", demo_spec), ("paper", paper_spec), ("correct", correct_spec)):
    PRESETS.add(_name, _preset)


def preset(name: str, *, out: Path | None = None, **changes: Any) -> BenchmarkSpec:
    """A preset with some fields changed.

    Raises:
        UnknownNameError: No preset has this name.
        SpecError: A changed field does not exist or does not fit.
    """
    return PRESETS[name](out=out, **changes)
