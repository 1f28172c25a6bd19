"""Builds each subject once, and lists what the contract suite checked."""

from __future__ import annotations

from functools import cache

import pytest

CONTRACT = "test_contract.py::"
_SIGNS = {"passed": "+", "failed": "F", "error": "E", "skipped": "s", "xfailed": "x", "xpassed": "X"}


SIBLINGS = ("idefics3", "pixtral", "glm4.6v", "qwen3-vl-moe")
"""Of two families that share an adapter's file, the one whose tests are run with the slow ones."""


def pytest_collection_modifyitems(items) -> None:
    """Mark the tests of siblings as slow."""
    for item in items:
        if "[" in item.name and any(name in item.name.partition("[")[2] for name in SIBLINGS):
            item.add_marker(pytest.mark.slow)


@cache
def _subject(name: str):
    from support.subjects import make_subject

    return make_subject(name)


@pytest.fixture
def vlm(request):
    """The model that ``@pytest.mark.parametrize("vlm", NAMES, indirect=True)`` names."""
    loaded = _subject(request.param)
    loaded.engine.forget()
    return loaded


def contract_table(outcomes: dict[str, list[str]]) -> list[str]:
    """Lines of the table models x tests of the contract suite; a cell has the worst outcome of the test's cases.

    Args:
        outcomes: Outcome (``"passed"``, ``"failed"``, ...) -> node ids.
    """
    from support.subjects import BEHIND, SUBJECTS

    names = (*SUBJECTS, *BEHIND)
    order = list(_SIGNS)
    cells: dict[tuple[str, str], str] = {}
    for outcome, nodes in outcomes.items():
        for node in nodes:
            test, _, case = node.partition("[")
            test = test.partition(CONTRACT)[2].removeprefix("test_").replace("_", " ")
            (subject,) = (name for name in names if case.rstrip("]").endswith(name))
            known = cells.get((test, subject), "passed")
            worst = max(known, outcome, key=lambda o: (o in ("failed", "error"), order.index(o)))
            cells[test, subject] = worst
    tests, subjects = sorted({test for test, _ in cells}), [s for s in names if any(k[1] == s for k in cells)]
    lines = [f"{i + 1:>3}  {subject}" for i, subject in enumerate(subjects)]
    width = max(map(len, tests))
    lines.append(" " * width + "".join(f"{i + 1:>4}" for i in range(len(subjects))))
    for test in tests:
        signs = "".join(f"{_SIGNS.get(cells.get((test, s), ''), '.'):>4}" for s in subjects)
        lines.append(f"{test:<{width}}{signs}")
    return lines


def pytest_terminal_summary(terminalreporter) -> None:
    """After a run with the contract suite: every model x every test, whatever the verbosity."""
    outcomes = {
        outcome: [report.nodeid for report in terminalreporter.stats.get(outcome, []) if CONTRACT in report.nodeid]
        for outcome in _SIGNS
    }
    if any(outcomes.values()):
        terminalreporter.section("the adapters' contract: + passed, F failed, s skipped, . not run")
        for line in contract_table(outcomes):
            terminalreporter.write_line(line)
