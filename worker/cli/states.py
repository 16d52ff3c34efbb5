"""``worker db states list | drop``."""

from collections.abc import Sequence
from typing import Annotated

import typer
from rich.filesize import decimal

from eventstore.counted import counted
from eventstore.postgres import ViewStates, drop_states, list_states
from worker.chosen_stores import chosen
from worker.cli.administration import administering
from worker.cli.consent import agreed
from worker.cli.loop import run_async
from worker.cli.options import Json, Yes
from worker.cli.stores import in_turn
from worker.cli.terminal import print_json, table, tell
from worker.failures import Mistake
from worker.settings import Settings
from worker.stores import StoreSettings

__all__ = ["drop", "list_all"]

Domain = Annotated[str | None, typer.Option(help="Only states of this domain's views.")]
View = Annotated[str | None, typer.Option(help="Only states of views of this name.")]
# The largest value of PostgreSQL's integer.
_LAST_VERSION = 2**31 - 1
Version = Annotated[int | None, typer.Option(min=1, max=_LAST_VERSION, help="Only states of this version of the view.")]


def list_all(*, domain: Domain = None, view: View = None, version: Version = None, json: Json = False) -> None:
    """List the stored states in the database of DATABASE_ADMIN_URL, by domain, view and version. Changes nothing.

    Where domains have databases of their own, those of all are listed.
    """
    found = [each for _, states in _found(domain, view, version) for each in states]
    if json:
        print_json(found)
    elif found:
        _show(found)
    else:
        tell("No such states are stored." if _named(domain, view, version) else "No states are stored.")


def drop(
    *,
    domain: Domain = None,
    view: View = None,
    version: Version = None,
    everything: Annotated[bool, typer.Option("--all", help="The states of all views.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only count what would be dropped.")] = False,
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Drop stored states from the database of DATABASE_ADMIN_URL, after asking.

    Decisions do not change: stored states are a cache. The next worker that needs one reads the whole history of its
    part, and stores it again. Exit status 1 when the answer was no.
    """
    if everything == _named(domain, view, version):
        raise Mistake("say which states to drop: --domain or --view, or --all and none of these.")
    if version is not None and view is None:
        raise Mistake("--version belongs to a view: name it with --view.")
    by_store = _found(domain, view, version)
    found = [each for _, states in by_store for each in states]
    wanted = not dry_run and bool(found) and (yes or _agreed(found))
    dropped = 0
    for store, states in by_store if wanted else ():
        if states:
            with administering(store):
                doing = drop_states(
                    store.database_admin_url,
                    schema=store.database_schema,
                    domain=domain,
                    view=view,
                    version=version,
                )
                dropped += run_async(doing)
    if json:
        print_json({"found": found, "dropped": dropped, "dry_run": dry_run})
    elif not found:
        tell("No such states are stored.")
    elif dry_run:
        _show(found)
        tell()
        tell(f"{_described(found)} would be dropped.")
    else:
        tell(f"Dropped {counted(dropped, 'stored state')}." if wanted else "Nothing was dropped.")
    if found and not dry_run and not wanted:
        raise typer.Exit(1)


def _found(
    domain: str | None, view: str | None, version: int | None
) -> list[tuple[StoreSettings, Sequence[ViewStates]]]:
    """Return the states in each database: a domain may have left some where its events were before."""
    found: list[tuple[StoreSettings, Sequence[ViewStates]]] = []
    stores = chosen(Settings.load(needs=("database_admin_url",)), None, by="database_admin_url")
    for store in stores:
        with in_turn(store, stores, silent=True), administering(store):
            looking = list_states(
                store.database_admin_url, schema=store.database_schema, domain=domain, view=view, version=version
            )
            states = run_async(looking)
        found.append((store, states))
    return found


def _named(*wanted: object) -> bool:
    return any(each is not None for each in wanted)


def _agreed(found: Sequence[ViewStates]) -> bool:
    return agreed(
        f"{_described(found)} will be dropped. The next command that needs one reads its whole history.",
        "Drop them?",
        action="states are dropped",
        look="to count them",
    )


def _described(found: Sequence[ViewStates]) -> str:
    views = sorted({f"{each.domain}.{each.view}" for each in found})
    return f"{counted(sum(each.states for each in found), 'stored state')} of {', '.join(views)}"


def _show(found: Sequence[ViewStates]) -> None:
    listing = table("domain", "view", "version", "states", "size", "positions", "written last")
    for each in found:
        span = f"{each.lowest:,}" if each.lowest == each.highest else f"{each.lowest:,} to {each.highest:,}"
        size, moment = decimal(each.bytes), f"{each.written_at:%Y-%m-%d %H:%M} UTC"
        listing.add_row(each.domain, each.view, str(each.version), f"{each.states:,}", size, span, moment)
    tell(listing)
