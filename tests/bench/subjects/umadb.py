"""A peer: the event store ``umadb``, its server on its own folder, used through its client."""

import ctypes
import json
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import umadb
from umadb.umadb_server_cli import main as server_program

from deploy.local.account import Account
from deploy.local.ports import LOOPBACK, free_port, is_free
from deploy.local.server import READY_SECONDS, until
from tests.bench.library import LENT, TYPES, loans
from tests.bench.subject import COMPARED, Address, Conflict, Contender, InThreads, Loan

__all__ = ["Umadb", "contender"]

_EVENTS_AT_ONCE = 10_000
_STOP_SECONDS = 10
_PR_SET_PDEATHSIG = 1


class Umadb(InThreads):
    """The client, called from one thread per caller."""

    def __init__(self, url: str) -> None:
        super().__init__()
        self._client = umadb.Client(url)

    @classmethod
    async def open(cls, address: Address) -> "Umadb":
        """Open the client."""
        return cls(address.url)

    async def ping(self) -> None:
        """See ``Subject.ping``. Reading the head's position is the cheapest request."""
        self._client.head()

    async def query(self, boundary: Loan) -> Any:
        """See ``Subject.query``."""
        events, head = self._client.read(_query(boundary)).collect_with_head()
        for found in events:
            json.loads(found.event.data)
        return head

    async def append(self, loans: Sequence[Loan], boundary: Loan, after: Any) -> Any:
        """See ``Subject.append``."""
        try:
            return self._client.append([_event(LENT, loan) for loan in loans], _condition(boundary, after))
        except umadb.IntegrityError as error:
            raise Conflict from error

    async def scan(self) -> int:
        """See ``Subject.scan``."""
        return sum(1 for _ in self._client.read())

    async def close(self) -> None:
        """See ``Subject.close``."""
        self._client.close()


@contextmanager
def _serve() -> Iterator[Address]:
    port = free_port()
    with tempfile.TemporaryDirectory(dir=Account.for_servers().base(), prefix="umadb-") as folder:
        server = multiprocessing.get_context("spawn").Process(target=_run, args=(port, folder), daemon=True)
        server.start()
        try:
            until(lambda: not is_free(port), READY_SECONDS, "umadb to serve")
            yield Address(f"http://{LOOPBACK}:{port}", "")
        finally:
            server.terminate()
            server.join(_STOP_SECONDS)
            server.kill()
            server.join()


def _run(port: int, folder: str) -> None:
    """Run the server until the process that started it terminates it, or ends."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    with (Path(folder) / "log").open("wb") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
        sys.argv = ["umadb", "--listen", f"{LOOPBACK}:{port}", "--db-path", f"{folder}/events"]
        server_program()


async def _load(address: Address, size: int) -> None:
    client = umadb.Client(address.url)
    events = (_event(event_type, loan) for event_type, loan in loans(size))
    while batch := list(islice(events, _EVENTS_AT_ONCE)):
        client.append(batch)


def _event(event_type: str, loan: Loan) -> Any:
    data = json.dumps({"BookID": loan.book, "ReaderID": loan.reader}).encode()
    return umadb.Event(event_type, data, _tags(loan))


def _condition(boundary: Loan, after: Any) -> Any:
    return umadb.AppendCondition(_query(boundary), after)


def _query(boundary: Loan) -> Any:
    return umadb.Query([umadb.QueryItem(list(TYPES), [tag]) for tag in _tags(boundary)])


def _tags(loan: Loan) -> list[str]:
    return [f"BookID:{loan.book}", f"ReaderID:{loan.reader}"]


contender = Contender(
    serve=_serve,
    load=_load,
    open=Umadb.open,
    affordable=1_000_000,
    figures=COMPARED | {"select_1", "read_1000000_memory"},
)
