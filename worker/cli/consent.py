"""Consent: what cannot be undone is asked for first."""

import sys

import typer

from worker.failures import Mistake

__all__ = ["agreed"]


def agreed(announcement: str, question: str, *, nobody: str) -> bool:
    """Announce what is going to happen and ask, on standard error.

    Args:
        announcement: What is going to happen.
        question: What to ask.
        nobody: What to say when there is nobody to answer: what else to pass.

    Raises:
        Mistake: Standard input is no terminal.
    """
    if not sys.stdin.isatty():
        raise Mistake(nobody)
    typer.echo(announcement, err=True)
    return typer.confirm(question, err=True)
