"""Vision-language models: load one, query it, and build the cooperative game of a sample."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.vlm.engine.store import CoalitionStore as CoalitionStore
    from toolkit.vlm.engine.store import default_store as default_store
    from toolkit.vlm.loading.catalogue import CATALOGUE as CATALOGUE
    from toolkit.vlm.loading.load_checkpoint import load_vlm as load_vlm
    from toolkit.vlm.loading.wrapping import wrap as wrap
    from toolkit.vlm.sample_game import score_games as score_games

_HOME = {
    "CATALOGUE": "toolkit.vlm.loading.catalogue",
    "CoalitionStore": "toolkit.vlm.engine.store",
    "default_store": "toolkit.vlm.engine.store",
    "load_vlm": "toolkit.vlm.loading.load_checkpoint",
    "score_games": "toolkit.vlm.sample_game",
    "wrap": "toolkit.vlm.loading.wrapping",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that the registry of models can be read without torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'toolkit.vlm' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
