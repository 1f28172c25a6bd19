"""The tiny models: architecture, training, checks, cards."""
