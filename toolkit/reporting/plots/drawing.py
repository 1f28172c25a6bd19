"""A figure with its alternative text."""

from __future__ import annotations

import base64
import html
import io
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from toolkit.reporting.plots.style import styled

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Drawing:
    """A finished figure.

    Attributes:
        figure: The matplotlib figure.
        alt: What the figure shows, in words and numbers.
    """

    figure: Figure = field(repr=False)
    alt: str

    def __post_init__(self) -> None:
        if not self.alt.strip():
            raise ValueError("a drawing needs an alternative text: say what it shows")

    def svg(self) -> str:
        """The figure as SVG; the same figure gives the same bytes."""
        buffer = io.StringIO()
        with styled():
            self.figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
        return _small(buffer.getvalue())

    def png(self, dpi: int = 144) -> bytes:
        """The figure as PNG."""
        buffer = io.BytesIO()
        with styled():
            self.figure.savefig(buffer, format="png", dpi=dpi, metadata={"Software": None})
        return buffer.getvalue()

    def html(self, caption: str = "") -> str:
        """A self-contained ``<figure>``, the drawing inside it as SVG."""
        width = round(self.figure.get_figwidth() * 96)
        return image_html(self.svg().encode(), "image/svg+xml", self.alt, caption=caption, width=width)

    def _repr_html_(self) -> str:
        return self.html()

    def save(self, path: Path | str) -> Path:
        """Write ``.svg`` or ``.png``.

        Raises:
            ValueError: Another file type.
        """
        path = Path(path)
        if path.suffix == ".svg":
            path.write_text(self.svg(), encoding="utf-8")
        elif path.suffix == ".png":
            path.write_bytes(self.png())
        else:
            raise ValueError(f"cannot save a drawing as {path.suffix or 'a file without suffix'!r}; use .svg or .png")
        return path


def _small(svg: str) -> str:
    """The same drawing in fewer bytes: two decimals, no line breaks, and nothing said twice."""
    svg = re.sub(r"<metadata>.*?</metadata>", "", svg[svg.index("<svg") :], flags=re.DOTALL)
    svg = re.sub(r"\d+\.\d{2,}", lambda found: f"{float(found[0]):.2f}".rstrip("0").rstrip("."), svg)
    svg = re.sub(r'(<use[^>]* style="fill: #?\w+)[^"]*"', r'\1"', re.sub(r"\s*\n\s*", " ", svg))
    svg = re.sub(r' transform="rotate\(-0 [^"]*"', "", svg.replace("; stroke-linecap: square", ""))
    return svg.replace("'DejaVu Sans'", "DejaVu Sans,Verdana,sans-serif")


def image_html(data: bytes, kind: str, alt: str, *, caption: str = "", width: int | None = None) -> str:
    """A ``<figure>`` with an image inside the document itself, scaled down where the window is narrow."""
    if kind == "image/svg+xml":
        plain = data.decode().replace("'", "&apos;").replace('"', "'").replace("%", "%25").replace("#", "%23")
        source = f"data:{kind},{plain.replace('&', '&amp;')}"
    else:
        source = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    size = f' width="{width}"' if width else ""
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    style = "max-width:100%;height:auto"
    return f'<figure><img src="{source}" alt="{html.escape(alt)}"{size} style="{style}">{below}</figure>'
