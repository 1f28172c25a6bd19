"""Statistics that are fixed before any result is seen: intervals over pictures, rank tests, correlations."""
