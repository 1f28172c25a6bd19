"""Judge metrics, explainers and models, and report what we found about arXiv 2605.22168."""
