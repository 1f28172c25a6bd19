"""Models of known bias, trained or mixed, and the sweep over their strength."""
