"""The notebooks keep the frame, read well, and run: with their solutions, and as a student first meets them."""

import ast
import os
import re
from pathlib import Path
from statistics import median

import nbformat
import pytest

NOTEBOOKS = Path(__file__).parents[1] / "notebooks"
LESSONS = sorted(path.name for path in NOTEBOOKS.glob("[0-9]*.ipynb"))
CELL_SECONDS = 600
PASSES = 19_000
"""A lesson may cost as much as so many plain passes of one small model: 60 processor seconds where one takes 3.2 ms, as
it does in one thread. Transformers alone runs them, so they stay what they are whatever becomes faster here."""

YARDSTICK = """
import statistics, time
worked, took = time.process_time(), []
import numpy as np, toolkit
from toolkit.vlm.reference import plain_values
vlm = toolkit.load_vlm("tiny-llava-grounded", device="cpu", store=None)
game = vlm.game(toolkit.load_samples("scenes-existence", n=1)[0])
some = np.random.default_rng(0).random((30, game.players.n)) < 0.5
for _ in range(5):
    start = time.process_time()
    plain_values(game, some)
    took.append((time.process_time() - start) / len(some))
print(worked, statistics.median(took))
"""


def read(name, *, solution):
    return nbformat.read(NOTEBOOKS / ("solutions" if solution else "") / name, as_version=4)


def code(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def lines(cell):
    return [line for line in cell.source.splitlines() if line.strip()]


def test_names_fit_the_side_bar_of_jupyterlab():
    assert [name for name in LESSONS if len(name) > len("05_explain.ipynb")] == []


@pytest.mark.parametrize("name", LESSONS)
def test_frame(name):
    notebook = read(name, solution=True)
    first, second = notebook.cells[:2]
    assert "badges" in first.metadata.tags
    assert re.match(rf"# {name[:2]} · ", second.source)
    for promise in ("**You will learn**", "**Time**", "**Hardware**"):
        assert promise in second.source, f"{promise} is missing"
    text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
    for section in ("## Set-up", "## Recap", "## Quiz", "## References"):
        assert section in text, f"{section} is missing"
    order = [text.index(section) for section in ("## Set-up", "## Recap", "## Quiz", "## References")]
    assert order == sorted(order)
    assert text.count("**Predict.**") >= 2
    assert text.count("**Explain.**") >= 2
    setup = next(cell for cell in code(notebook) if "colab" not in cell.metadata.get("tags", []))
    assert len(lines(setup)) <= 8
    assert "recap" in notebook.cells[-1].metadata.tags
    assert lines(notebook.cells[-1])[-1].startswith("assert ")


def markdown(notebook):
    return "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")


def minutes(text):
    """Minutes of a lesson, of its sections in order, and of the exercises of each section."""
    stated = int(re.search(r"\*\*Time\*\*\s+(\d+) minutes", text).group(1))
    sections = re.split(r"^## (?=\d+ · )", text, flags=re.M)[1:]
    planned = [int(re.match(r".*\((\d+) minutes\)\n", section).group(1)) for section in sections]
    tried = [[int(n) for n in re.findall(r"^### Exercise .*\((\d+) minutes\)$", s, flags=re.M)] for s in sections]
    return stated, planned, tried


@pytest.mark.parametrize("name", LESSONS)
def test_sections_and_exercises_are_numbered_and_their_minutes_add_up(name):
    text = markdown(read(name, solution=True))
    numbers = [int(n) for n in re.findall(r"^## (\d+) · ", text, flags=re.M)]
    exercises = [int(n) for n in re.findall(r"^### Exercise (\d+)", text, flags=re.M)]
    assert numbers == list(range(1, len(numbers) + 1))
    assert exercises == list(range(1, len(exercises) + 1))
    assert len(exercises) >= 2
    stated, planned, tried = minutes(text)
    assert 20 <= stated <= 45
    assert stated - 5 <= sum(planned) < stated, "set-up, recap and quiz take the rest, up to five minutes"
    assert all(sum(inside) < section for section, inside in zip(planned, tried, strict=True))


@pytest.mark.parametrize("name", LESSONS)
def test_no_text_is_lost_in_a_code_cell(name):
    for cell in code(read(name, solution=True)):
        assert not re.search(r"^#", cell.source, flags=re.M), "a comment line; is a cell marker missing above it?"


