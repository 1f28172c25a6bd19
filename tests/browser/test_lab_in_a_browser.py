"""JupyterLab on localhost, a real Chromium, and a learner who runs all cells, drags the slider and clicks the cells.

Screenshots go to the folder named by $SCREENSHOTS, or to a temporary one.
"""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest
from PIL import Image
from support.chromium import CHROMIUM
from support.layouts import LAYOUTS, write_checkpoint
from support.subjects import released

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
MINUTES = 15
SETTLE = 5
"""Seconds without anything running after which the cells are asked for again."""

SETTINGS = {
    "notebook-extension/tracker": '{"windowingMode": "none"}',
    "apputils-extension/notification": '{"fetchNews": "false"}',
}
"""All cells are in the page, and no question about news lies on top of the figures."""

HARMLESS = ("Failed to load resource", "favicon", "WebGL", "GPU")
"""What the browser itself complains about in a headless machine; nothing of ours."""

REPLACED = ("Could not restore the debugger state", "Error during WebSocket handshake")
"""What JupyterLab 4.6 says when it closes a kernel that it has replaced; the cells' results are looked at anyway."""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Lab(NamedTuple):
    """Where JupyterLab answers, and the folder that it shows."""

    url: str
    home: Path


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    home = tmp_path_factory.mktemp("lab")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(path, home)
    for name, text in SETTINGS.items():
        path = home / ".settings" / "@jupyterlab" / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    port = free_port()
    environment = os.environ | {
        "JUPYTERLAB_SETTINGS_DIR": str(home / ".settings"),
        "JUPYTERLAB_WORKSPACES_DIR": str(home / ".workspaces"),
        "JUPYTER_CONFIG_DIR": str(home / ".jupyter"),
        "HF_HUB_OFFLINE": "1",
        "OMP_NUM_THREADS": "1",
    }
    options = [f"--port={port}", "--ServerApp.token=course", f"--ServerApp.root_dir={home}", "--no-browser"]
    log = (home / "lab.log").open("w")
    server = subprocess.Popen(
        [sys.executable, "-m", "jupyterlab", "--ServerApp.ip=127.0.0.1", *options, "--allow-root"],
        stdout=log,
        stderr=subprocess.STDOUT,
        env=environment,
    )
    try:
        wait_for_server(port, server, home)
        yield Lab(f"http://127.0.0.1:{port}", home)
    finally:
        server.terminate()
        server.wait(30)
        log.close()


def wait_for_server(port, server, home):
    for _ in range(240):
        if server.poll() is not None:
            raise RuntimeError((home / "lab.log").read_text())
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/api?token=course", timeout=2):
                return
        except (urllib.error.URLError, TimeoutError):
            time.sleep(0.5)
    raise RuntimeError("JupyterLab did not start")


@pytest.fixture
def screenshots(tmp_path):
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def start_kernel(lab, notebook):
    """Start the notebook's kernel before its page is opened, which then need not ask for one."""
    session = {"path": notebook, "name": notebook, "type": "notebook", "kernel": {"name": "python3"}}
    headers = {"Authorization": "token course", "Content-Type": "application/json"}
    asked = urllib.request.Request(f"{lab.url}/api/sessions", json.dumps(session).encode(), headers)
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert answer.status == 201, answer.read()


