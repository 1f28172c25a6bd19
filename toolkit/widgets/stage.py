"""A figure with a still part and moving artists: the still part is drawn once, a change then costs milliseconds."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.artist import Artist
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from toolkit.reporting.plots.style import styled
from toolkit.widgets.views import png

DPI = 100


class Stage:
    """Axes, grid, ticks and legends stand still; lines, bars and texts move.

    Drawing a figure of three axes takes matplotlib about 200 ms, nearly all of it for what never changes.

    Args:
        figure: The finished figure.
        moving: Artists of it that will change, drawn in this order. Change their data, then call :meth:`image`.
    """

    def __init__(self, figure: Figure, moving: Sequence[Artist]) -> None:
        self.moving = tuple(moving)
        for artist in self.moving:
            artist.set_animated(True)
            artist.set_in_layout(False)
        figure.set_dpi(DPI)
        self._canvas = FigureCanvasAgg(figure)
        self._canvas.draw()  # type: ignore[no-untyped-call]
        self._still = self._canvas.copy_from_bbox(figure.bbox)  # type: ignore[no-untyped-call]

    def image(self) -> Image.Image:
        """The figure as it is now."""
        self._canvas.restore_region(self._still)  # type: ignore[no-untyped-call]
        renderer = self._canvas.get_renderer()  # type: ignore[no-untyped-call]
        for artist in self.moving:
            artist.draw(renderer)
        return Image.fromarray(np.asarray(self._canvas.buffer_rgba())[:, :, :3].copy())  # type: ignore[no-untyped-call]


def rendered(figure: Figure) -> bytes:
    """A finished figure as PNG, drawn once; saving it by matplotlib draws it twice to settle its layout."""
    with styled():
        return png(Stage(figure, ()).image())
