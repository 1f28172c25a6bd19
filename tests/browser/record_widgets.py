"""Three widgets as they answer, each an animated GIF for README and the site: ``make gifs``.

JupyterLab shows each widget alone; after every move the recorder waits until the figures stand still.
"""

import sys
import tempfile
import time
from io import BytesIO
from pathlib import Path

import nbformat
from PIL import Image
from playwright.sync_api import Locator, Page, sync_playwright
from support.chromium import CHROMIUM
from support.lab import Learner, open_lab, turn

import toolkit

WIDTH = 760
SECONDS = 1.1
"""How long a frame stays."""

COLOURS = 192


def click(label):
    return lambda page: page.locator(f'.widget-toggle-button:text-is("{label}")').first.click()


def press(label):
    return lambda page: page.locator(f'button:text-is("{label}")').first.click()


def step(label):
    return lambda page: turn(page, label)


def measure(page):
    """What the bias dial does at Run, to its end."""
    page.locator(".widget-dropdown select").first.select_option("scenes-everyday")
    page.locator('button:text-is("Run")').click()
    page.wait_for_selector("text=/Mean over 36 questions/", timeout=300_000)


LOAD = """\
import toolkit
from toolkit import widgets

twins = {name: toolkit.load_vlm(f"tiny-llava-{name}") for name in ("grounded", "biased")}
samples = toolkit.load_samples("scenes-existence", split="test", n=8)
seen = [sample for sample in samples if sample.answer == "yes"]"""
"""Questions whose answer is yes: something in the image decides them."""


def evidence() -> tuple[str, str]:
    """The first of these samples' evidence cell, as the playground labels it, and its first evidence word."""
    sample = next(s for s in toolkit.load_samples("scenes-existence", split="test", n=8) if s.answer == "yes")
    left, top, right, bottom = sample.truth.evidence_boxes[0]
    row, column = (int((low + high) / 2 * 6) + 1 for low, high in ((top, bottom), (left, right)))
    return f"{row},{column}", sample.question.split()[sample.truth.evidence_words[0]]


def widgets() -> dict[str, tuple[str, list]]:
    """By name: the cell that shows the widget, and the moves to record."""
    cell, word = evidence()
    there_and_back = [click(cell), click(cell), click(word), click(cell), press("evidence"), press("swap")]
    return {
        "playground": ('widgets.CoalitionPlayground({"grounded": twins["grounded"]}, seen)', there_and_back),
        "curves": (
            'widgets.CurveExplorer(twins, seen, ["occlusion", "random"])',
            [step("Remove the top k percent")] * 8,
        ),
        "bias-dial": ("widgets.BiasDial(twins, n=36)", [measure, *[step("Prior strength (percent)")] * 4]),
    }


def settled(widget: Locator, seconds: float = 30) -> Image.Image:
    """The widget once two looks in a row are equal."""
    deadline, last = time.monotonic() + seconds, b""
    while time.monotonic() < deadline:
        time.sleep(0.6)
        seen = widget.screenshot()
        if seen == last:
            return Image.open(BytesIO(seen)).convert("RGB")
        last = seen
    raise RuntimeError("the widget does not come to rest")


def frames(page: Page, moves) -> list[Image.Image]:
    """The widget of the notebook before the first move and after each."""
    widget = page.locator(".jp-OutputArea-output:has(.jupyter-widgets) .jupyter-widgets").first
    widget.scroll_into_view_if_needed()
    found = [settled(widget)]
    for move in moves:
        move(page)
        page.mouse.move(0, 0)
        found.append(settled(widget))
    return found


def write_gif(images: list[Image.Image], path: Path) -> None:
    """One palette for all frames, so that nothing flickers; the last frame stays longer."""
    width, height = images[0].size[0], max(image.size[1] for image in images)
    sheet = Image.new("RGB", (width, height * len(images)), "white")
    for number, image in enumerate(images):
        sheet.paste(image, (0, number * height))
    sheet = sheet.resize(
        (WIDTH, round(sheet.height * WIDTH / width / len(images)) * len(images)), Image.Resampling.LANCZOS
    )
    sheet = sheet.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    height = sheet.height // len(images)
    drawn = [sheet.crop((0, n * height, WIDTH, (n + 1) * height)) for n in range(len(images))]
    times = [round(SECONDS * 1000)] * (len(drawn) - 1) + [round(SECONDS * 2500)]
    drawn[0].save(path, save_all=True, append_images=drawn[1:], duration=times, loop=0, optimize=True)


def main(folder: Path) -> None:
    """Record every widget into a folder."""
    if CHROMIUM is None:
        raise SystemExit("no chromium on this machine: apt-get install chromium")
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as home, open_lab(Path(home)) as lab, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        for name, (code, moves) in widgets().items():
            cells = [nbformat.v4.new_code_cell(text) for text in (LOAD, code)]
            nbformat.write(nbformat.v4.new_notebook(cells=cells), lab.home / f"{name}.ipynb")
            learner = Learner(browser, lab, f"{name}.ipynb")
            learner.run_all(n_cells=len(cells))
            if learner.failures():
                raise SystemExit(f"{name}: {learner.failures()}")
            write_gif(frames(learner.page, moves), folder / f"{name}.gif")
            learner.page.close()
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
