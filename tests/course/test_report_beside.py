import html
import re

import pytest

from toolkit.course.report_beside import OWN_ANCHORS, beside

PAGE = '<!doctype html><head></head><h1 class="a">5 < 6 & "found"</h1><a href="#a">a</a>'


@pytest.fixture
def report(tmp_path, monkeypatch):
    (tmp_path / "run").mkdir()
    (tmp_path / "notebooks").mkdir()
    monkeypatch.chdir(tmp_path / "notebooks")
    path = tmp_path / "run" / "report.html"
    path.write_text(PAGE, encoding="utf-8")
    return path


def test_the_page_is_whole_in_the_frame_and_beside_the_notebook(report, tmp_path):
    shown = beside(report)._repr_html_()
    assert html.unescape(re.search(r'srcdoc="([^"]*)"', shown).group(1)).replace(OWN_ANCHORS, "") == PAGE
    assert "my_report.html" in shown
    assert (tmp_path / "notebooks" / "my_report.html").read_text(encoding="utf-8") == PAGE


def test_where_nothing_can_be_written_the_frame_is_there_and_says_so(report, tmp_path):
    (tmp_path / "notebooks" / "my_report.html").mkdir()
    shown = beside(report)._repr_html_()
    assert "<iframe srcdoc" in shown
    assert "No copy was put beside this notebook: " in shown


def test_no_report_is_said(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"report\.html"):
        beside(tmp_path / "report.html")
