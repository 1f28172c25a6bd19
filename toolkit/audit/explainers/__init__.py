"""Judge explainers: sanity checks, stability, plausibility, and the report card."""
