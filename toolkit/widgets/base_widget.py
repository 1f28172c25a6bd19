"""The base of every widget: labelled controls, one box, and a static stand-in.

Only classes of ipywidgets 7.7.1 that version 8 still has are used, and no widget keeps a number: what is shown comes
from pure functions and is put into place by ``observe``. Figures are PNG bytes in one ``Image`` of a fixed size, so
that nothing flickers; a line of text beside it says in words what the figure shows.
"""

from __future__ import annotations

import base64
import html
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as w

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
TIGHT = "4px"
"""Gap between buttons of one group."""

LEGIBLE = 540
"""Pixels below which no figure shrinks: a narrow window scrolls a wide one, whose text could not be read any more."""

_NUMBER = re.compile(r"[+-]?\d[\d,]*(\.\d+)?(e[+-]\d+)?")


class BaseWidget(ABC):
    """A widget with a static stand-in.

    Attributes:
        box: The ipywidgets container that is shown where a front end is there.
    """

    box: Any

    @abstractmethod
    def static(self) -> str:
        """The current state as HTML that needs no front end: figures with alternative text, and tables."""

    def _repr_mimebundle_(self, include: object = None, exclude: object = None) -> dict[str, Any]:
        view = {"version_major": 2, "version_minor": 0, "model_id": self.box.model_id}
        return {WIDGET_VIEW: view, "text/html": self.static(), "text/plain": f"<{type(self).__name__}>"}


def row(*children: Any, gap: str = "8px 16px") -> Any:
    """Widgets, or parts with a ``box``, beside each other, wrapped where the window is narrow."""
    layout = {"flex_flow": "row wrap", "align_items": "flex-start", "grid_gap": gap}
    return w.HBox([getattr(child, "box", child) for child in children], layout=layout)


def column(*children: Any, width: str = "auto") -> Any:
    """Widgets, or parts with a ``box``, below each other."""
    layout = {"width": width, "max_width": "100%", "grid_gap": "4px"}
    return w.VBox([getattr(child, "box", child) for child in children], layout=layout)


def dropdown(label: str, options: Sequence[Any], value: Any = None, *, width: str = "300px") -> Any:
    """A labelled dropdown; ``options`` are values or (text, value) pairs."""
    chosen = {} if value is None else {"value": value}
    return w.Dropdown(options=list(options), description=label, style=_label(), layout=_flexible(width), **chosen)


def slider(
    label: str, low: int, high: int, step: int, value: int, *, width: str = "420px", label_width: str = "initial"
) -> Any:
    """A labelled slider over whole numbers that reports while it moves; sliders with one label width line up.

    In a narrow window the slider goes below its label.
    """
    layout = {**_flexible(width), "flex_flow": "row wrap", "height": "auto"}
    return w.IntSlider(
        value=value, min=low, max=high, step=step, description=label, style=_label(label_width), layout=layout
    )


def choice(label: str, options: Sequence[str], value: str) -> Any:
    """A labelled group of buttons of which one is pressed."""
    style = {**_label(), "button_width": "auto"}
    return w.ToggleButtons(options=list(options), value=value, description=label, style=style)


def button(label: str) -> Any:
    """A button as wide as its label, however narrow the window is."""
    return w.Button(description=label, layout={"width": "auto", "flex": "0 0 auto"})


def _label(width: str = "initial") -> dict[str, str]:
    return {"description_width": width}


def _flexible(width: str) -> dict[str, str]:
    return {"width": width, "max_width": "100%"}


def on_click(control: Any, action: Callable[[], None], note: w.HTML, *, named: bool = True) -> None:
    """Call an action when a button is clicked; an exception, which Jupyter would swallow, is shown to the reader.

    Args:
        control: The button.
        action: What to do.
        note: Shows the exception.
        named: With the name of its kind; False where it is about what the reader wrote.
    """

    def clicked(_: object) -> None:
        try:
            action()
        except Exception as error:  # a front end would drop it silently
            note.value = status_html(html.escape(f"{type(error).__name__}: {error}" if named else str(error)))

    control.on_click(clicked)


def on_change(control: Any, action: Callable[[], None]) -> None:
    """Call an action whenever the value of a control changes."""
    control.observe(lambda change: action(), names="value")


class ImageView:
    """An image of a fixed size, and what it shows in words for those who hear the page.

    The image widget takes no alternative text, so the words stand in an element without height below it.

    Args:
        width: CSS pixels.
        height: CSS pixels.
    """

    def __init__(self, width: int, height: int) -> None:
        size = {"width": f"{width}px", "height": f"{height}px", "min_width": f"{min(width, LEGIBLE)}px"}
        size |= {"max_width": "100%", "object_fit": "contain"}
        self.image = w.Image(value=b"", format="png", layout={**size, "display": "none", "margin": "0"})
        self.words = w.HTML(layout={"height": "0", "min_height": "0", "margin": "0", "overflow": "hidden"})
        layout = {**_flexible(f"{width}px"), "flex": "0 0 auto", "overflow": "auto hidden"}
        self.box = w.VBox([self.image, self.words], layout=layout)

    @property
    def value(self) -> bytes:
        """The PNG that is shown, or ``b""``."""
        return bytes(self.image.value)

    def show(self, data: bytes, alt: str) -> None:
        """Swap the bytes; without bytes the image is hidden, since a browser would draw a broken one."""
        self.image.value = data
        self.image.layout.display = "" if data else "none"
        self.words.value = html.escape(alt) if data else ""


def figure_html(data: bytes, alt: str, *, width: int, caption: str = "") -> str:
    """A PNG as a ``<figure>`` with alternative text."""
    source = base64.b64encode(data).decode()
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure style="display:inline-block;margin:4px"><img src="data:image/png;base64,{source}" '
        f'alt="{html.escape(alt)}" width="{width}">{below}</figure>'
    )


def table_html(header: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "") -> str:
    """A table of texts; the first column holds the row headers, columns of numbers are flush right."""
    numeric = [number > 0 and all(_NUMBER.fullmatch(row[number]) for row in rows) for number in range(len(header))]
    styles = [f"text-align:{'right' if right else 'left'};padding:2px 10px" for right in numeric]

    def cell(tag: str, text: str, place: int, weight: str = "") -> str:
        return f'<{tag} style="{styles[place]}{weight}">{html.escape(text)}</{tag.split()[0]}>'

    head = "".join(cell('th scope="col"', text, place) for place, text in enumerate(header))
    lines = [
        cell('th scope="row"', row[0], 0, ";font-weight:normal")
        + "".join(cell("td", text, place) for place, text in enumerate(row[1:], 1))
        for row in rows
    ]
    body = "".join(f"<tr>{line}</tr>" for line in lines)
    title = f'<caption style="text-align:left;padding:2px 10px">{html.escape(caption)}</caption>' if caption else ""
    style = "line-height:1.4;font-variant-numeric:tabular-nums;margin:4px 0"
    return f'<table style="{style}">{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def heading(text: str) -> Any:
    """A short heading above a part of a widget."""
    return w.HTML(f'<div style="line-height:1.4;font-weight:bold">{html.escape(text)}</div>')


def status_html(text: str) -> str:
    """A line that screen readers announce when it changes."""
    return f'<div role="status" aria-live="polite" style="line-height:1.5">{text}</div>'
