"""The terminal: tables for people on standard output, JSON for programs, progress on standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import environ
from typing import TYPE_CHECKING, Any

import msgspec

from worker.printable import printable, printable_json

if TYPE_CHECKING:  # most output is a line, and does not need it
    from worker.cli.listing import Listing

__all__ = ["print_json", "progress_bar", "table", "tell"]

_JSON_WIDTH = 2
_WIDEST = 1000
# Below it, columns have no place, and nothing of them is shown.
_NARROWEST = 20
_encoder = msgspec.json.Encoder(decimal_format="number")


def tell(*parts: object) -> None:
    """Print for people on standard output: a table, or a line of text with invisible characters written out.

    In a file or a pipe, no line is broken, unless ``COLUMNS`` sets the width.
    """
    shown = [printable(part) if isinstance(part, str) else part for part in parts]
    if all(isinstance(part, str) for part in shown):
        print(*shown)  # noqa: T201  as it would be drawn
        return
    from rich.console import Console  # noqa: PLC0415  only for what is drawn

    from worker.cli.listing import Listing  # noqa: PLC0415  the same

    tables = [part for part in parts if isinstance(part, Listing)]
    for each in tables:
        each.trim()
    width = None if sys.stdout.isatty() or "COLUMNS" in environ else _WIDEST
    console = Console(highlight=False, markup=False, emoji=False, soft_wrap=not tables, width=width)
    console.width = max(console.width, _NARROWEST)
    with console.capture() as drawn:
        console.print(*shown)
    # Cells are padded to the width of their column, even the last ones.
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in drawn.get().removesuffix("\n").split("\n")))


def table(*headings: str, title: str | None = None) -> "Listing":
    """Make an empty table with these headings. Invisible characters in its cells are written out."""
    from worker.cli.listing import Listing  # noqa: PLC0415  only for what is drawn

    made = Listing(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def print_json(value: Any, *, indent: bool = True) -> None:
    """Print a value as JSON on standard output: an indented document, or one line without ``indent``."""
    encoded = _encoder.encode(value)
    text = (msgspec.json.format(encoded, indent=_JSON_WIDTH) if indent else encoded).decode()
    sys.stdout.write(printable_json(text) + "\n")


@contextmanager
def progress_bar(what: str, total: int | None = None, *, is_wanted: bool = True) -> Iterator[Callable[[int], None]]:
    """Show progress on standard error if that is a terminal; yields a function to call with how many were done.

    Args:
        what: The label of the bar.
        total: The total, if it is known.
        is_wanted: Whether to show it at all.
    """
    if not (is_wanted and sys.stderr.isatty()):
        yield lambda _: None
        return
    from rich.console import Console  # noqa: PLC0415  only for what is drawn
    from rich.progress import Progress  # noqa: PLC0415  the same

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=total)
        yield lambda count: bar.advance(task, count)
