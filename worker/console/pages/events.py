"""Events: the log of a subject, or of any filter, page by page."""

from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import urlencode

from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import Response

from eventstore import Filter, RecordedEvent
from worker.chosen_stores import chosen
from worker.console.attempt import attempt
from worker.console.console import Console
from worker.console.payloads import shown_fields
from worker.event_filter import selected
from worker.failures import Mistake
from worker.reading_store import reading_store
from worker.settings import Settings
from worker.stores import StoreSettings

__all__ = ["Events"]

_PAGE = 50
# Every number with fewer digits is a possible sequence number.
_MOST_DIGITS = 19


@dataclass(frozen=True, slots=True, kw_only=True)
class _Asked:
    """The query, as it was typed.

    Attributes:
        types: Event types, separated by white space or commas.
        where: Conditions, one a line.
        any: Whether one condition suffices; empty if all must hold.
        since: The earliest time.
        until: The latest time.
        domain: Name of the domain whose log is meant, if there are several logs.
        after: Show the first events above this number; empty for the last events.
        before: Show the last events below this number; empty for the last of all.
    """

    types: str = ""
    where: str = ""
    any: str = ""
    since: str = ""
    until: str = ""
    domain: str = ""
    after: str = ""
    before: str = ""

    @classmethod
    def of(cls, query: QueryParams) -> "_Asked":
        given = {name: "\n".join(query.getlist(name)).strip() for name in cls.__slots__}
        return cls(**given)

    def filter(self) -> Filter:
        try:
            return selected(
                self.types.replace(",", " ").split(),
                [line.strip() for line in self.where.splitlines() if line.strip()],
                any_condition=bool(self.any),
                since=self.since or None,
                until=self.until or None,
            )
        except Mistake as mistake:
            # The message names the options of the command line.
            raise Mistake(str(mistake).replace("--where", "The condition").replace("--", "")) from None

    def link(self, **place: int) -> str:
        """Return the address of another page of the same query."""
        given: dict[str, str | int] = {name: getattr(self, name) for name in self.__slots__}
        given |= {"after": "", "before": ""}
        given |= place
        return "/events?" + urlencode({name: value for name, value in given.items() if value != ""})


class Events:
    """The page ``/events``.

    Args:
        console: What the pages share.
    """

    def __init__(self, console: Console) -> None:
        self._console = console

    async def show(self, request: Request) -> Response:
        """Show the last events that match, or those around a number."""
        asked = _Asked.of(request.query_params)
        found = await attempt(self._found(asked))
        events = found.value or []
        has_older = bool(events) and (len(events) == _PAGE or bool(asked.after)) and events[0].sequence_number > 1
        has_newer = bool(events) and (bool(asked.before) or (bool(asked.after) and len(events) == _PAGE))
        return self._console.renderer.page(
            "events.html",
            asked=asked,
            trouble=found.trouble,
            rows=[(event, shown_fields(event.payload, domain=asked.domain or None)) for event in events],
            domains=_domains(self._console.settings),
            older=asked.link(before=events[0].sequence_number) if has_older else None,
            newer=asked.link(after=events[-1].sequence_number) if has_newer else None,
            oldest=asked.link(after=0),
            newest=asked.link(),
        )

    async def _found(self, asked: _Asked) -> Sequence[RecordedEvent]:
        boundary = asked.filter()
        after, before = _number("after", asked.after), _number("before", asked.before)
        async with reading_store(
            _store(self._console.settings, asked.domain), application_name="worker console"
        ) as store:
            if after is None:
                up_to = None if before is None else before - 1
                return (await store.latest(boundary, limit=_PAGE, up_to=up_to)).events
            events = []
            async for event in store.read(boundary.narrowed_above(after), batch_size=_PAGE):
                events.append(event)
                if len(events) == _PAGE:
                    break
            return events


def _store(settings: Settings, domain: str) -> StoreSettings:
    """Return the selected store.

    Raises:
        Mistake: There are several, and no domain is named; or the named domain does not exist.
    """
    # If all domains share one log, the domain does not matter.
    stores = chosen(settings, domain or None) if settings.domain_databases else chosen(settings, None)
    if len(stores) > 1:
        raise Mistake("There are several databases, each with a log of its own: choose a domain.")
    return stores[0]


def _domains(settings: Settings) -> list[str]:
    """Return the domains to choose from, if there are several databases."""
    if not settings.domain_databases:
        return []
    try:
        return sorted({name for store in chosen(settings, None) for name in store.domains})
    except Exception:  # noqa: BLE001  the reason is shown in place of the events
        return []


def _number(name: str, text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and len(text) < _MOST_DIGITS):
        raise Mistake(f"{name} is the number of an event: digits, and nothing else.")
    return int(text)
