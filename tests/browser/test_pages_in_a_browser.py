"""Chromium opens every page with what users write: all of it is text, and none of it runs."""

import pytest
from support.chromium import CHROMIUM
from support.evil import EVIL, PAGES, evil_run, run_pages

pytestmark = [pytest.mark.browser, pytest.mark.slow]

HANDLERS = """[...document.querySelectorAll("*")].filter(
    (one) => one.localName.includes("evil") || [...one.attributes].some((mark) => mark.name.startsWith("on"))
).length"""


@pytest.mark.filterwarnings("ignore:constrained_layout not applied:UserWarning")
@pytest.mark.skipif(CHROMIUM is None, reason="no chromium on this machine: apt-get install chromium")
def test_nothing_that_users_write_runs(browser, tmp_path):
    pages = {name: make(tmp_path) for name, make in PAGES.items()} | run_pages(evil_run(tmp_path / "run"))
    said = []
    page = browser.new_page()
    page.on("dialog", lambda dialog: (said.append(dialog.message), dialog.dismiss()))
    for name, html in {**pages, "unescaped": f"<p>{EVIL}</p>"}.items():
        path = tmp_path / "shown.html"
        path.write_text(html, encoding="utf-8")
        page.goto(path.as_uri())
        page.wait_for_timeout(200)
        runs = name == "unescaped"
        assert (page.evaluate(HANDLERS) > 0, said != []) == (runs, runs), name
    page.close()
