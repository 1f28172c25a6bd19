"""Can a metric be trusted? A panel of rules with known answers, and every claim of the paper against the numbers."""

from toolkit.audit.metrics.rules import RULES, Rule
from toolkit.audit.metrics.study import StudySize
from toolkit.audit.metrics.validity_panel import JudgedEntry, ValidityPanel
from toolkit.synergy.recovered import recovered_synergy

__all__ = ["RULES", "JudgedEntry", "Rule", "StudySize", "ValidityPanel", "recovered_synergy"]
