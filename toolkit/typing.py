"""Array aliases used by every module, with their shapes written down once, and equality of what holds arrays."""

from __future__ import annotations

from dataclasses import fields
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Coalitions: TypeAlias = NDArray[np.bool_]
"""Boolean array (n_coalitions, n_players): True where a player is present."""

Values: TypeAlias = NDArray[np.float64]
"""Float array (n_coalitions,): the raw, signed value of each coalition."""

Scores: TypeAlias = NDArray[np.float64]
"""Float array (n_players,): one signed attribution per player."""

PairScores: TypeAlias = NDArray[np.float64]
"""Float array (n_image, n_text): one signed interaction per image player and text player."""

Regions: TypeAlias = NDArray[np.float64]
"""Float array (n_image_players, 4): x0, y0, x1, y1 as fractions of the original picture, in [0, 1]."""

Modality: TypeAlias = Literal["image", "text"]


class EqualByContent:
    """A dataclass (with ``eq=False``) that equals another of its class whose fields are equal, arrays among them.

    NaN equals NaN, so that what is loaded equals what was saved. It cannot be hashed, as its arrays cannot.
    """

    __hash__: ClassVar[None]  # type: ignore[assignment]

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return all(_is_same(getattr(self, f.name), getattr(other, f.name)) for f in fields(self))  # type: ignore[arg-type]


def _is_same(a: Any, b: Any) -> bool:
    """Equal, NaN to NaN; arrays of one type, shape and content."""
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    return bool(a == b) or (isinstance(a, float) and isinstance(b, float) and a != a and b != b)
