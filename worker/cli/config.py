"""``worker config``."""

from typing import Annotated

import typer

from worker.cli.options import Json
from worker.cli.terminal import print_json, table, tell
from worker.database_addresses import ADDRESS_FIELDS
from worker.own_settings import own_settings
from worker.settings import Settings

__all__ = ["config"]


def config(
    *,
    domain: Annotated[
        str | None, typer.Option(metavar="DOMAIN", help="Show the database's settings as they hold for this domain.")
    ] = None,
    json: Json = False,
) -> None:
    """Print every setting: its value without secrets, unit, origin and meaning.

    Those for a single domain follow those for all.
    """
    settings = Settings.load(needs=())
    shown = settings.redacted()
    own = own_settings(settings, _names(settings, domain), only=domain)
    # A domain's own settings replace all of those for all domains.
    hidden = ADDRESS_FIELDS if domain is not None and own else ()
    rows = [
        {
            "name": name.upper(),
            "value": shown[name.upper()],
            "unit": its.unit,
            "origin": settings.origin(name),
            "meaning": its.meaning,
        }
        for name, its in Settings.described().items()
        if name not in hidden
    ]
    rows += [
        {"name": each.name, "value": each.value, "unit": "", "origin": each.origin, "meaning": each.meaning}
        for each in own
    ]
    if json:
        print_json(rows)
        return
    listing = table("setting", "value", "unit", "origin", "meaning")
    for row in rows:
        listing.add_row(*(_text(cell) for cell in row.values()))
    tell(listing)


def _names(settings: Settings, domain: str | None) -> list[str]:
    if domain is None and not settings.domain_databases:
        return []
    from handlers.errors import HandlerError  # noqa: PLC0415  most calls need no domain
    from worker.chosen_stores import domain_names  # noqa: PLC0415  as above

    try:
        return domain_names(settings, domain)
    except HandlerError:  # the settings are shown even if a domain cannot be imported
        if domain is not None:
            raise
        return []


def _text(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return "-" if value in (None, "", ()) else str(value)
