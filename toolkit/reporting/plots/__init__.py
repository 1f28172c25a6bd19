"""Figures: each comes with its alternative text, colours that everybody can tell apart, and markers besides."""

from toolkit.reporting.plots.critical_difference import critical_difference
from toolkit.reporting.plots.curves import curves
from toolkit.reporting.plots.drawing import Drawing
from toolkit.reporting.plots.leaderboard import leaderboard, tradeoff
from toolkit.reporting.plots.maps import attribution_map, overlay, ranked_players, tokens_html
from toolkit.reporting.plots.ranks import rank_shift
from toolkit.reporting.plots.style import PALETTE, Look, looks

__all__ = [
    "PALETTE", "Drawing", "Look", "attribution_map", "critical_difference", "curves", "leaderboard", "looks", "overlay",
    "rank_shift", "ranked_players", "tokens_html", "tradeoff",
]  # fmt: skip
