"""``worker view NAME [KEY…]``."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any

import msgspec
import typer
from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic_core import to_json

from eventstore import Consistency, InvalidFilter, Position
from eventstore.counted import counted
from eventstore.postgres import PostgresEventStore
from handlers.complaint import complaint_of
from handlers.contained import Contained
from handlers.domain import Domain
from handlers.erasure.master_key import MasterKeys
from handlers.errors import HandlerCrashed, InvalidKey
from handlers.key import KeyParameter
from handlers.part import Part
from handlers.place import raised_at
from handlers.reader import Answer, Reader
from handlers.view import View
from worker.cli.loop import run_async
from worker.cli.options import Replica
from worker.cli.stores import check_replicas
from worker.cli.terminal import print_json, table, tell
from worker.event_filter import scalar
from worker.failures import Mistake, is_known
from worker.master_keys import check_master_keys, master_keys
from worker.owners import named, owner_of
from worker.reading_store import reading_store
from worker.served_domains import served_domains
from worker.settings import Settings
from worker.stores import StoreSettings, stores_of

__all__ = ["view"]


def view(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME", help="The view's name; without one, the views are listed.")
    ] = None,
    key: Annotated[list[str] | None, typer.Argument(metavar="KEY", help="The view's key, one value each.")] = None,
    *,
    domain: Annotated[
        str | None, typer.Option(metavar="DOMAIN", help="The view's domain, if several have a view of this name.")
    ] = None,
    min_position: Annotated[
        str | None,
        typer.Option(metavar="NUMBER:TOKEN", help="Wait until the answer includes this position, such as a reply's."),
    ] = None,
    replica: Replica = False,
    json: Annotated[bool, typer.Option("--json", help="Print JSON, with the position.")] = False,
) -> None:
    """Show the current state of a view at a key, folded from the events.

    Views are those of the domains that WORKER_DOMAINS names.
    """
    if name is None:
        _list(domain, json=json)
        return
    settings = Settings.load(needs=("database_url",))
    domains = served_domains(settings)
    owner = owner_of("view", name, named(domains, domain), _views)
    asked = owner.view(name)
    check_master_keys(settings, [owner])
    (store,) = stores_of(settings, [each.name for each in domains], only=owner.name)
    check_replicas(store, wanted=replica)
    least = _position(min_position)
    consistency = Consistency.EVENTUAL if replica else Consistency.STRONG
    try:
        with Contained():
            part = _part(owner, asked, key or ())
        answer = run_async(_ask(store, owner, part, least, consistency, master=master_keys(settings)))
    except HandlerCrashed as crash:
        raise _failed(name, crash) from crash
    except Exception as bug:  # any error of the view's functions
        if is_known(bug):
            raise
        raise _failed(name, bug) from bug
    state = _shown(name, answer.state)
    if json:
        print_json({"view": name, "key": part.key, "position": str(answer.position), "state": state})
    else:
        print_json(state)


def _list(domain: str | None, *, json: bool) -> None:
    """List the views with their keys."""
    asked = named(served_domains(Settings.load(needs=())), domain)
    if json:
        print_json(
            [
                {
                    "domain": each.name,
                    "view": one.name,
                    "version": one.version,
                    "key": [parameter.name for parameter in one.key],
                    "stored_every": one.stored_every,
                }
                for each in asked
                for one in each.views
            ]
        )
        return
    listing = table("domain", "view", "key", "version", "stored every")
    for each in asked:
        for one in each.views:
            key = " ".join(parameter.name.upper() for parameter in one.key)
            stored = "" if one.stored_every is None else counted(one.stored_every, "event")
            listing.add_row(each.name, one.name, key, str(one.version), stored)
    tell(listing if listing.row_count else "The domains of WORKER_DOMAINS have no views.")


def _failed(name: str, bug: Exception) -> Mistake:
    """Return the error that the view's own code raised, and where, for people."""
    line = raised_at(bug)
    where = "" if line is None else f" at {line[1]}"
    what = str(bug) if isinstance(bug, HandlerCrashed) else f"{type(bug).__name__}: {bug}"
    return Mistake(f"the view {name} fails{where}: {what}.")


