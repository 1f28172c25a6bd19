"""Cooperative games: players, coalitions, attributions, interaction indices, and games whose answer is known."""
