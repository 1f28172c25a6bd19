"""JupyterLab on localhost, a real Chromium, and a learner who runs all cells, drags the slider and clicks the cells.

Screenshots go to the folder named by $SCREENSHOTS, or to a temporary one.
"""

import json
import logging
import os
from pathlib import Path

import nbformat
import pytest
from PIL import Image
from support.chromium import CHROMIUM
from support.lab import Learner, answer_time, open_lab, turn, wait_for_change
from support.layouts import LAYOUTS, write_checkpoint
from support.subjects import released

pytestmark = [pytest.mark.browser, pytest.mark.slow]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    with open_lab(tmp_path_factory.mktemp("lab")) as found:
        yield found


@pytest.fixture
def screenshots(tmp_path):
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def test_lesson_01_the_slider_moves_picture_and_curves(browser, lab, screenshots):
    learner = Learner(browser, lab, "01_curves.ipynb")
    learner.run_all()
    page = learner.page
    assert learner.failures() == []
    handle = page.locator(".widget-slider .noUi-handle").first
    handle.scroll_into_view_if_needed()
    pictures = page.locator("img.widget-image")
    picture, curves = pictures.nth(0), pictures.nth(1)
    page.screenshot(path=screenshots / "01_before.png")
    before = picture.screenshot(), curves.screenshot()
    handle.focus()
    for _ in range(3):
        page.keyboard.press("ArrowRight")
    wait_for_change(picture, before[0])
    wait_for_change(curves, before[1])
    page.wait_for_selector('[role="status"]:has-text("Without the top")')
    assert page.locator("img.widget-image").count() == 2
    assert page.locator(".jupyter-widgets-error-widget").count() == 0
    spoken = page.locator(".widget-html-content:has-text('Symmetric relevance gain')")
    assert spoken.count() == 1, "the chart is not said in words"
    page.screenshot(path=screenshots / "01_after.png")
    assert page.locator("text=Still open").count() == 2
    page.locator('.widget-text:has(.widget-label:text-is("My prediction")) input').fill("0,5")
    page.locator('button:text-is("Show what it is")').click()
    page.wait_for_selector("text=0.5 too low")
    page.locator('.jp-Notebook h2:has-text("Quiz")').first.scroll_into_view_if_needed()
    page.locator(".widget-radio-box label").first.click()
    page.wait_for_selector("text=/Right\\.|Not quite\\./")
    page.screenshot(path=screenshots / "01_quiz.png")
    kept = json.loads((lab.home / "my_answers.json").read_text(encoding="utf-8"))
    assert [answer["guess"] for answer in kept["predictions"].values()] == [0.5]
    assert len(kept["quiz"]) == 1
    assert learner.errors == []


def test_lesson_03_clicking_a_cell_changes_picture_and_numbers(browser, lab, screenshots):
    learner = Learner(browser, lab, "03_f_syn.ipynb")
    learner.run_all()
    page = learner.page
    assert learner.failures() == []
    everything = page.locator('button:has-text("everything")').first
    everything.scroll_into_view_if_needed()
    below, picture = page.locator("img.widget-image").nth(0), page.locator("img.widget-image").nth(1)
    first = page.locator('.toolkit-over .widget-toggle-button:text-is("1,1")')
    assert first.bounding_box()["x"] - below.bounding_box()["x"] == pytest.approx(0, abs=3)
    assert first.bounding_box()["y"] - below.bounding_box()["y"] == pytest.approx(0, abs=3)
    start = wait_for_change(picture, picture.screenshot(), act=page.locator('button:text-is("evidence")').first.click)
    page.screenshot(path=screenshots / "03_evidence.png")
    everything.click()
    whole = wait_for_change(picture, start)
    table = page.locator("table:has-text('rest present')").first
    numbers = table.inner_text()
    cell = page.locator('.widget-toggle-button:text-is("3,3")').first
    cell.focus()
    page.keyboard.press("Space")
    wait_for_change(picture, whole)
    assert table.inner_text() != numbers
    assert page.locator(".jupyter-widgets-error-widget").count() == 0
    page.screenshot(path=screenshots / "03_clicked.png")
    assert learner.errors == []


def shown(page, widget):
    """The part of the page that holds a widget, by a text in it."""
    return page.locator(f'.jp-OutputArea-output:has-text("{widget}")').first


def log_answer_time(page, picture, label):
    """Wanted on two quiet cores: at most 200 ms. Logged, since a busy machine says nothing about a widget."""
    took = answer_time(page, picture, label)
    logging.getLogger(__name__).info("%s: %.0f ms, median of 50 moves", label, took)


def browse_samples(page):
    picture = page.locator("img.widget-image").first
    before = picture.screenshot()
    turn(page, "Sample")
    wait_for_change(picture, before)
    log_answer_time(page, picture, "Sample")


