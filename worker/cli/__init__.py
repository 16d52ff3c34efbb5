"""The command line. Each command has a module of its own; ``main`` is the entry point of the console script."""

from worker.cli.main import main

__all__ = ["main"]
