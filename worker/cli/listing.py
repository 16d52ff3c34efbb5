"""Listings: tables whose cells cannot steer the terminal. They may hold what a message brought."""

import re
from dataclasses import replace
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from worker.printable import printable

__all__ = ["Listing"]

# Also with a unit, such as 1.5 s, 16.4 kB or 57.1%.
_NUMBER = re.compile(r"[+-]?\d[\d,.]*( ?[a-zA-Zµ%]{1,5})?")
_NOTHING = frozenset({"", "-"})


class Listing(Table):
    """A table of which each cell's text is written out, as far as it is not seen."""

    def add_row(self, *cells: RenderableType | None, **options: Any) -> None:
        """Add a row, as the library has it."""
        super().add_row(*(printable(cell, lines=True) if isinstance(cell, str) else cell for cell in cells), **options)

    def trim(self) -> None:
        """Put the numbers of a column below each other, and leave out a column that holds nothing in any row."""
        kept = []
        for column in self.columns:
            told = {cell for cell in column.cells if isinstance(cell, str)}
            if column.header and told and all(_NUMBER.fullmatch(cell) or cell in _NOTHING for cell in told):
                column.justify = "right"
            if told != {""} or not column.header:
                kept.append(column)
        self.columns = [replace(column, _index=index) for index, column in enumerate(kept)]
