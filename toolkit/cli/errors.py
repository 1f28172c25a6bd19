"""Errors in one line; exit code 2 for something the user can mend, 1 for a defect of the toolkit."""

from __future__ import annotations

import warnings
from typing import Any

import typer
from typer.core import TyperGroup

INTERRUPTED = 130
"""Exit status after Ctrl-C, as shells have it."""

TERMINATED = 143
"""Exit status after SIGTERM, likewise."""

UNREAD = 141
"""Exit status where nobody reads what is printed any more, likewise (SIGPIPE)."""

MENDABLE = (ValueError, OSError, LookupError, RuntimeError, MemoryError, ImportError)
"""What the library raises for bad input, missing files, unknown names, missing extras and lack of memory."""


class OneLineErrors(TyperGroup):
    """A command group that turns exceptions of the library into one line on standard error."""

    def invoke(self, ctx: Any) -> object:
        """Run the command, a warning as one line; with --debug exceptions pass through."""
        try:
            with warnings.catch_warnings():
                warnings.showwarning = _show_warning
                return super().invoke(ctx)
        except MENDABLE as error:
            # The command line's own exits and usage errors are RuntimeErrors and OSErrors of other modules.
            if ctx.params.get("debug") or type(error).__module__.startswith(("typer", "click")):
                raise
            if _is_unread(error):
                raise typer.Exit(UNREAD) from error
            typer.echo(f"error: {one_line(error)}{_advice(error)}", err=True)
            raise typer.Exit(2) from error
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(INTERRUPTED) from None
        except (TypeError, AttributeError, AssertionError, ArithmeticError) as error:
            if ctx.params.get("debug"):
                raise
            typer.echo(
                f"error: {type(error).__name__}: {one_line(error)}. This is a defect of the toolkit; "
                "python -m toolkit --debug ... shows where",
                err=True,
            )
            raise typer.Exit(1) from error


def _is_unread(error: BaseException) -> bool:
    """Whether whoever read what is printed has gone, as ``head -1`` does; another pipe may have broken instead."""
    if not isinstance(error, BrokenPipeError):
        return False
    try:
        typer.echo()
    except BrokenPipeError:
        return True
    return False


def _show_warning(message: Warning | str, category: type[Warning], *where: object, **more: object) -> None:
    typer.echo(f"warning: {' '.join(str(message).split())}", err=True)


def _advice(error: BaseException) -> str:
    """What to do about memory that ran out or an import that fails, where it is known and not said yet."""
    if _lacks_memory(error):
        return "; memory ran out: close other programs, raise the limit of this process, or take a smaller model"
    if not isinstance(error, ImportError):
        return ""
    from toolkit.environment import import_advice

    advice = import_advice()
    return f" {advice}" if advice and advice not in str(error) else ""


def _lacks_memory(error: BaseException) -> bool:
    """Whether the system's own words are all that is said of memory that ran out; the toolkit's name a cure."""
    return "cannot allocate memory" in str(error).lower() and not isinstance(error, MemoryError)


def one_line(error: BaseException) -> str:
    """The message of an exception without line breaks."""
    return " ".join(str(error).split()) or type(error).__name__
