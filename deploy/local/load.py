"""``make load SCENARIO=hot-book``: a load scenario with servers and workers of its own."""

import asyncio
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from urllib.parse import urlsplit

from rich.console import Console

from deploy.local.errors import StackError
from deploy.local.servers import Servers, servers
from eventstore.postgres import migrate
from eventstore.postgres.administration.administrator import administrator
from worker.cli.app import app
from worker.failures import telling
from worker.settings import Settings
from worker.stores import stores_of
from worker.telemetry.library_loggers import quieten_libraries

_WORKERS = "2"
# The scenario that wants two stores, the domain that gets the second, and what that is called.
_TWO_STORES, _OWN_STORE, _SECOND = "two-domains", "WAREHOUSE", "two_domains"
_DOMAINS = "handlers.library:domain,handlers.warehouse:domain"


def main(arguments: list[str]) -> None:
    """Bring servers, run ``worker load run`` on them with two workers, and exit as it does.

    Servers that environment variables name are used, and migrated; a local stack vanishes with all that was in it. For
    *two-domains*, it gives the warehouse a database of its own. The domains are those of WORKER_DOMAINS, or else all
    that come with the program.

    Args:
        arguments: Those of ``worker load run``; its ``--start-workers`` overrides the two.
    """
    # As Ctrl-C, which the loop's runner turns into a cancellation: an exception could come up anywhere in the loop.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    quieten_libraries()
    console = Console(stderr=True, highlight=False)
    try:
        with telling("load"), ExitStack() as stack:
            with console.status("Starting PostgreSQL, a replica, and RabbitMQ"):
                found = stack.enter_context(servers())
            console.print(f"Servers: {found.origin}.")
            os.environ.update(found.environment())
            os.environ.setdefault("WORKER_DOMAINS", _DOMAINS)
            asyncio.run(_prepare(found, arguments))
            app(["load", "run", "--start-workers", _WORKERS, *arguments], prog_name="worker")
    except StackError as error:
        print(f"load: {error}", file=sys.stderr)
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(130)


async def _prepare(found: Servers, arguments: Sequence[str]) -> None:
    """Migrate every database that is named; make one more, of servers that vanish, for a scenario that wants two."""
    if found.throwaway and _TWO_STORES in {argument.replace("_", "-") for argument in arguments}:
        for name, url in (await _second_database(found.addresses)).items():
            os.environ.setdefault(f"{name}_{_OWN_STORE}", url)
    for store in stores_of(Settings.load(), by="database_admin_url"):
        await migrate(store.database_admin_url)


async def _second_database(addresses: Mapping[str, str]) -> dict[str, str]:
    """Make another database on the same servers, and return its addresses by the variables of the first one."""
    async with administrator(addresses["DATABASE_ADMIN_URL"], purpose="load") as connection:
        await connection.execute(f'CREATE DATABASE "{_SECOND}"')
    return {
        name: ",".join(urlsplit(url)._replace(path=f"/{_SECOND}").geturl() for url in addresses[name].split(","))
        for name in ("DATABASE_URL", "DATABASE_REPLICA_URLS", "DATABASE_ADMIN_URL")
        if addresses.get(name)
    }


if __name__ == "__main__":
    main(sys.argv[1:])
