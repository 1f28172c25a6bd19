"""Bounds of large images, for several models at once: each bound goes to the families that have it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from toolkit.vlm.adapters.families import FAMILIES, adapter_class
from toolkit.vlm.loading.catalogue import CATALOGUE
from toolkit.vlm.loading.sources import find_source
from toolkit.vlm.server.address import is_server


def bounds_of(name: str, revision: str | None = None) -> tuple[str, ...]:
    """Which of ``max_pixels`` and ``max_tiles`` a model's family has; no network for a model of the catalogue.

    Raises:
        UnknownNameError, CheckpointError: As ``find_source``.
    """
    if is_server(name):
        return ("max_pixels",)
    if name in CATALOGUE:
        families = map(adapter_class, FAMILIES)
        return next(family.bounds for family in families if family.family == CATALOGUE[name].family)
    return adapter_class(find_source(name, revision=revision).model_type).bounds


def limits_by_model(
    names: Sequence[str], bounds: Mapping[str, int | None], revisions: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    """The options of ``load_vlm`` that bound each model's images.

    Args:
        names: The models.
        bounds: ``max_pixels`` and ``max_tiles``; None bounds nothing.
        revisions: Commits by name.

    Raises:
        ValueError: A bound that none of the models has.
    """
    given = {bound: value for bound, value in bounds.items() if value is not None}
    if not given:
        return {name: {} for name in names}
    has = {name: bounds_of(name, revisions.get(name)) for name in names}
    for bound in given:
        if not any(bound in known for known in has.values()):
            raise ValueError(f"{bound} bounds none of {', '.join(names)}: their images have {_described(has)}")
    return {name: {bound: value for bound, value in given.items() if bound in has[name]} for name in names}


def _described(has: Mapping[str, Sequence[str]]) -> str:
    known = dict.fromkeys(bound for bounds in has.values() for bound in bounds)
    return f"another bound, {' or '.join(known)}" if known else "a fixed size"
