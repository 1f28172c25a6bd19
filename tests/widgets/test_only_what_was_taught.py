"""A widget shows no term before the lesson that introduces it: the lessons in their order, and the word list."""

import ast
import re
from pathlib import Path

import jupytext
import matplotlib.text
import pytest

from toolkit import widgets
from toolkit.testing import fake_sample

ROOT = Path(__file__).parents[2]
LESSONS = sorted((ROOT / "notebooks" / "src").glob("[0-9]*.py"))
LATE = 6
"""From this lesson on everything has a name already."""

MORE = ("F_syn", "dividend", "redundancy", "synergy", "interference", "clipped", "quotient", "interaction index",
        "insertion", "deletion", "relevance gain", "mean rank", "bayes value", "prior strength")  # fmt: skip
"""What the course teaches beside the words of the list."""


def listed():
    """The words of the list that a learner meets as terms."""
    text = (ROOT / "notebooks" / "site" / "words.md").read_text(encoding="utf-8")
    table = text.split("## What a word means")[1].split("\n## ")[0]
    words = [line.strip("|").split("|")[0].strip() for line in table.splitlines() if line.startswith("|")][2:]
    return [*words, *MORE]


def prose(path):
    """What a lesson says before its references, without titles of papers."""
    cells = jupytext.read(path, fmt="py:percent").cells
    text = "\n".join(cell.source for cell in cells if cell.cell_type == "markdown").split("## References")[0]
    return re.sub(r"\*Measuring[^*]*\*", "", text)


def introduced(term):
    """The first lesson whose prose has a term; None where none has it."""
    mentioned = rf"\b{re.escape(term)}s?\b".replace(r"\ ", r"\s+")
    return next((n for n, path in enumerate(LESSONS) if re.search(mentioned, prose(path), flags=re.I)), None)


TAUGHT = {term: lesson for term in listed() if (lesson := introduced(term)) is not None}


def shown_in(path):
    """Names and keyword arguments of the widgets of a lesson."""
    for node in ast.walk(ast.parse(jupytext.writes(jupytext.read(path, fmt="py:percent"), fmt="py:percent"))):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in widgets.__all__:
            plain = [k for k in node.keywords if isinstance(k.value, ast.Constant)]
            yield node.func.id, {k.arg: k.value.value for k in plain}


SHOWN = sorted({(number, name, tuple(sorted(options.items())))
                for number, path in enumerate(LESSONS[:LATE]) for name, options in shown_in(path)})  # fmt: skip


def texts(widget):
    """Everything that a widget says: labels, options, and HTML without its tags."""
    found = [str(getattr(widget, name, "")) for name in ("description", "placeholder")]
    found += map(str, getattr(widget, "_options_labels", ()))
    value = getattr(widget, "value", "")
    found += [re.sub(r"<[^>]*>", " ", value)] if isinstance(value, str) else []
    return found + [text for child in getattr(widget, "children", ()) for text in texts(child)]


@pytest.fixture
def drawn(monkeypatch):
    """Every text that matplotlib draws."""
    found, draw = [], matplotlib.text.Text.draw

    def listening(self, *arguments, **options):
        found.append(self.get_text())
        return draw(self, *arguments, **options)

    monkeypatch.setattr(matplotlib.text.Text, "draw", listening)
    return found


def made(name, models, options):
    samples = [fake_sample(0), fake_sample(1)]
    if name == "SampleBrowser":
        return widgets.SampleBrowser(models, n=2)
    if name == "CurveExplorer":
        return widgets.CurveExplorer(models, samples, ("oracle", "random"), **options)
    if name == "GateExplorer":
        return widgets.GateExplorer(**options)
    if name == "BiasDial":
        return widgets.BiasDial(models, n=2)
    if name == "CoalitionPlayground":
        return widgets.CoalitionPlayground(models, samples)
    if name == "BeatTheExplainer":
        return widgets.BeatTheExplainer(models["grounded"], samples)
    raise NotImplementedError(f"say here how to make {name}")


def test_the_lessons_introduce_the_terms_where_the_teacher_expects_them():
    wanted = {"synergy": 0, "insertion": 1, "dividend": 2, "corner": 2, "F_syn": 3, "quotient": 3, "mean rank": 6}
    assert {term: TAUGHT[term] for term in wanted} == wanted


@pytest.mark.parametrize(("lesson", "name", "options"), SHOWN, ids=lambda value: str(value))
def test_a_widget_shows_no_term_before_its_lesson(lesson, name, options, models, drawn):
    widget = made(name, models, dict(options))
    said = " \n ".join([*texts(widget.box), re.sub(r"<[^>]*>", " ", widget.static()), *drawn]).replace("_", " ")
    later = {term: number for term, number in TAUGHT.items() if number > lesson}
    found = [term for term in later if re.search(rf"\b{re.escape(term.replace('_', ' '))}s?\b", said, flags=re.I)]
    assert found == []
