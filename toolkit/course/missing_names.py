"""A cell that ran before the cells that it needs: one sentence instead of a traceback."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any


def missing_name(error: BaseException, where: TracebackType | None, names: Mapping[str, Any]) -> str:
    """What to do about a name that a notebook's cell lacks; "" where something else is wrong.

    Args:
        error: What was raised.
        where: Its traceback.
        names: The names of the notebook.

    Example:
        >>> cell = compile("board.table", "a cell", "exec")
        >>> try:
        ...     exec(cell, names := {})
        ... except NameError as error:
        ...     print(missing_name(error, error.__traceback__, names))
        There is no `board` yet; a cell further up makes it. Run the cells from the top to this one: menu Run, Run All
        Above Selected Cell. If you wrote the name yourself, look for a typing mistake.
    """
    while where is not None and where.tb_next is not None:
        where = where.tb_next
    if where is None or where.tb_frame.f_globals is not names or type(error) is not NameError:
        return ""
    function = where.tb_frame.f_code.co_name
    needed = "" if function.startswith("<") else f", which `{function}` needs"
    return (
        f"There is no `{error.name}` yet{needed}; a cell further up makes it. Run the cells from the top to this one: "
        "menu Run, Run All\nAbove Selected Cell. If you wrote the name yourself, look for a typing mistake."
    )


def explain_missing_names() -> None:
    """In a notebook: say what to do where a cell lacks a name. Elsewhere, and beside another such rule, do nothing."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    if shell is None or shell.custom_exceptions:
        return

    def explained(
        shell: Any, kind: type[BaseException], error: Any, where: TracebackType, tb_offset: int | None = None
    ) -> None:
        sentence = missing_name(error, where, shell.user_ns)
        if sentence:
            error._render_traceback_ = lambda: ["Not yet.", *sentence.splitlines()]
        shell.showtraceback((kind, error, where), tb_offset=tb_offset)

    shell.set_custom_exc((NameError,), explained)
