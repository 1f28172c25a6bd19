"""Explainers beside the stored numbers of their authors' code, and the page that shows how far apart they are."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.support import authors_compare as authors
from toolkit.explainers.base import _BUILT_IN

FOUND = authors.recorded()


@pytest.mark.parametrize("name", authors.COMPARED)
def test_ours_says_what_the_authors_code_said(name: str) -> None:
    stored = FOUND["entries"][name]
    assert authors.difference(name, stored) <= stored["agree to"] <= 1e-6


def test_no_explainer_is_forgotten_and_none_is_named_that_has_its_own_entry() -> None:
    assert sorted([*authors.COMPARED, *authors.OTHERWISE]) == sorted(_BUILT_IN)
    assert set(FOUND["entries"]) == set(authors.COMPARED)


def test_the_re_derivations_exist() -> None:
    here = "\n".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    missing = [test for _, test in authors.OTHERWISE.values() if not re.search(rf"^def {test}\(", here, re.MULTILINE)]
    assert missing == []


def test_the_page_holds_what_is_stored() -> None:
    page = authors.PAGE.read_text(encoding="utf-8")
    assert page[page.index(authors.START) : page.index(authors.END) + len(authors.END)] == authors.table(FOUND)