@pytest.mark.parametrize("name", LESSONS)
def test_what_a_cell_shows_is_its_last_line(name):
    for cell in code(read(name, solution=True)):
        if "colab" not in cell.metadata.get("tags", []):
            earlier = [node.value for node in ast.parse(cell.source).body[:-1] if isinstance(node, ast.Expr)]
            lost = [call for call in earlier if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)]
            assert not [call for call in lost if call.func.id != "print"], f"never shown:\n{cell.source}"


def test_the_front_page_and_the_guide_state_the_minutes_and_exercises_of_the_notebooks():
    readme = (NOTEBOOKS.parent / "README.md").read_text(encoding="utf-8")
    guide = (NOTEBOOKS / "TEACHING.md").read_text(encoding="utf-8")
    for name in LESSONS:
        text = markdown(read(name, solution=True))
        title = re.search(rf"^# {name[:2]} · (.*)$", text, flags=re.M).group(1)
        stated, exercises = minutes(text)[0], len(re.findall(r"^### Exercise \d", text, flags=re.M))
        assert re.search(rf"\(notebooks/{name}\) \| {re.escape(title)} \| {stated}\b", readme), f"README: {title}"
        assert re.search(
            rf"^\| {name[:2]} \| [^|]+ \| {stated}\b[^|]*\| [^|]+ \| {exercises} \|$", guide, flags=re.M
        ), name


@pytest.mark.parametrize("name", LESSONS)
def test_the_guide_plans_the_sections_as_the_lesson_has_them_and_answers_each_prediction(name):
    guide = (NOTEBOOKS / "TEACHING.md").read_text(encoding="utf-8").split("## Minute plan")[1]
    plan, key = guide.split("| # | *Predict* |")
    row = re.search(rf"^\| {name[:2]} \| ([^|]+) \|", plan, flags=re.M).group(1)
    notebook = read(name, solution=True)
    assert [int(part.split()[-1]) for part in row.split(",")] == minutes(markdown(notebook))[1]
    asked = markdown(notebook).count("**Predict.**") + sum("predict(" in cell.source for cell in code(notebook))
    assert len(re.findall(rf"^\| {name[:2]} \|", key.split("\n\n")[0], flags=re.M)) == asked


@pytest.mark.parametrize("name", LESSONS)
def test_prose_outweighs_code(name):
    notebook = read(name, solution=True)
    own = [cell for cell in code(notebook) if "colab" not in cell.metadata.get("tags", [])]
    sizes = [len(lines(cell)) for cell in own]
    assert max(sizes) <= 15
    assert median(sizes) <= 5
    words = sum(len(cell.source.split()) for cell in notebook.cells if cell.cell_type == "markdown")
    assert words >= 8 * sum(sizes), f"{words} words for {sum(sizes)} lines of code"


@pytest.mark.parametrize("name", LESSONS)
def test_exercises_widgets_quiz(name):
    student = read(name, solution=False)
    tags = [set(cell.metadata.get("tags", [])) for cell in student.cells]
    stubs = [cell for cell in student.cells if "raise NotImplementedError" in cell.source]
    checks = sum("exercise" in found for found in tags)
    open_ended = sum("answer" in found for found in tags)
    assert checks == len(stubs) >= 1, "every blank is checked, every check has its blank"
    assert open_ended >= 1
    assert checks + open_ended >= 2
    assert any("widget" in found for found in tags)
    assert any(cell.source.strip() == "lesson.quiz()" for cell in student.cells)


@pytest.mark.parametrize("name", LESSONS)
def test_solutions_put_into_the_student_version_give_the_solution(name):
    student, solution = read(name, solution=False), read(name, solution=True)
    by_id = {cell.id: cell for cell in solution.cells}
    for cell in student.cells:
        if set(cell.metadata.get("tags", [])) & {"solution", "answer"}:
            cell.source = by_id[cell.id].source
    assert student == solution


