"""What an extra brings: asked for before it is used, and named with the command that installs it."""

from __future__ import annotations

from importlib.util import find_spec

PACKAGES = {
    "benchmark": ("pyarrow",),
    "datasets": ("datasets", "pyarrow"),
    "shapley": ("shapiq",),
    "stats": ("statsmodels",),
    "trees": ("lightgbm", "shapiq"),
}
"""Extra -> the modules that it brings."""

USED_BY = {
    "benchmark": "benchmark runs, validations that are kept",
    "datasets": "datasets of the hub, tables of the embedded world",
    "shapley": "kernel-shap, shapley-interaction, faith-shapley-interaction, the estimator shapiq",
    "stats": "the mixed models of a report",
    "trees": "proxyspex-interaction",
}
"""Extra -> what needs it; everything else works without."""


def missing(extra: str) -> tuple[str, ...]:
    """The modules of an extra that are not installed.

    Raises:
        KeyError: There is no such extra.

    Example:
        >>> from toolkit.extras import missing
        >>> missing("benchmark")
        ()
    """
    return tuple(module for module in PACKAGES[extra] if find_spec(module) is None)


def need(extra: str, what: str, *, otherwise: str = "") -> None:
    """Refuse what cannot work without an extra, before anything is computed.

    Args:
        extra: A key of ``PACKAGES``.
        what: Who needs it, in words: the beginning of the message.
        otherwise: What to take instead, in words.

    Raises:
        ModuleNotFoundError: A module of the extra is not installed; the message has the command that installs it.

    Example:
        >>> from toolkit.extras import need
        >>> need("benchmark", "a benchmark run")
    """
    gone = missing(extra)
    if gone:
        verb = "is" if len(gone) == 1 else "are"
        advice = f"pip install 'vlm-synergy-toolkit[{extra}]'" + (f", or {otherwise}" if otherwise else "")
        raise ModuleNotFoundError(f"{what} needs {' and '.join(gone)}, which {verb} not installed: {advice}")
