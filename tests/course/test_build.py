import json
from pathlib import Path

import pytest

from toolkit.course.badges import Repository
from toolkit.course.build import INVITATION, SourceError, build, build_all, linked, products, student_code, to_bytes

ROOT = Path(__file__).parents[2]
NOWHERE = Repository("", "v1")
SOURCE = '''
# %% [markdown] tags=["badges"]

# %% tags=["colab"]

# %% [markdown]
# # Title

# %% tags=["solution"]
def double(x):
    """Twice x."""
    y = x + x
    return y


# %% tags=["exercise"]
check(double)

# %% [markdown] tags=["answer"]
# Because.
'''


def test_students_get_signature_and_docstring_only():
    code = student_code('import numpy as np\n\ndef f(a, b=2):\n    """Say."""\n    c = a\n    return c + b')
    assert code == 'import numpy as np\n\ndef f(a, b=2):\n    """Say."""\n    raise NotImplementedError("your turn")'


def test_each_function_of_a_cell_is_blanked():
    code = student_code("def f(a):\n    return a\n\n\ndef g(a):\n    for i in a:\n        yield i")
    assert code.count("raise NotImplementedError") == 2
    assert "return" not in code
    assert "yield" not in code


@pytest.mark.parametrize("code", ["x = 1", "def f(:"])
def test_a_solution_that_is_no_function_is_refused(code):
    with pytest.raises(SourceError, match="solution cell"):
        student_code(code)


def test_versions_differ_in_solutions_and_answers_only():
    student, solution = (build(SOURCE, "99_x", version, NOWHERE) for version in ("student", "solution"))
    assert [cell.id for cell in student.cells] == [cell.id for cell in solution.cells]
    different = [a.source for a, b in zip(student.cells, solution.cells, strict=True) if a.source != b.source]
    assert len(different) == 2
    assert "raise NotImplementedError" in different[0]
    assert different[1] == INVITATION


def test_the_build_is_deterministic_and_ids_survive_edits():
    first = build(SOURCE, "99_x", "student", NOWHERE)
    assert to_bytes(first) == to_bytes(build(SOURCE, "99_x", "student", NOWHERE))
    edited = build(SOURCE.replace("# # Title", "# # Title\n#\n# More.\n\n# %%\nnew = 1"), "99_x", "student", NOWHERE)
    assert {cell.id for cell in first.cells} < {cell.id for cell in edited.cells}
    assert first.nbformat == 4
    assert first.nbformat_minor == 5
    assert first.metadata.kernelspec.name == "python3"


def test_badges_and_set_up_follow_the_setting():
    notebook = build(SOURCE, "99_x", "student", Repository("someone/thing", "v2"))
    assert "github/someone/thing/blob/v2/notebooks/99_x.ipynb" in notebook.cells[0].source
    assert "someone/thing/v2?urlpath=lab/tree/notebooks/99_x.ipynb" in notebook.cells[0].source
    assert 'if "google.colab" in sys.modules' in notebook.cells[1].source
    assert "--no-deps" in notebook.cells[1].source
    for name in ("torch", "numpy", "transformers", "ipywidgets"):
        assert name not in notebook.cells[1].source


def test_without_a_repository_nothing_of_the_maintainers_is_in_sight_and_colab_asks_for_the_wheel():
    notebook = build(SOURCE, "99_x", "student", NOWHERE)
    assert notebook.cells[0].source == "<!-- badges -->"
    cell = notebook.cells[1].source
    assert "make badges" not in cell
    assert cell.index("input(") < cell.index("%pip install") < cell.index("print(version_advice())")


def test_text_links_to_other_lessons_and_to_papers():
    text = linked("see lesson 01, lesson\n02 and arXiv\n2605.22168", "02_b", ["01_a", "02_b"])
    assert text == "see [lesson 01](01_a.ipynb), lesson\n02 and [arXiv 2605.22168](https://arxiv.org/abs/2605.22168)"


def test_unknown_tags_are_refused():
    with pytest.raises(SourceError, match="solutoin"):
        build('# %% tags=["solutoin"]\nx = 1', "99_x", "student", NOWHERE)


def test_building_twice_writes_once(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "99_x.py").write_text(SOURCE, encoding="utf-8")
    (tmp_path / "repository.json").write_text('{"name": "", "tag": "v1"}', encoding="utf-8")
    assert [path.name for path in build_all(tmp_path)] == ["99_x.ipynb", "99_x.ipynb"]
    assert build_all(tmp_path) == []


def test_a_folder_without_sources_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no lesson sources"):
        build_all(tmp_path)


PRODUCTS = list(products(ROOT / "notebooks"))


@pytest.mark.parametrize(("path", "content"), PRODUCTS, ids=lambda value: getattr(value, "stem", ""))
def test_committed_notebooks_are_what_their_sources_give(path, content):
    assert path.read_bytes() == content, "run `make notebooks` and commit the result"
    notebook = json.loads(content)
    assert all(not cell.get("outputs") and cell.get("execution_count") is None for cell in notebook["cells"])
    assert "widgets" not in notebook["metadata"]