def turn_gate_and_dial(page):
    gate, dial = page.locator("img.widget-image").nth(0), page.locator("img.widget-image").nth(1)
    for picture, act in (
        (gate, lambda: page.locator('.widget-toggle-buttons button:text-is("XOR")').click()),
        (dial, lambda: turn(page, "Prior strength (percent)")),
    ):
        picture.scroll_into_view_if_needed()
        before = picture.screenshot()
        act()
        wait_for_change(picture, before)
    log_answer_time(page, gate, "picture only (percent)")


def play(page):
    for cell in ("1,1", "2,2", "3,3"):
        page.locator(f'.toolkit-over .widget-toggle-button:text-is("{cell}")').click()
    words = page.locator(".widget-hbox .widget-toggle-button:not(.toolkit-over *)")
    for number in (-1, -2):
        words.nth(number).click()
    page.locator('button:text-is("Compare")').click()
    page.wait_for_selector("text=/You are number \\d of 6 by synergy/")


def compare_metrics(page):
    picture = page.locator("img.widget-image").first
    picture.scroll_into_view_if_needed()
    before = picture.screenshot()
    page.locator('.widget-dropdown:has(.widget-label:text-is("Metric")) select').select_option("srg-image")
    wait_for_change(picture, before)
    report = page.frame_locator('iframe[title="The report"]')
    report.locator('a[href="#provenance"]').first.click()
    assert report.locator("h1").count() == 1, "the link left the report"


OTHERS = {
    "00_start.ipynb": ("what is known", browse_samples),
    "02_gates.ipynb": ("words only (percent)", turn_gate_and_dial),
    "05_explain.ipynb": ("click cells and words", play),
    "06_laptop.ipynb": ("Metric", compare_metrics),
}


@pytest.mark.parametrize("notebook", OTHERS)
def test_every_other_widget_answers_and_nothing_fails(browser, lab, screenshots, notebook):
    learner = Learner(browser, lab, notebook)
    learner.run_all()
    page = learner.page
    assert learner.failures() == []
    assert page.locator(".jupyter-widgets-error-widget").count() == 0
    text, act = OTHERS[notebook]
    shown(page, text).scroll_into_view_if_needed()
    act(page)
    assert (lab.home / "my_report.html").is_file() == notebook.startswith("06_")
    for number, output in enumerate(page.locator(".jp-OutputArea-output:has(.jupyter-widgets)").all()):
        output.scroll_into_view_if_needed()
        output.screenshot(path=screenshots / f"{notebook[:2]}_{number}.png")
    assert learner.errors == []


PHOTOGRAPH = """\
import toolkit
from toolkit.widgets import CoalitionPlayground

models = {name: toolkit.load_vlm(f"./{name}", device="cpu", players="grid:4x6") for name in ("qwen2.5-vl", "llava")}
sample = toolkit.load_image_question("photograph.png", "Is there a cup in the image?")

CoalitionPlayground(models, [sample])
"""


def test_the_playground_on_a_photograph_with_models_in_released_layouts(lab, browser, screenshots):
    """Random weights of the released classes behind processors as released: 24 cells over what each model sees."""
    data = pytest.importorskip("skimage.data", reason="scikit-image brings the photographs")
    Image.fromarray(data.coffee()).save(lab.home / "photograph.png")
    for family, layout in (("qwen2.5-vl", "old names, shards, bfloat16"), ("llava", "older files")):
        write_checkpoint(lab.home / family, family, *released(family), **LAYOUTS[layout])
    cells = [nbformat.v4.new_code_cell(part) for part in PHOTOGRAPH.split("\n\n")]
    nbformat.write(nbformat.v4.new_notebook(cells=cells), lab.home / "photograph.ipynb")
    learner = Learner(browser, lab, "photograph.ipynb")
    learner.run_all(n_cells=len(cells))
    page = learner.page
    assert learner.failures() == []
    below, seen = page.locator("img.widget-image").nth(0), page.locator("img.widget-image").nth(1)
    buttons = page.locator(".toolkit-over .widget-toggle-button")
    for model in ("qwen2.5-vl", "llava"):
        page.locator('.widget-dropdown:has(.widget-label:text-is("Model")) select').select_option(model)
        page.locator('button:text-is("everything")').click()
        page.wait_for_timeout(1000)
        assert buttons.count() == 24
        first, last, picture = buttons.first.bounding_box(), buttons.last.bounding_box(), below.bounding_box()
        assert first["x"] - picture["x"] == pytest.approx(0, abs=3)
        assert last["y"] + last["height"] - picture["y"] - picture["height"] == pytest.approx(0, abs=6)
        whole, cell = seen.screenshot(), page.locator('.toolkit-over .widget-toggle-button:text-is("2,3")')
        wait_for_change(seen, whole, act=cell.click)
        page.wait_for_selector("text=/S holds 23 of 24 cells/")
        page.mouse.move(0, 0)
        page.screenshot(path=screenshots / f"photograph_{model}.png")
    page.locator('button:text-is("evidence")').click()
    page.wait_for_selector("text=/no ground truth/")
    assert page.locator(".jupyter-widgets-error-widget").count() == 0
    assert learner.errors == []
