from uuid import UUID

from eventstore import Receipt
from eventstore.postgres import PostgresEventStore
from handlers import Command
from handlers.library import domain
from worker import Publisher, Reply


class Commands:
    def __init__(self, publisher: Publisher, store: PostgresEventStore, *, seconds: float) -> None:
        self._publisher = publisher
        self._store = store
        self._seconds = seconds

    async def send(self, command: Command, command_id: UUID) -> Reply:
        """Send a command and wait for its answer. The same id takes effect once, however often it is sent."""
        return await self._publisher.request(
            domain.name, type(command).__name__, command, command_id=command_id, timeout=self._seconds
        )

    async def receipt(self, command_id: UUID) -> Receipt | None:
        """Look up what became of a command. None proves nothing: it may still be decided."""
        return await self._store.receipt(command_id, scope=domain.name)
