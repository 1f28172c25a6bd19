"""A report inside a notebook, and beside it: in JupyterLab, the classic notebook, VS Code, Colab and on a site."""

from __future__ import annotations

import html
from dataclasses import dataclass
from pathlib import Path

FILE = "my_report.html"
OWN_ANCHORS = '<base href="about:srcdoc">'
"""Without it a link to a heading would load the notebook's page into the frame."""


@dataclass(frozen=True)
class ReportBeside:
    """A page in a frame that holds all of it, since not every front end serves files.

    Attributes:
        page: The page, with everything that it needs.
        note: Where else it is.
    """

    page: str
    note: str

    def _repr_html_(self) -> str:
        framed = self.page.replace("<head>", f"<head>{OWN_ANCHORS}", 1)
        return (
            f'<iframe srcdoc="{html.escape(framed)}" title="The report" '
            'style="width:100%;height:640px;border:1px solid #bbb;background:#fff"></iframe>'
            f"<p>{html.escape(self.note)}</p>"
        )


def beside(report: Path) -> ReportBeside:
    """Show a report in the notebook, and put a copy beside it as ``my_report.html``.

    Args:
        report: One page that needs no other file.

    Raises:
        FileNotFoundError: There is no such file; it says so.

    Example:
        >>> from toolkit.course.report_beside import ReportBeside
        >>> ReportBeside("<h1>Found</h1>", "my_report.html")._repr_html_()[:50]
        '<iframe srcdoc="&lt;h1&gt;Found&lt;/h1&gt;" title='
    """
    page = report.read_text(encoding="utf-8")
    try:
        Path(FILE).write_text(page, encoding="utf-8")
    except OSError as error:
        return ReportBeside(page, f"No copy was put beside this notebook: {error}.")
    return ReportBeside(page, f"The same page lies beside this notebook as {FILE}; a double click opens it in a tab.")
