"""Pages and figures, all in one style."""
