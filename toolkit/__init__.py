"""The Synergy Toolkit: how much of a vision-language model's answer comes from image and text *together*.

The names below are the public face. Each is imported when it is first used, so that ``import toolkit`` loads
neither torch nor any other heavy package::

    vlm = toolkit.load_vlm("tiny-llava-grounded")
    sample = toolkit.load_samples("scenes-existence", split="test", n=1)[0]
    game = vlm.game(sample)
    attribution = toolkit.explain("occlusion", vlm, sample)
    score = toolkit.synergistic_faithfulness(game, attribution)
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.audit.fieldnotes.field_table import fieldnotes as fieldnotes
    from toolkit.audit.validation import validate_metric as validate_metric
    from toolkit.benchmark import BenchmarkSpec as BenchmarkSpec
    from toolkit.benchmark import run_benchmark as run_benchmark
    from toolkit.datasets import load_image_question as load_image_question
    from toolkit.datasets import load_samples as load_samples
    from toolkit.datasets.sample import Corners as Corners
    from toolkit.datasets.sample import Sample as Sample
    from toolkit.datasets.sample import Truth as Truth
    from toolkit.environment import doctor as doctor
    from toolkit.explainers import explain as explain
    from toolkit.games.attribution import Attribution as Attribution
    from toolkit.games.attribution import InteractionAttribution as InteractionAttribution
    from toolkit.games.game import Game as Game
    from toolkit.games.game import Players as Players
    from toolkit.games.interactions import shapley_interaction_index as shapley_interaction_index
    from toolkit.measuring import measure as measure
    from toolkit.redundancy.diagnose import diagnose as diagnose
    from toolkit.results import GameValues as GameValues
    from toolkit.results import load as load
    from toolkit.results import save as save
    from toolkit.results import to_frame as to_frame
    from toolkit.synergy import insertion_deletion as insertion_deletion
    from toolkit.synergy import synergistic_faithfulness as synergistic_faithfulness
    from toolkit.synergy import total_interaction as total_interaction
    from toolkit.synergy.score import MetricSpec as MetricSpec
    from toolkit.synergy.score import Score as Score
    from toolkit.vlm import load_vlm as load_vlm
    from toolkit.vlm import wrap as wrap

__version__ = "0.2.0"

_HOME = {
    "Attribution": "toolkit.games.attribution",
    "BenchmarkSpec": "toolkit.benchmark",
    "Corners": "toolkit.datasets.sample",
    "Game": "toolkit.games.game",
    "GameValues": "toolkit.results",
    "InteractionAttribution": "toolkit.games.attribution",
    "MetricSpec": "toolkit.synergy.score",
    "Players": "toolkit.games.game",
    "Sample": "toolkit.datasets.sample",
    "Score": "toolkit.synergy.score",
    "Truth": "toolkit.datasets.sample",
    "diagnose": "toolkit.redundancy",
    "doctor": "toolkit.environment",
    "explain": "toolkit.explainers",
    "fieldnotes": "toolkit.audit.fieldnotes.field_table",
    "insertion_deletion": "toolkit.synergy",
    "load": "toolkit.results",
    "load_image_question": "toolkit.datasets",
    "load_samples": "toolkit.datasets",
    "load_vlm": "toolkit.vlm",
    "measure": "toolkit.measuring",
    "run_benchmark": "toolkit.benchmark",
    "save": "toolkit.results",
    "shapley_interaction_index": "toolkit.games.interactions",
    "synergistic_faithfulness": "toolkit.synergy",
    "to_frame": "toolkit.results",
    "total_interaction": "toolkit.synergy",
    "validate_metric": "toolkit.audit.validation",
    "wrap": "toolkit.vlm",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    """Import a public name on first use (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module 'toolkit' has no attribute {name!r}; public names: {', '.join(_HOME)}")
    try:
        value = getattr(import_module(_HOME[name]), name)
    except ImportError as error:
        from toolkit.environment import import_advice

        advice = import_advice()
        if not advice:
            raise
        raise ImportError(f"{error} {advice}") from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
