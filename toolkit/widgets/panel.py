"""What every widget of the toolkit has in common: labelled controls, one box, and a figure that stands without it.

Only classes of ipywidgets 7.7.1 that version 8 still has are used, and no widget keeps a number: what is shown comes
from pure functions and is put into place by ``observe``. Figures are PNG bytes in one ``Image`` of a fixed size, so
that nothing flickers; a line of text beside it says in words what the figure shows.
"""

from __future__ import annotations

import base64
import html
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

import ipywidgets as w

WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
_LABEL = {"description_width": "initial"}


class Panel(ABC):
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


def dropdown(label: str, options: Sequence[Any], value: Any = None, *, width: str = "300px") -> Any:
    """A labelled dropdown; ``options`` are values or (text, value) pairs."""
    chosen = {} if value is None else {"value": value}
    return w.Dropdown(options=list(options), description=label, style=_LABEL, layout={"width": width}, **chosen)


def slider(label: str, low: int, high: int, step: int, value: int, *, width: str = "420px") -> Any:
    """A labelled slider over whole numbers that reports while it moves."""
    return w.IntSlider(
        value=value, min=low, max=high, step=step, description=label, style=_LABEL, layout={"width": width}
    )


def choice(label: str, options: Sequence[str], value: str) -> Any:
    """A labelled group of buttons of which one is pressed."""
    return w.ToggleButtons(
        options=list(options), value=value, description=label, style={**_LABEL, "button_width": "auto"}
    )


def button(label: str, *, width: str = "auto") -> Any:
    """A button."""
    return w.Button(description=label, layout={"width": width})


def on_click(control: Any, action: Callable[[], None], report: Callable[[str], None]) -> None:
    """Call an action when a button is clicked; an exception, which Jupyter would swallow, is shown to the reader.

    Args:
        control: The button.
        action: What to do.
        report: Shows a message; gets ``""`` when the action went well.
    """

    def clicked(_: object) -> None:
        try:
            action()
        except Exception as error:  # a front end would drop it silently
            report(f"{type(error).__name__}: {error}")
        else:
            report("")

    control.on_click(clicked)


def on_change(control: Any, action: Callable[[], None]) -> None:
    """Call an action whenever the value of a control changes."""
    control.observe(lambda change: action(), names="value")


def picture(data: bytes, width: int, height: int) -> Any:
    """An image widget of a fixed size, in CSS pixels."""
    layout = {"width": f"{width}px", "height": f"{height}px", "max_width": "100%", "object_fit": "contain"}
    return w.Image(value=data, format="png", layout=layout)


def figure_html(data: bytes, alt: str, *, width: int, caption: str = "") -> str:
    """A PNG as a ``<figure>`` with alternative text."""
    source = base64.b64encode(data).decode()
    below = f"<figcaption>{html.escape(caption)}</figcaption>" if caption else ""
    return (
        f'<figure style="display:inline-block;margin:4px"><img src="data:image/png;base64,{source}" '
        f'alt="{html.escape(alt)}" width="{width}">{below}</figure>'
    )


def table_html(header: Sequence[str], rows: Sequence[Sequence[str]], *, caption: str = "") -> str:
    """A table of texts; the first column holds the row headers."""
    style = "text-align:left;padding:2px 10px"
    head = "".join(f'<th scope="col" style="{style}">{html.escape(cell)}</th>' for cell in header)
    body = "".join(
        f'<tr><th scope="row" style="{style};font-weight:normal">{html.escape(row[0])}</th>'
        + "".join(f'<td style="{style}">{html.escape(cell)}</td>' for cell in row[1:])
        + "</tr>"
        for row in rows
    )
    title = f"<caption>{html.escape(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def status_html(text: str) -> str:
    """A line that screen readers announce when it changes."""
    return f'<div role="status" aria-live="polite">{text}</div>'
