"""FLAWS ON PURPOSE. Nothing in this module is right: each flaw of a published pipeline, switched on by name.

It exists to show what each flaw does to scores and rankings; ``ablation.py`` makes that table, and no other module may
import this one. Two kinds: flaws that change the scores, and flaws of statistics or bookkeeping, which leave the scores
as they are and distort another number. Either kind says which number it distorts, without the flaw and with it.
"""

from toolkit.audit.paper.flaws import flawed_scores, flawed_statistics
from toolkit.audit.paper.flaws.case import FLAWS, GAP, Case, Flaw, Spoiled, correct, gap, ranked_columns

__all__ = [
    "FLAWS",
    "GAP",
    "Case",
    "Flaw",
    "Spoiled",
    "correct",
    "flawed_scores",
    "flawed_statistics",
    "gap",
    "ranked_columns",
]
