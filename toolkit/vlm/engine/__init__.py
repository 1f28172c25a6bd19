"""The scoring engine: each distinct picture encoded once, each shared beginning run once, the rest in batches."""
