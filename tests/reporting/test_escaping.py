"""What users write is shown on every page, and none of it runs there."""

from __future__ import annotations

from pathlib import Path

import pytest
from support.evil import EVIL, PAGES, evil_run, harm_in, run_pages, shows_evil

pytestmark = pytest.mark.filterwarnings("ignore:constrained_layout not applied:UserWarning")


@pytest.mark.parametrize("name", PAGES)
def test_a_page_shows_what_users_write_and_runs_none_of_it(name: str, tmp_path: Path) -> None:
    html = PAGES[name](tmp_path)
    assert harm_in(html) == []
    assert shows_evil(html)


def test_reports_of_runs_do_too(tmp_path: Path) -> None:
    run = evil_run(tmp_path / "run")
    for html in run_pages(run).values():
        assert harm_in(html) == []
        assert shows_evil(html)
    figures = list((run / "figures").glob("*.svg"))
    assert figures
    for figure in figures:
        assert harm_in(figure.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("html", [f"<p>{EVIL}</p>", f'<img alt="{EVIL}">', f"<img alt='{EVIL}'>"])
def test_the_word_is_seen_where_it_is_not_escaped(html: str) -> None:
    assert harm_in(html) != []
