"""``worker check``."""

from dataclasses import asdict
from typing import Annotated

import typer

from worker.cli.inspection import inspect
from worker.cli.loop import run_async
from worker.cli.terminal import print_json, table, tell
from worker.settings import Settings

__all__ = ["check"]


def check(*, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Tell what is reachable, what is not, and what to do. Exit status 2 when a worker could not run as it should."""
    findings = run_async(inspect(Settings.load(needs=())))
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        listing = table("", "part", "")
        for finding in findings:
            listing.add_row("ok" if finding.good else "WRONG", finding.part, finding.text)
        tell(listing)
    if not all(finding.good for finding in findings):
        raise typer.Exit(2)
