"""Listings: tables whose cells cannot control the terminal. Cells may contain text from messages."""

import re
from dataclasses import replace
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from worker.printable import printable

__all__ = ["Listing"]

# With or without a unit, such as 1.5 s, 16.4 kB or 57.1%.
_NUMBER = re.compile(r"[+-]?\d[\d,.]*( ?[a-zA-Zµ%]{1,5})?")
_NOTHING = frozenset({"", "-"})


class Listing(Table):
    """A table that writes invisible characters in its cells out."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row, as in the library."""
        super().add_row(*(printable(cell, lines=True) if isinstance(cell, str) else cell for cell in cells), **options)

    def trim(self) -> None:
        """Right-align columns of numbers, and remove columns that are empty in all rows."""
        kept = []
        for column in self.columns:
            told = {cell for cell in column.cells if isinstance(cell, str)}
            if column.header and told and all(_NUMBER.fullmatch(cell) or cell in _NOTHING for cell in told):
                column.justify = "right"
            if told != {""} or not column.header:
                kept.append(column)
        self.columns = [replace(column, _index=index) for index, column in enumerate(kept)]
