"""Findings: the results of an inspection, for people and for programs."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import typer

from worker.cli.terminal import print_json, table, tell

__all__ = ["Finding", "report"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """The result for one part.

    Attributes:
        part: Name of the part, for people.
        good: Whether it is as it should be.
        text: Its state; if it is not good, what to do.
        note: Whether it is good, but worth a person's attention.
    """

    part: str
    good: bool
    text: str
    note: bool = False


def report(findings: Sequence[Finding], *, json: bool) -> None:
    """Print findings, and exit with status 2 if one is bad."""
    if json:
        print_json([asdict(finding) for finding in findings])
    else:
        listing = table("", "", "")
        listing.show_header = False
        for finding in findings:
            state = "WRONG" if not finding.good else "note" if finding.note else "ok"
            listing.add_row(state, finding.part, finding.text)
        tell(listing)
    if not all(finding.good for finding in findings):
        raise typer.Exit(2)
