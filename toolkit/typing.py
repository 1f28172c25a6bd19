"""Array aliases used by every module, with their shapes written down once."""

from __future__ import annotations

from typing import Literal, TypeAlias

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
