"""JupyterLab on localhost, a real Chromium, and a learner who runs all cells, drags the slider and clicks the cells.

Screenshots go to the folder named by $SCREENSHOTS, or to a temporary one.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

ROOT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
MINUTES = 15
TRACKER = '{"windowingMode": "none"}'
HARMLESS = ("Failed to load resource", "favicon", "WebGL", "GPU")
"""What the browser itself complains about in a headless machine; nothing of ours."""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine: apt-get install chromium")
    home = tmp_path_factory.mktemp("lab")
    for path in (ROOT / "notebooks").glob("*.ipynb"):
        shutil.copy(path, home)
    settings = home / ".settings" / "@jupyterlab" / "notebook-extension"
    settings.mkdir(parents=True)
    (settings / "tracker.jupyterlab-settings").write_text(TRACKER, encoding="utf-8")
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
        yield f"http://127.0.0.1:{port}"
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


@pytest.fixture(scope="module")
def browser():
    sync_playwright = pytest.importorskip("playwright.sync_api", reason="pip install playwright").sync_playwright
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield found
        found.close()


@pytest.fixture
def screenshots(tmp_path):
    folder = Path(os.environ.get("SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


class Learner:
    """A page with one notebook, and everything that went wrong on it."""

    def __init__(self, browser, lab, notebook):
        self.errors = []
        self.page = browser.new_page(viewport={"width": 1360, "height": 1000})
        self.page.set_default_timeout(60_000)
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("console", self.listen)
        self.page.goto(f"{lab}/lab/tree/{notebook}?token=course&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell")

    def listen(self, message):
        if message.type == "error" and not any(word in message.text for word in HARMLESS):
            self.errors.append(message.text)

    def run_all(self):
        self.page.wait_for_selector('.jp-Notebook-ExecutionIndicator[data-status="idle"]', timeout=MINUTES * 60_000)
        self.page.click('.lm-MenuBar-itemLabel:text-is("Run")')
        self.page.click('.lm-Menu-itemLabel:text-is("Run All Cells")')
        finished = """() => {
            const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputArea-prompt')].map(p => p.textContent);
            return prompts.length > 5 && prompts.every(text => /\\[\\d+\\]/.test(text));
        }"""
        self.page.wait_for_function(finished, timeout=MINUTES * 60_000)

    def failures(self):
        return self.page.locator('.jp-OutputArea [data-mime-type="application/vnd.jupyter.error"]').all_text_contents()


def wait_for_change(locator, before, seconds=30):
    """The pixels of an element once they differ from what they were."""
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
    page.screenshot(path=screenshots / "01_after.png")
    assert page.locator("text=Still open").count() == 2
    page.locator("text=References").first.scroll_into_view_if_needed()
    page.locator(".widget-radio-box input").first.check()
    page.wait_for_selector("text=/Right\\.|Not quite\\./")
    page.screenshot(path=screenshots / "01_quiz.png")
    assert learner.errors == []


def test_lesson_03_clicking_a_cell_changes_picture_and_numbers(browser, lab, screenshots):
    learner = Learner(browser, lab, "03_first_principles.ipynb")
    learner.run_all()
    page = learner.page
    assert learner.failures() == []
    everything = page.locator('button:has-text("everything")').first
    everything.scroll_into_view_if_needed()
    picture = page.locator("img.widget-image").first
    start = picture.screenshot()
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
    page.screenshot(path=screenshots / "03_clicked.png")
    assert learner.errors == []
