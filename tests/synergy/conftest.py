"""Properties are about numbers, not about the speed of the machine: no deadline per example."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("toolkit", deadline=None)
settings.load_profile("toolkit")
