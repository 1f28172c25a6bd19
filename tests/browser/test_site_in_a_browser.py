"""The site, built without running the lessons: every page opens offline without an error, its links lead somewhere."""

import os
import subprocess
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from support.chromium import CHROMIUM

ROOT = Path(__file__).parents[2]
pytestmark = [
    pytest.mark.browser,
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium"),
]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    pytest.importorskip("myst_nb", reason='pip install -e ".[site]"')
    folder = tmp_path_factory.mktemp("site")
    report = folder / "report.html"
    report.write_text("<!doctype html><title>A report</title>", encoding="utf-8")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", "-D", "nb_execution_mode=off"]
    tree = [str(ROOT / "notebooks"), str(folder / "html")]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "REPORT": str(report)}
    subprocess.run([*command, "-c", str(ROOT / "notebooks" / "site"), *tree], check=True, env=environment)
    return folder / "html"


def test_every_page_opens_offline_and_its_links_lead_somewhere(site, browser):
    pages = sorted(path for path in site.rglob("*.html") if not {"_static", "_modules"} & set(path.parts))
    assert {"index.html", "00_start.html", "gallery.html", "api.html", "words.html", "report.html"} <= {
        p.name for p in pages
    }
    said, asked, broken = [], [], []
    page = browser.new_page(viewport={"width": 400, "height": 800}, color_scheme="dark")
    page.on("console", lambda message: said.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on(
        "request", lambda request: None if request.url.startswith(("file:", "data:")) else asked.append(request.url)
    )
    for path in pages:
        page.goto(path.as_uri())
        assert page.evaluate("document.documentElement.scrollWidth") <= 400, path.name
        for link in page.evaluate("[...document.links].map((link) => link.href)"):
            parts = urlsplit(link)
            if parts.scheme == "file" and not Path(unquote(parts.path)).is_file():
                broken.append((path.name, link))
    page.goto((site / "index.html").as_uri())
    page.get_by_role("link", name="the report of the demo").click()
    assert page.title() == "A report"
    page.goto((site / "index.html").as_uri())
    shade = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.close()
    assert (said, asked, broken) == ([], [], [])
    assert shade != "rgb(255, 255, 255)"
