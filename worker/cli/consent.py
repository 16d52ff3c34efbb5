"""Consent: asks before an action that cannot be undone."""

import sys

import typer

from worker.failures import Mistake

__all__ = ["agreed"]


def agreed(announcement: str, question: str, *, action: str, look: str = "") -> bool:
    """Announce an action and ask for consent, on standard error.

    Args:
        announcement: The description of the action.
        question: The question.
        action: What is done, as a clause in the passive, for the error's text.
        look: What the option ``--dry-run`` shows, beginning with "to"; empty if there is no such option.

    Raises:
        Mistake: Standard input is not a terminal.
        KeyboardInterrupt: The answer was Ctrl-C.
    """
    if not sys.stdin.isatty():
        instead = f"--yes, or --dry-run {look}" if look else "--yes"
        raise Mistake(f"{action} only after a confirmation, and there is no terminal to ask at: pass {instead}.")
    typer.echo(announcement, err=True)
    try:
        return typer.confirm(question, err=True)
    except typer.Abort as aborted:
        typer.echo(err=True)  # the question's line ends here
        # Ctrl-C ends this command as any other, and Ctrl-D is not a yes. The library has one error for both.
        if isinstance(aborted.__context__, KeyboardInterrupt):
            raise KeyboardInterrupt from None
        return False