@pytest.mark.parametrize("name", LESSONS)
def test_every_number_of_the_recap_is_asserted(name):
    cells = read(name, solution=True).cells
    recap = next(cell.source for cell in cells if cell.source.startswith("## Recap"))
    claimed = set(re.findall(r"(?<![\w.])\d*\.\d+", recap))
    asserted = ast.parse(cells[-1].source)
    numbers = {node.value for node in ast.walk(asserted) if isinstance(node, ast.Constant)}
    texts = {abs(float(n)) for n in numbers if isinstance(n, int | float)}
    missing = {claim for claim in claimed if abs(float(claim)) not in texts}
    assert not missing, f"the recap claims {sorted(missing)}, the last cell does not assert them"


def run(name, *, solution, tmp_path):
    from nbclient import NotebookClient

    notebook = read(name, solution=solution)
    notebook.cells.append(nbformat.v4.new_code_cell(YARDSTICK))
    client = NotebookClient(notebook, timeout=CELL_SECONDS, resources={"metadata": {"path": str(tmp_path)}})
    client.execute(env={**os.environ, "OMP_NUM_THREADS": "1"})
    return notebook


def passes(notebook):
    """What the kernel worked, in plain passes by the same kernel: a slow machine slows both."""
    worked, one = map(float, notebook.cells[-1].outputs[0].text.split())
    return worked / one


BY_HAND = {"03": {0.45, 0.57, 0.99}, "05": {0.78}}
"""Numbers of the answer keys that a lesson works out on paper, or shows once a learner has clicked."""


def answer_key(lesson):
    """The numbers that the teacher's guide promises for the predictions of a lesson."""
    guide = (NOTEBOOKS / "TEACHING.md").read_text(encoding="utf-8")
    key = guide.split("| # | *Predict* |")[1].split("\n\n")[0]
    rows = [line.split("|") for line in key.splitlines() if line.startswith(f"| {lesson} |")]
    assert rows, f"no answer key for lesson {lesson}"
    found = " ".join(row[3].replace("1e-12", "").replace("million", "e6").replace(" e6", "e6") for row in rows)
    return re.findall(r"(?<![\w./`-])[+-]?\d+\.\d+(?:e6)?|(?<![\w./`-])\d\d+(?![\w./%-]|-)", found)


def unfounded(promised, notebook):
    """Promised numbers that no output has, rounded as they are promised."""
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    text = " ".join(str(o.get("text", "")) + str(o.get("data", {}).get("text/html", "")) for o in outputs)
    text += " ".join(str(o.get("data", {}).get("text/plain", "")) for o in outputs)
    text = re.sub(r"(?<=\d),(?=\d{3})", "", re.sub(r"data:image/[^\"]*", "", text))
    numbers = [abs(float(n)) for n in re.findall(r"\d+\.\d+(?:e-\d+)?|\d+", text)]

    def is_there(number):
        digits = len(number.removesuffix("e6").partition(".")[2])
        scale = 1e6 if number.endswith("e6") else 1
        wanted = abs(float(number.removesuffix("e6")))
        return any(abs(found / scale - wanted) <= 0.5 * 10**-digits + 1e-9 for found in numbers)

    return [number for number in promised if not is_there(number)]


def shown(notebook):
    outputs = [output for cell in code(notebook) for output in cell.outputs]
    return " ".join(str(output.get("data", {}).get("text/html", "")) for output in outputs)


@pytest.mark.parametrize("name", LESSONS)
def test_the_solution_runs_and_solves_every_exercise(name, tmp_path):
    notebook = run(name, solution=True, tmp_path=tmp_path)
    exercises = sum("exercise" in cell.metadata.get("tags", []) for cell in notebook.cells)
    page = shown(notebook)
    assert page.count("<b>Solved.</b>") == exercises
    assert "Still open" not in page
    assert passes(notebook) < PASSES
    missing = [n for n in unfounded(answer_key(name[:2]), notebook) if float(n) not in BY_HAND.get(name[:2], set())]
    assert missing == [], "the answer key of TEACHING.md says what no output shows"
    errors = [o for cell in code(notebook) for o in cell.outputs if o.get("name") == "stderr"]
    assert not [e for e in errors if "Warning" in e["text"] or "Error" in e["text"]], errors


@pytest.mark.slow
@pytest.mark.parametrize("name", LESSONS)
def test_the_student_version_runs_to_the_end_before_anything_is_solved(name, tmp_path):
    page = shown(run(name, solution=False, tmp_path=tmp_path))
    assert page.count("<b>Still open.</b>") >= 1
    assert "<b>Solved.</b>" not in page
