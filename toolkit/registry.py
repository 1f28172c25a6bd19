"""Registries by name: no silent overwrite, a suggestion for a mistyped name, and entries of plug-ins.

A name may also be ``"module:attribute"``, which is imported when it is asked for. Installed packages register theirs
through an entry point of the group ``synergy_toolkit.plugins`` that names a module; it is imported when a registry is
listed, or asked for a name that it does not know.
"""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from importlib import import_module, metadata
from reprlib import repr as short
from typing import Any, Generic, TypeVar

T = TypeVar("T")

GROUP = "synergy_toolkit.plugins"


class UnknownNameError(KeyError):
    """A name that no registry entry has; the message lists what there is."""

    def __init__(self, kind: str, name: str, known: Iterable[str]) -> None:
        known = sorted(known)
        close = difflib.get_close_matches(str(name)[:100], known, n=1, cutoff=0.5)
        hint = f" Did you mean {close[0]!r}?" if close else ""
        self.message = f"unknown {kind} {short(name)}.{hint} Known: {', '.join(known) or 'none'}."
        super().__init__(self.message)

    def __str__(self) -> str:
        return self.message


class PluginError(ValueError):
    """A plug-in that cannot be imported, or that has not what was asked of it; the message says how to mend it."""


def import_plugin(name: str) -> Any:
    """The module of this name, or for ``"module:attribute"`` what it holds.

    Raises:
        PluginError: The module or the attribute does not exist, or the module raises.
    """
    module_name, _, attribute = name.partition(":")
    try:
        module = import_module(module_name)
    except ImportError as error:
        raise PluginError(f"cannot import {module_name!r} ({error}); run from its folder, or install it") from error
    except Exception as error:  # whatever somebody else's module raises
        raise PluginError(
            f"cannot import {module_name!r} ({type(error).__name__}: {error}); mend the module"
        ) from error
    if not attribute:
        return module
    if not hasattr(module, attribute):
        public = ", ".join(known for known in vars(module) if not known.startswith("_")) or "nothing"
        raise PluginError(f"{module_name!r} has no {attribute!r}; it has {public}")
    return getattr(module, attribute)


@cache
def import_installed() -> None:
    """Import what installed packages offer, once; each registers its things.

    Raises:
        PluginError: A package's plug-in cannot be imported.
    """
    for point in metadata.entry_points(group=GROUP):
        try:
            point.load()
        except Exception as error:  # whatever somebody else's module raises
            owner = point.dist.name if point.dist is not None else "an installed package"
            raise PluginError(
                f"the plug-in {point.name!r} of {owner} cannot be imported ({type(error).__name__}: {error}); mend or "
                "uninstall it"
            ) from error


class Registry(Generic[T]):
    """A mapping from names to entries of one kind.

    Args:
        kind: The singular noun used in error messages, for example ``"explainer"``.
        from_path: Makes an entry of ``"module:attribute"``; None where such names have no meaning.
    """

    def __init__(self, kind: str, *, from_path: Callable[[str], T] | None = None) -> None:
        self.kind = kind
        self._from_path = from_path
        self._entries: dict[str, T] = {}

    def add(self, name: str, entry: T) -> T:
        """Register an entry.

        Raises:
            ValueError: The name is taken.
        """
        if name in self._entries:
            raise ValueError(f"the {self.kind} {name!r} is registered already; choose another name")
        self._entries[name] = entry
        return entry

    def remove(self, name: str) -> None:
        """Take an entry out again (for plug-ins and tests)."""
        del self._entries[self.check(name)]

    def check(self, name: str) -> str:
        """Return the name if it is known.

        Raises:
            UnknownNameError: It is not; the message suggests the nearest one.
            PluginError: It is ``"module:attribute"``, and there is no such thing.
        """
        if not isinstance(name, str):
            raise UnknownNameError(self.kind, name, self._entries)
        if name in self._entries:
            return name
        if ":" in name and self._from_path is not None:
            self._entries[name] = self._from_path(name)
            return name
        import_installed()
        if name not in self._entries:
            raise UnknownNameError(self.kind, name, self._entries)
        return name

    def __getitem__(self, name: str) -> T:
        return self._entries[self.check(name)]

    def __contains__(self, name: object) -> bool:
        if not isinstance(name, str):
            return False
        if name not in self._entries:
            import_installed()
        return name in self._entries

    def __iter__(self) -> Iterator[str]:
        """The names that are registered; those read off a path are not listed."""
        import_installed()
        return iter([name for name in self._entries if ":" not in name])

    def __len__(self) -> int:
        return len(list(iter(self)))
