"""The command line: one file per command, which imports its libraries when it runs."""

from toolkit.cli.app import app, main

__all__ = ["app", "main"]
