"""The embedded world: pictures of coloured objects on a 6 x 6 grid, questions about them, and the whole truth."""

from toolkit.scenes.generator import FAMILIES, load

__all__ = ["FAMILIES", "load"]
