"""Durable runs: what is evaluated, by whom, and how nothing is lost."""
