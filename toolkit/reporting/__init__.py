"""Pages and drawings: one look for whatever is shown."""
