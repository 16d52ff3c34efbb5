"""Register a reader."""

from pydantic import Field

from handlers.decider import Decider
from handlers.decision import Accepted, Decision, Unchanged
from handlers.library.contract import Contract, contract
from handlers.library.events import ReaderID, ReaderRegistered
from handlers.model import Command

__all__ = ["RegisterReader", "decider"]


class RegisterReader(Command):
    """From now on the reader may lend books. A reader whose contract was cancelled can register again."""

    reader_id: ReaderID = Field(alias="ReaderID")
    name: str = Field(alias="Name")


def _decide(command: RegisterReader, contract: Contract) -> Decision:
    if contract.valid:
        return Unchanged()
    return Accepted(events=(ReaderRegistered(reader_id=command.reader_id, name=command.name),))


decider = Decider(command=RegisterReader, parts=lambda command: contract.at(command.reader_id), decide=_decide)
