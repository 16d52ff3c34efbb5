"""Listings: tables whose cells cannot control the terminal. Cells may contain text from messages."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.table import Column, Table

from worker.printable import printable

__all__ = ["Listing"]

# With or without a unit, such as 1.5 s, 16.4 kB or 57.1%.
_NUMBER = re.compile(r"[+-]?\d[\d,.]*( ?[a-zA-Zµ%]{1,5})?")
_NOTHING = frozenset({"", "-"})
_BETWEEN = 2
# Texts in the last column, such as paths, may be broken anywhere, but the column keeps this width.
_LEAST_TEXT = 24


class Listing(Table):
    """A table that writes invisible characters in its cells out.

    Words are broken in the last column only. Where the terminal is too narrow for that, each row is drawn as a record,
    with a line for each cell that is not empty.
    """

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

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Render the table or its records, as the library requests."""
        texts = [[text for text in (column.header, *column.cells) if isinstance(text, str)] for column in self.columns]
        widths = _widths(texts, options.max_width)
        if widths is None and self.show_header:
            yield self._records()
            return
        for column, width in zip(self.columns, widths or (), strict=False):
            column.width = width
        yield from super().__rich_console__(console, options)

    def _records(self) -> Table:
        records = Table(Column(no_wrap=True, style="bold"), Column(overflow="fold"), title=self.title, box=None)
        records.title_justify, records.show_header, records.pad_edge = self.title_justify, False, False
        for row in zip(*(column.cells for column in self.columns), strict=True):
            if records.row_count:
                records.add_row()
            for column, cell in zip(self.columns, row, strict=True):
                if cell not in _NOTHING:
                    records.add_row(column.header, cell)
        return records


def _widths(columns: Sequence[Sequence[str]], room: int) -> list[int] | None:
    """Return the width of each column, or None if words would be broken. The widest columns shrink first."""
    widths = [max(map(cell_len, _lines(texts)), default=0) for texts in columns]
    least = [max((cell_len(word) for text in texts for word in text.split()), default=0) for texts in columns]
    least[-1] = min(least[-1], _LEAST_TEXT)
    room -= _BETWEEN * (len(columns) - 1)
    if sum(least) > room:
        return None
    while sum(widths) > room:
        widest = max((index for index in range(len(widths)) if widths[index] > least[index]), key=widths.__getitem__)
        widths[widest] -= 1
    return widths


def _lines(texts: Sequence[str]) -> Iterator[str]:
    for text in texts:
        yield from text.splitlines()
