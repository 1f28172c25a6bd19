"""Vision-language models as players' worlds: load one, ask it, and play the game of a sample on it."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from toolkit.vlm.catalogue import CATALOGUE as CATALOGUE
    from toolkit.vlm.game import score_games as score_games
    from toolkit.vlm.loading import load_vlm as load_vlm
    from toolkit.vlm.store import CoalitionStore as CoalitionStore
    from toolkit.vlm.store import default_store as default_store
    from toolkit.vlm.wrapping import wrap as wrap

_HOME = {
    "CATALOGUE": "toolkit.vlm.catalogue",
    "CoalitionStore": "toolkit.vlm.store",
    "default_store": "toolkit.vlm.store",
    "load_vlm": "toolkit.vlm.loading",
    "score_games": "toolkit.vlm.game",
    "wrap": "toolkit.vlm.wrapping",
}

__all__ = sorted(_HOME)


def __getattr__(name: str) -> object:
    """Import a public name on first use, so that the registry of models can be read without torch."""
    if name not in _HOME:
        raise AttributeError(f"module 'toolkit.vlm' has no attribute {name!r}")
    value = getattr(import_module(_HOME[name]), name)
    globals()[name] = value
    return value
