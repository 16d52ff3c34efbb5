"""A domain of accounts: an event may lie in the part of another account, which its command does not read."""

from dataclasses import dataclass, replace
from typing import Any

from eventstore import Filter, P
from handlers import Accepted, Command, Decider, Decision, Domain, DomainEvent, Rejected, View


class Deposit(Command):
    account: str
    amount: int


class Transfer(Command):
    source: str
    target: str
    amount: int


class Close(Command):
    accounts: tuple[str, ...]


class Moved(DomainEvent):
    source: str
    target: str
    amount: int


class Closed(DomainEvent):
    accounts: tuple[str, ...]


@dataclass(frozen=True)
class Account:
    name: str
    balance: int = 0


def account_events(name: str) -> Filter:
    return Filter.matching().any_event_type_of("Moved").and_any_predicate_of(P("source", name), P("target", name))


def after_move(state: Account, event: DomainEvent) -> Account:
    assert isinstance(event, Moved)
    change = event.amount * ((event.target == state.name) - (event.source == state.name))
    return replace(state, balance=state.balance + change)


account = View(name="account", events=account_events, initial=Account, evolve=after_move)


def decide_deposit(command: Deposit, _: Account) -> Decision:
    return Accepted(events=(Moved(source="cash", target=command.account, amount=command.amount),))


def decide_transfer(command: Transfer, source: Account) -> Decision:
    if source.balance < command.amount:
        return Rejected(reason=f"{source.name} has {source.balance}")
    return Accepted(events=(Moved(source=command.source, target=command.target, amount=command.amount),))


def decide_close(command: Close, accounts: Any) -> Decision:
    left = {name: state.balance for name, state in accounts.items() if state.balance}
    return Rejected(reason=f"left: {left}") if left else Accepted(events=(Closed(accounts=command.accounts),))


bank = Domain(
    name="bank",
    views=(account,),
    deciders=(
        Decider(command=Deposit, parts=lambda command: account.at(command.account), decide=decide_deposit),
        Decider(command=Transfer, parts=lambda command: account.at(command.source), decide=decide_transfer),
        Decider(command=Close, parts=lambda command: account.at_each(command.accounts), decide=decide_close),
    ),
    events=(Moved, Closed),
)
