"""The site: ``make site``. Sphinx reads the lessons, the pages of this folder and the docstrings."""

import os
import tomllib
from pathlib import Path

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

from toolkit.course.build import products

ROOT = Path(__file__).parents[2]
project = "The Synergy Toolkit"
author = copyright = "The Synergy Toolkit authors"
version = release = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["version"]

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["src", "solutions", "TEACHING.md", "**/.ipynb_checkpoints"]
html_theme = "furo"
html_title = project
html_copy_source = False
html_static_path: list[str] = []

# The demo's report, where it was made, stands beside the pages as report.html.
REPORT = ROOT / os.environ.get("REPORT", "results/demo/report.html")
html_extra_path = [str(REPORT)] if REPORT.is_file() else []

# Lessons run as a learner first meets them; widgets stand there as their figures and tables.
nb_execution_mode = "cache"
nb_execution_timeout = 1200
nb_execution_in_temp = True
nb_execution_raise_on_error = True
nb_ipywidgets_js: dict[str, str] = {}
nb_mime_priority_overrides = [("html", "text/html", 0)]
myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

autodoc_typehints = "description"
autodoc_member_order = "alphabetical"
napoleon_numpy_docstring = False


def _inline(self, node: nodes.math) -> None:
    self.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def _block(self, node: nodes.math_block) -> None:
    self.body.append(f"<div>{tex2mathml(node.astext(), as_block=True)}</div>")
    raise nodes.SkipNode


# Lessons are those of their sources: what somebody solved in a notebook of this checkout is nobody's page.
LESSONS = {path.stem: made.decode() for path, made in products(ROOT / "notebooks") if path.parent.name == "notebooks"}


def _as_built(app, name: str, source: list[str]) -> None:
    source[0] = LESSONS.get(name, source[0])


def setup(app) -> None:
    """Formulas are MathML, which needs no script and no network."""
    app.connect("source-read", _as_built)
    if html_extra_path:
        app.tags.add("report")
    app.add_html_math_renderer("mathml", (_inline, None), (_block, None))


html_math_renderer = "mathml"
