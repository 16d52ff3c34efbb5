"""The command line. Each command has a file of its own; ``main`` is what the console script calls."""

from worker.cli.main import main

__all__ = ["main"]
