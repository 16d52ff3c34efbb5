"""Consent: asks before an action that cannot be undone."""

import sys

import typer

from worker.failures import Mistake

__all__ = ["agreed"]


def agreed(announcement: str, question: str, *, nobody: str) -> bool:
    """Announce an action and ask for consent, on standard error.

    Args:
        announcement: The description of the action.
        question: The question.
        nobody: The error's text if standard input is not a terminal: which option to pass instead.

    Raises:
        Mistake: Standard input is not a terminal.
    """
    if not sys.stdin.isatty():
        raise Mistake(nobody)
    typer.echo(announcement, err=True)
    return typer.confirm(question, err=True)
