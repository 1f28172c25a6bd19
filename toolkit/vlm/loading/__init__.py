"""Load a model by name, folder or hub id, check its files, and probe that it computes its own numbers."""
