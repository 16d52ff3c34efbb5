"""Listings: tables whose cells cannot steer the terminal. They may hold what a message brought."""

from typing import Any

from rich.console import RenderableType
from rich.table import Table

from worker.printable import printable

__all__ = ["Listing"]


class Listing(Table):
    """A table of which each cell's text is written out, as far as it is not seen."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row, as the library has it."""
        super().add_row(*(printable(cell, lines=True) if isinstance(cell, str) else cell for cell in cells), **options)
