"""The terminal: tables for people on standard output, JSON for programs, progress on standard error."""

import sys
from typing import Any

import msgspec
from rich.console import Console
from rich.table import Table

__all__ = ["print_json", "progress_console", "table", "tell"]

_JSON_WIDTH = 2
_encoder = msgspec.json.Encoder(decimal_format="number")


def tell(*parts: object) -> None:
    """Print something for people on standard output; tables are drawn, text is printed as it is."""
    Console(highlight=False, markup=False, soft_wrap=not any(isinstance(part, Table) for part in parts)).print(*parts)


def table(*headings: str, title: str | None = None) -> Table:
    """Make an empty table with these headings."""
    made = Table(title=title, title_justify="left", box=None, pad_edge=False, header_style="bold")
    for heading in headings:
        made.add_column(heading, overflow="fold")
    return made


def print_json(value: Any, *, indent: bool = True) -> None:
    """Print a value for programs on standard output: one document, or one line without ``indent``."""
    encoded = _encoder.encode(value)
    sys.stdout.write((msgspec.json.format(encoded, indent=_JSON_WIDTH) if indent else encoded).decode() + "\n")


def progress_console() -> Console:
    """Return where progress is shown. It shows nothing when standard error is no terminal."""
    return Console(stderr=True)
