"""What explainers read inside a model: attention, activations, gradients, relevance."""
