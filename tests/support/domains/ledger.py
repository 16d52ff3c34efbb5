"""A domain whose projections show whether an event took effect twice, not at all, or out of order.

``LEDGER_VERSION`` in the environment is the version of its projection.
"""

import os
from collections.abc import Iterable
from datetime import datetime

from pydantic import Field

from eventstore import Filter
from handlers import (
    Accepted,
    Change,
    Command,
    Decider,
    Decision,
    Domain,
    DomainEvent,
    Part,
    Projected,
    Projection,
    Statement,
    Table,
    View,
)


class Book(Command):
    """Book an amount."""

    account: str = Field(alias="Account")


class Booked(DomainEvent):
    account: str = Field(alias="Account")
    amount: int = Field(alias="Amount", default=1)


class Closed(DomainEvent):
    account: str = Field(alias="Account")


EVENTS = Filter.matching().any_event_type_of("Booked", "Closed")

entries = Table("entries", columns={"number": int, "account": str, "at": datetime}, key=("number",))
accounts = Table("accounts", columns={"account": str, "last": int, "note": str | None}, key=("account",))
# Written last: once it is there, the others are too.
totals = Table("totals", columns={"account": str, "total": int}, key=("account",))
wider = Table("accounts", columns={"account": str, "note": str | None, "last": int, "first": int}, key=("account",))


def changes(seen: Projected[DomainEvent]) -> Iterable[Change]:
    match seen.event:
        case Booked(account=account, amount=amount):
            if amount < 0:
                raise ValueError(f"{account} cannot go below nothing")
            yielded: list[Change] = [
                entries.insert(number=seen.number, account=account, at=seen.occurred_at),
                accounts.upsert(account=account, last=seen.number),
                # Not idempotent: an event that takes effect twice is added twice.
                Statement(
                    "INSERT INTO totals AS t VALUES ($1, $2) ON CONFLICT (account) DO UPDATE SET total = t.total + $2",
                    (account, amount),
                    touches=(totals,),
                ),
            ]
            return yielded
        case Closed(account=account):
            return [accounts.delete(account=account)]
        case _:
            return []


def wider_changes(seen: Projected[DomainEvent]) -> Change | None:
    match seen.event:
        case Booked(account=account):
            return wider.upsert(account=account, note="wider", last=seen.number, first=1)
        case Closed(account=account):
            return wider.delete(account=account)
        case _:
            return None


def counts(seen: Projected[DomainEvent]) -> Change:
    return entry_numbers.insert(number=seen.number)


entry_numbers = Table("entry_numbers", columns={"number": int})

balances = Projection(name="balances", events=EVENTS, tables=(entries, accounts, totals), changes=changes)
others = Projection(name="others", events=EVENTS, tables=(entry_numbers,), changes=counts)


def ledger(*projections: Projection) -> Domain:
    """The domain with these projections."""
    return Domain(
        name="ledger",
        views=(view,),
        deciders=(Decider(command=Book, parts=parts, decide=decide),),
        events=(Booked, Closed),
        projections=projections,
    )


def parts(_: Book) -> Part[int]:
    return view.at()


def decide(command: Book, _: int) -> Decision:
    return Accepted(events=(Booked(account=command.account),))


def events() -> Filter:
    return EVENTS


def evolve(state: int, _: DomainEvent) -> int:
    return state + 1


view = View(name="booked", events=events, initial=lambda: 0, evolve=evolve)


def balances_of(version: int) -> Projection:
    """The projection in a version; from the second on, one of its tables has other columns, and two are removed."""
    if version == 1:
        return balances
    return Projection(name="balances", events=EVENTS, tables=(wider,), changes=wider_changes, version=version)


domain = ledger(balances_of(int(os.environ.get("LEDGER_VERSION", "1"))), others)
