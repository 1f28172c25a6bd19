"""What we found about arXiv 2605.22168: the collapse of unimodal metrics, and each flaw of the pipeline, measured."""