class Learner:
    """A page with one notebook, and everything that went wrong on it."""

    def __init__(self, browser, lab, notebook):
        self.errors = []
        start_kernel(lab, notebook)
        self.page = browser.new_page(viewport={"width": 1360, "height": 1000})
        self.page.set_default_timeout(60_000)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self.listen)
        self.page.goto(f"{lab.url}/lab/tree/{notebook}?token=course&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=MINUTES * 60_000)

    def listen(self, message):
        if message.type == "error" and not any(word in message.text for word in HARMLESS + REPLACED):
            self.errors.append(message.text)

    def prompts(self):
        return self.page.locator(".jp-CodeCell .jp-InputArea-prompt").all_text_contents()

    def run_all(self, n_cells=6):
        """Run all cells, at least so many; a JupyterLab whose kernel has just started may drop some, so ask again."""
        idle = '.jp-Notebook-ExecutionIndicator[data-status="idle"]'
        deadline = time.monotonic() + MINUTES * 60
        quiet = SETTLE
        while time.monotonic() < deadline:
            prompts = self.prompts()
            if len(prompts) >= n_cells and all(re.fullmatch(r"\[\d+\]:", prompt) for prompt in prompts):
                return
            busy = "[*]:" in prompts or not self.page.locator(idle).count()
            quiet = 0 if busy else quiet + 1
            self.answer_dialog()
            if quiet > SETTLE:
                self.page.click('.lm-MenuBar-itemLabel:text-is("Run")')
                self.page.click('.lm-Menu-itemLabel:text-is("Run All Cells")')
                quiet = -SETTLE
            time.sleep(1)
        raise AssertionError(f"the cells did not finish: {self.prompts()}")

    def answer_dialog(self):
        """JupyterLab may ask which kernel to take before it has read their list, and ask again: the preselected one.

        Whoever waits for the cells comes here every second, so a question that stays or returns is answered again.
        """
        from playwright.sync_api import TimeoutError as GoneError

        for dialog in self.page.locator("dialog.jp-Dialog").all():
            try:
                asked = dialog.inner_text(timeout=2_000)
            except GoneError:  # it has closed meanwhile
                continue
            assert asked.startswith("Select Kernel"), f"JupyterLab asks: {asked}"
            assert "Python 3 (ipykernel)" in asked, f"no Python kernel to select: {asked}"
            with suppress(GoneError):
                dialog.locator("button.jp-mod-accept").last.click(timeout=5_000)

    def failures(self):
        return self.page.locator('.jp-OutputArea [data-mime-type="application/vnd.jupyter.error"]').all_text_contents()


def wait_for_change(locator, before, seconds=30, act=None):
    """The pixels of an element once they differ from what they were, after an action if one is given."""
    if act is not None:
        act()
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        after = locator.screenshot()
        if after != before:
            return after
        time.sleep(0.2)
    raise AssertionError("the figure did not change")


def test_lesson_01_the_slider_moves_picture_and_curves(browser, lab, screenshots):
    learner = Learner(browser, lab, "01_evaluation_collapse.ipynb")
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
    learner = Learner(browser, lab, "03_first_principles.ipynb")
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


def turn(page, label, key="ArrowRight"):
    """Press a key on the handle of the slider with this label."""
    handle = page.locator(f'.widget-slider:has(.widget-label:text-is("{label}")) .noUi-handle').first
    handle.scroll_into_view_if_needed()
    handle.focus()
    page.keyboard.press(key)


def shown(page, widget):
    """The part of the page that holds a widget, by a text in it."""
    return page.locator(f'.jp-OutputArea-output:has-text("{widget}")').first


def browse_samples(page):
    picture = page.locator("img.widget-image").first
    before = picture.screenshot()
    turn(page, "Sample")
    wait_for_change(picture, before)


def turn_gate_and_dial(page):
    gate, dial = (
        page.locator('img.widget-image[style*="720"]').nth(0),
        page.locator('img.widget-image[style*="720"]').nth(1),
    )
    for picture, act in (
        (gate, lambda: page.locator('.widget-toggle-buttons button:text-is("XOR")').click()),
        (dial, lambda: turn(page, "Prior strength (percent)")),
    ):
        picture.scroll_into_view_if_needed()
        before = picture.screenshot()
        act()
        wait_for_change(picture, before)


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


OTHERS = {
    "00_start_here.ipynb": ("what is known", browse_samples),
    "02_redundancy.ipynb": ("Rank of the evidence cell", turn_gate_and_dial),
    "05_explainers.ipynb": ("click cells and words", play),
    "06_benchmark.ipynb": ("Metric", compare_metrics),
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
