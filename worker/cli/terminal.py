"""The terminal: tables for people on standard output, JSON for programs, progress on standard error."""

import sys
from os import environ
from typing import Any

import msgspec
from rich.console import Console, RenderableType
from rich.table import Table

from worker.printable import printable, printable_json

__all__ = ["print_json", "progress_console", "table", "tell"]

_JSON_WIDTH = 2
_WIDEST = 1000
_encoder = msgspec.json.Encoder(decimal_format="number")


def tell(*parts: object) -> None:
    """Print something for people on standard output: tables are drawn, a text is a line, whatever a message put in.

    Where nobody looks, in a file or a pipe, no line is broken, unless ``COLUMNS`` says how wide it is.
    """
    shown = [printable(part) if isinstance(part, str) else part for part in parts]
    has_table = any(isinstance(part, Table) for part in parts)
    width = None if sys.stdout.isatty() or "COLUMNS" in environ else _WIDEST
    Console(highlight=False, markup=False, emoji=False, soft_wrap=not has_table, width=width).print(*shown)


class _Listing(Table):
    """A table whose cells cannot steer the terminal: they may hold what a message brought."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        super().add_row(*(printable(cell, lines=True) if isinstance(cell, str) else cell for cell in cells), **options)


def table(*headings: str, title: str | None = None) -> Table:
    """Make an empty table with these headings. What is not seen in a cell's text is written out."""
    made = _Listing(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def print_json(value: Any, *, indent: bool = True) -> None:
    """Print a value for programs on standard output: one document, or one line without ``indent``."""
    encoded = _encoder.encode(value)
    text = (msgspec.json.format(encoded, indent=_JSON_WIDTH) if indent else encoded).decode()
    sys.stdout.write(printable_json(text) + "\n")


def progress_console() -> Console:
    """Return where progress is shown. It shows nothing when standard error is no terminal."""
    return Console(stderr=True)
