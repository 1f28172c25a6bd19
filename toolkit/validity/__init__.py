"""Can a metric be trusted? A panel of rules with known answers, and every claim of the paper against the numbers."""

from toolkit.synergy.recovered import recovered_synergy
from toolkit.validity.panel import Cell, Panel
from toolkit.validity.rules import RULES, Rule
from toolkit.validity.study import Plan
from toolkit.validity.validation import JUDGED, run_panel, validate, validate_metric

__all__ = [
    "JUDGED",
    "RULES",
    "Cell",
    "Panel",
    "Plan",
    "Rule",
    "recovered_synergy",
    "run_panel",
    "validate",
    "validate_metric",
]
