"""The table of a run: one line per fault as soon as it is known, and a file with all of them."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tests.faults.figures import HEADINGS, Figures

__all__ = ["Lines", "show"]

_WIDTH = 150


class Lines:
    """A pytest plugin that prints the figures of each fault test when it ends, and writes all figures to a file.

    Args:
        path: The file.

    Attributes:
        figures: The rows so far.
        memory: A worker's resident memory in kilobytes, by the number of commands.
    """

    def __init__(self, path: Path) -> None:
        self.figures: list[Figures] = []
        self.memory: dict[str, int] = {}
        self._path = path

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Collect the figures that a test recorded, whether or not it passed."""
        if report.when != "call":
            return
        for name, value in report.user_properties:
            match name, value:
                case "figures", dict():
                    self.figures.append(figures := Figures.from_json(value))
                    _tell(figures.sentence())
                case "memory", dict():
                    self.memory = value
                    _tell(", ".join(f"{kilobytes:,} kB after {count} commands" for count, kilobytes in value.items()))
        self._path.parent.mkdir(exist_ok=True)
        found = {"faults": [each.as_json() for each in self.figures], "memory_kilobytes": self.memory}
        self._path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


def _tell(text: str) -> None:
    Console(width=_WIDTH).print(f"\n{text}", highlight=False)


def show(figures: Sequence[Figures]) -> None:
    """Print the table."""
    table = Table(box=None, pad_edge=False)
    for heading in HEADINGS:
        table.add_column(heading, justify="left" if heading == HEADINGS[0] else "right")
    for each in figures:
        table.add_row(*each.cells())
    Console(width=_WIDTH).print(table)
