"""Register a reader."""

from pydantic import Field

from eventstore import Filter, P
from handlers.decider import Accepted, Command, Decider, Decision, DomainEvent, Unchanged
from handlers.library.events import ReaderContractCanceled, ReaderID, ReaderRegistered

__all__ = ["RegisterReader", "decider"]


class RegisterReader(Command):
    """From now on the reader may lend books. One whose contract was cancelled can register again."""

    reader_id: ReaderID = Field(alias="ReaderID")
    name: str = Field(alias="Name")


def _boundary(command: RegisterReader) -> Filter:
    return (
        Filter.matching()
        .any_event_type_of(ReaderRegistered.__name__, ReaderContractCanceled.__name__)
        .and_any_predicate_of(P("ReaderID", command.reader_id))
    )


def _is_registered(_: bool, event: DomainEvent) -> bool:  # noqa: FBT001  the state is a single truth
    return isinstance(event, ReaderRegistered)


def _decide(command: RegisterReader, registered: bool) -> Decision:  # noqa: FBT001  as above
    if registered:
        return Unchanged()
    return Accepted(events=(ReaderRegistered(reader_id=command.reader_id, name=command.name),))


decider = Decider(
    command=RegisterReader,
    boundary=_boundary,
    initial=lambda _: False,
    evolve=_is_registered,
    decide=_decide,
)
