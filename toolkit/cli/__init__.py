"""The command line: one small file per command; the libraries are loaded by the command that needs them."""

from toolkit.cli.app import app, main

__all__ = ["app", "main"]
