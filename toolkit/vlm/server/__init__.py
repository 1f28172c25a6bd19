"""A model behind an OpenAI-compatible server that gives log-probabilities (vLLM, llama.cpp): black boxes."""
