"""``worker check`` and ``worker db check``."""

import asyncio
from collections.abc import Sequence
from typing import Annotated

import typer

from worker.chosen_stores import chosen, domain_names
from worker.cli.database_inspection import inspect_database
from worker.cli.findings import Finding, report
from worker.cli.loop import run_async
from worker.cli.options import DomainOption, Json
from worker.errors import SettingsError
from worker.settings import Settings
from worker.stores import StoreSettings

__all__ = ["check", "check_database"]


def check(
    *,
    domain: Annotated[str | None, typer.Option(metavar="DOMAIN", help="Only this domain and its database.")] = None,
    followers: Annotated[
        bool,
        typer.Option(
            "--followers", help="Count it as an error if `worker follow` could not run; by default it is only noted."
        ),
    ] = False,
    json: Json = False,
) -> None:
    """Check the settings, the databases and the broker, and say how to correct what is wrong.

    Exit status 2 when a worker could not run as it should.
    """
    from worker.cli.inspection import inspect  # noqa: PLC0415  only this command needs domains and the broker

    settings = Settings.load(needs=())
    if domain is not None:
        domain_names(settings, domain)
    report(run_async(inspect(settings, domain, followers=followers)), json=json)


def check_database(*, domain: DomainOption = None, json: Json = False) -> None:
    """Show what is wrong with the database or soon will be, and how to correct it.

    Checks the schema, the role's rights, settings, indexes, the guard of the events, connections, poolers, and the lag
    of replicas. Where domains have databases of their own, each is checked. Changes nothing. Exit
    status 2 when something is wrong.
    """
    settings = Settings.load(needs=("database_url",))
    report(run_async(_inspect_each(settings, chosen(settings, domain))), json=json)


async def _inspect_each(settings: Settings, stores: Sequence[StoreSettings]) -> list[Finding]:
    try:
        every = chosen(settings, None)
    except SettingsError:  # of a domain that was not named
        every = tuple(stores)
    names = [f" of {', '.join(store.domains)}" if len(stores) > 1 else "" for store in stores]
    found = await asyncio.gather(
        *(
            inspect_database(store, stores=every, pool_size=settings.pool_size, name=name)
            for store, name in zip(stores, names, strict=True)
        )
    )
    return [finding for findings in found for finding in findings]
