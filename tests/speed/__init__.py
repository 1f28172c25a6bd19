"""Benchmarks of the scoring engine: how fast it is, where the speed comes from, and what it leaves on the table."""
