"""``worker config``."""

from typing import Annotated

import typer

from worker.cli.terminal import print_json, table, tell
from worker.settings import Settings

__all__ = ["config"]


def config(*, json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Print every setting: its value without secrets, unit, origin and meaning."""
    settings = Settings.load(needs=())
    shown = settings.redacted()
    rows = [
        {
            "name": name.upper(),
            "value": shown[name.upper()],
            "unit": its.unit,
            "origin": settings.origin(name),
            "meaning": its.meaning,
        }
        for name, its in Settings.described().items()
    ]
    if json:
        print_json(rows)
        return
    listing = table("setting", "value", "unit", "origin", "meaning")
    for row in rows:
        listing.add_row(*(_text(cell) for cell in row.values()))
    tell(listing)


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "-" if value in ("", ()) else str(value)
