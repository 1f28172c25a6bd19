"""JupyterLab on localhost, driven as a learner would in a real Chromium."""

import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
MINUTES = 15
SETTLE = 5
"""Seconds without anything running after which the cells are asked for again."""

LOST = 45
"""Seconds after which a page is loaded again whose kernel neither works nor is idle with all that was asked."""

SETTINGS = {
    "notebook-extension/tracker": '{"windowingMode": "none"}',
    "apputils-extension/notification": '{"fetchNews": "false"}',
}
"""All cells are in the page, and no question about news lies on top of the figures."""

HARMLESS = ("Failed to load resource", "favicon", "WebGL", "GPU")
"""What the browser itself complains about in a headless machine; nothing of ours."""

REPLACED = ("Could not restore the debugger state", "Error during WebSocket handshake", "Canceled future for")
"""What JupyterLab 4.6 says when it closes a kernel that it has replaced; the cells' results are looked at anyway."""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Lab(NamedTuple):
    """Where JupyterLab answers, and the folder that it shows."""

    url: str
    home: Path


@contextmanager
def open_lab(home: Path):
    """JupyterLab on localhost over the lessons in an empty folder."""
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
        try:
            server.wait(30)
        except subprocess.TimeoutExpired:  # a kernel that is slow to end says nothing about the page
            server.kill()
            server.wait()
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
        self.page.on("pageerror", lambda error: self.note(str(error), REPLACED))
        self.page.on("console", lambda message: message.type == "error" and self.note(message.text))
        self.page.goto(f"{lab.url}/lab/tree/{notebook}?token=course&reset")
        self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=MINUTES * 60_000)

    def note(self, error, passed_over=HARMLESS + REPLACED):
        if not any(words in error for words in passed_over):
            self.errors.append(error)

    def prompts(self):
        return self.page.locator(".jp-CodeCell .jp-InputArea-prompt").all_text_contents()

    def run_all(self, n_cells=6):
        """Run all cells, at least so many.

        A JupyterLab whose kernel has just started may drop some, so ask again; one that replaced the kernel while it
        connected (the server then answers 500 to its socket) may wait for ever, so load the page again.
        """
        deadline = time.monotonic() + MINUTES * 60
        quiet = SETTLE
        while time.monotonic() < deadline:
            prompts = self.prompts()
            if len(prompts) >= n_cells and all(re.fullmatch(r"\[\d+\]:", prompt) for prompt in prompts):
                return
            status = self.kernel_status()
            quiet = 0 if status == "busy" else quiet + 1
            self.answer_dialog()
            if quiet > SETTLE and status == "idle" and "[*]:" not in prompts:
                self.page.click('.lm-MenuBar-itemLabel:text-is("Run")')
                self.page.click('.lm-Menu-itemLabel:text-is("Run All Cells")')
                quiet = -SETTLE
            elif quiet > LOST:
                self.page.reload()
                self.page.wait_for_selector(".jp-Notebook .jp-CodeCell", timeout=MINUTES * 60_000)
                quiet = 0
            time.sleep(1)
        raise AssertionError(f"the cells did not finish: {self.prompts()}")

    def kernel_status(self):
        """``"idle"``, ``"busy"``, ``"unknown"``, ... as the notebook shows it."""
        shown = self.page.locator(".jp-Notebook-ExecutionIndicator")
        return shown.first.get_attribute("data-status") if shown.count() else None

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


WATCH = """element => {
  window.answered = null;
  const start = performance.now();
  const watcher = new MutationObserver(() => { window.answered = performance.now() - start; watcher.disconnect(); });
  watcher.observe(element, {attributes: true, childList: true, subtree: true, characterData: true});
}"""


def answer_time(page, picture, label, moves=50):
    """Median of the milliseconds from a key on a slider to the first change of a picture."""
    turn(page, label)
    page.wait_for_timeout(500)
    took = []
    for number in range(moves):
        picture.evaluate(WATCH)
        page.keyboard.press("ArrowLeft" if number % 4 < 2 else "ArrowRight")
        page.wait_for_function("window.answered !== null", polling=5)
        took.append(page.evaluate("window.answered"))
        page.wait_for_timeout(60)
    return statistics.median(took)


def turn(page, label, key="ArrowRight"):
    """Press a key on the handle of the slider with this label."""
    handle = page.locator(f'.widget-slider:has(.widget-label:text-is("{label}")) .noUi-handle').first
    handle.scroll_into_view_if_needed()
    handle.focus()
    page.keyboard.press(key)
