"""The report's contents work inside a notebook's output, where the frame has no address of its own."""

import pytest

from toolkit.course.report_beside import ReportBeside

pytestmark = [pytest.mark.browser, pytest.mark.slow]
PAGE = '<!doctype html><head></head><a href="#end">to the end</a><p style="height:3000px"></p><h2 id="end">The end</h2>'


@pytest.mark.parametrize("base", ["", '<base href="/lab/">'], ids=["no base", "a base"])
def test_a_link_to_a_heading_scrolls_inside_the_frame(browser, base):
    page = browser.new_page()
    notebook = f"<!doctype html><head>{base}</head>{ReportBeside(PAGE, 'note')._repr_html_()}"
    page.route("**/*", lambda asked: asked.fulfill(body=notebook, content_type="text/html"))
    page.goto("http://localhost/lab/tree/06_laptop.ipynb")
    report = page.frame_locator("iframe")
    report.locator("a").click()
    page.wait_for_timeout(300)
    assert report.locator("h2").inner_text(timeout=5_000) == "The end"
    assert page.frames[1].evaluate("scrollY") > 1000
    page.close()
