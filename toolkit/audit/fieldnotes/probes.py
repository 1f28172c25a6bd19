"""All probes: what a family's tiny model does, as a value of a documented set and a size.

Every probe takes a family, builds the tiny models that it needs and returns what it saw. What it raises is the
note's error. Nothing here imports more of the toolkit than the families.
"""

from __future__ import annotations

from toolkit.audit.fieldnotes import image_probes, mask_probes, pass_probes, trace_probes
from toolkit.audit.fieldnotes.behaviours import REGISTERED, Behaviour, Seen

__all__ = ["BEHAVIOURS", "Behaviour", "Seen"]

BEHAVIOURS: dict[str, Behaviour] = {
    name: behaviour
    for part in (mask_probes, pass_probes, trace_probes, image_probes)
    for name, behaviour in REGISTERED.items()
    if behaviour.probe.__module__ == part.__name__
}
"""Name -> behaviour, in the order of the table."""
