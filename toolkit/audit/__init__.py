"""Judges: what metrics, explainers and models are worth, and what we found about arXiv 2605.22168."""
