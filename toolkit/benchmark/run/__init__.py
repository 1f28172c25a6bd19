"""Durable runs: specification, executors, records and the run folder."""
