"""The terminal: tables for people on standard output, JSON for programs, progress on standard error."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from os import environ
from typing import TYPE_CHECKING, Any

import msgspec

from worker.printable import printable, printable_json

if TYPE_CHECKING:  # most of what is printed is a line, and needs none of it
    from worker.cli.listing import Listing

__all__ = ["print_json", "progress_bar", "table", "tell"]

_JSON_WIDTH = 2
_WIDEST = 1000
# Below it, columns have no place, and nothing of them is shown.
_NARROWEST = 20
_encoder = msgspec.json.Encoder(decimal_format="number")


def tell(*parts: object) -> None:
    """Print something for people on standard output: tables are drawn, a text is a line, whatever a message put in.

    Where nobody looks, in a file or a pipe, no line is broken, unless ``COLUMNS`` says how wide it is.
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
    # Cells are padded to the width of their column, the last ones, too.
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in drawn.get().removesuffix("\n").split("\n")))


def table(*headings: str, title: str | None = None) -> "Listing":
    """Make an empty table with these headings. What is not seen in a cell's text is written out."""
    from worker.cli.listing import Listing  # noqa: PLC0415  only for what is drawn

    made = Listing(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def print_json(value: Any, *, indent: bool = True) -> None:
    """Print a value for programs on standard output: one document, or one line without ``indent``."""
    encoded = _encoder.encode(value)
    text = (msgspec.json.format(encoded, indent=_JSON_WIDTH) if indent else encoded).decode()
    sys.stdout.write(printable_json(text) + "\n")


@contextmanager
def progress_bar(what: str, total: int | None = None, *, is_wanted: bool = True) -> Iterator[Callable[[int], None]]:
    """Show progress on standard error if that is a terminal; yields what to call after so many.

    Args:
        what: What is being done.
        total: How many there are, if that is known.
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