def _shown(name: str, state: Any) -> msgspec.Raw:
    """Return a state as JSON."""
    try:
        with Contained():
            return msgspec.Raw(to_json(state, fallback=_plain, by_alias=True, inf_nan_mode="strings"))
    except Exception as bug:  # any error of a domain's class
        why = str(bug).removeprefix("Error serializing to JSON: ")
        raise Mistake(f"the state of the view {name} cannot be shown as JSON: {why}.") from bug


def _views(domain: Domain) -> list[str]:
    return sorted(each.name for each in domain.views)


def _part(owner: Domain, asked: View[..., Any], texts: Sequence[str]) -> Part[Any]:
    names = [parameter.name for parameter in asked.key]
    if len(texts) != len(names):
        form = " ".join(["worker", "view", asked.name, *(name.upper() for name in names)])
        has = f"has a key of {counted(len(names), 'value')}, not {len(texts)}" if names else "has no key"
        raise Mistake(f"the view {asked.name} {has}: {form}.")
    values = [_value(asked, parameter, text) for parameter, text in zip(asked.key, texts, strict=True)]
    guessed = [_is_guessed(parameter) for parameter in asked.key]
    try:
        part = asked.at(*values)
        if not any(guessed) or not (problems := list(owner.examination.problems_of(part))):
            return part
        # A value that looks like a number may be meant as text.
        as_texts = [
            text if is_guessed else value for text, value, is_guessed in zip(texts, values, guessed, strict=True)
        ]
        other = asked.at(*as_texts)
        if any(owner.examination.problems_of(other)):
            raise Mistake(f"{problems[0]}.")
    except (InvalidKey, InvalidFilter) as error:
        raise Mistake(f"{error}.") from None
    return other


def _is_guessed(parameter: KeyParameter) -> bool:
    return parameter.types is None or len(parameter.types) > 1


def _value(asked: View[..., Any], parameter: KeyParameter, text: str) -> Any:
    """Parse a value of the key: as the view declares it; if it does not, as JSON if that gives a scalar."""
    if parameter.types is None or _is_guessed(parameter):
        return scalar(f"{parameter.name} of the view {asked.name}", text)
    try:
        return TypeAdapter(parameter.annotation).validate_strings(text)
    except ValidationError as error:
        problem = complaint_of(error)
        raise Mistake(f"{parameter.name} of the view {asked.name} cannot be {text!r}: {problem}.") from None
    except PydanticSchemaGenerationError:
        kind = parameter.types[0].__name__
        raise Mistake(f"{parameter.name} of the view {asked.name} is a {kind}, which no text can be read as.") from None


def _position(text: str | None) -> Position | None:
    try:
        return None if text is None else Position.parse(text)
    except ValueError as error:
        raise Mistake(f"--min-position: {error}.") from None


async def _ask(
    addresses: StoreSettings,
    domain: Domain,
    part: Any,
    least: Position | None,
    consistency: Consistency,
    *,
    master: MasterKeys | None,
) -> Answer[Any]:
    opened = (
        PostgresEventStore.connect(
            addresses.database_url,
            driver=addresses.database_driver,
            schema=addresses.database_schema,
            replica_urls=addresses.database_replica_urls,
            pool_size=2,
            application_name="worker view",
        )
        if consistency is Consistency.EVENTUAL
        else reading_store(addresses, application_name="worker view", pool_size=2)
    )
    async with opened as store:
        reader = Reader(store, domain, master=master)
        try:
            return await reader.answer(part, min_position=least, consistency=consistency)
        finally:
            await reader.close()


def _plain(value: object) -> object:
    """Return a JSON form of what pydantic does not know: mappings and collections of other libraries."""
    if isinstance(value, Mapping):
        return dict(value)
    return list(value) if isinstance(value, Iterable) else repr(value)
