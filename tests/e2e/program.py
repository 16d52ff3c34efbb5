"""The project's programs, run as anybody runs them: as processes, with an environment, judged by what they print."""

import asyncio
import json
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.fork_server import Call, ForkServer, kept
from tests.support.fork_server import started as started_call

__all__ = ["ROOT", "Ended", "Worker", "ended", "kept", "said", "started"]

ROOT = Path(__file__).parents[2]
# Longer than anything here takes on a busy machine.
_SECONDS = 240.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """How a program ended.

    Attributes:
        status: Its exit status.
        output: What it printed on standard output.
        complaint: What it printed on standard error.
    """

    status: int
    output: str
    complaint: str

    def document(self) -> Any:
        """Return what it printed as JSON."""
        return json.loads(self.output)

    def mistake(self) -> str:
        """Return its one sentence on standard error, with status 2, and nothing else printed."""
        assert (self.status, self.output) == (2, ""), self
        assert self.complaint.startswith("worker: "), self
        assert self.complaint.endswith(".\n"), self
        assert self.complaint.count("\n") == 1, self
        return self.complaint.removeprefix("worker: ").removesuffix("\n")


class Worker:
    """The command ``worker``.

    Args:
        environment: Its settings.
        folder: Where it is called.
        fresh: Whether each call starts Python anew, whatever its environment.
    """

    def __init__(self, environment: Mapping[str, str], folder: Path = ROOT, *, fresh: bool = False) -> None:
        self.environment = {**kept(), **environment}
        self.folder = folder
        self.fresh = fresh

    def having(self, **settings: str) -> "Worker":
        """Return the same with other settings."""
        return Worker(self.environment | settings, self.folder, fresh=self.fresh)

    async def __call__(self, *arguments: str, stdin: str | bytes = b"", script: Path | None = None) -> Ended:
        """Run it to its end.

        Args:
            arguments: What follows ``worker`` on the command line.
            stdin: What it is given on standard input.
            script: Another way to start it than ``python -m worker``.
        """
        given = stdin if isinstance(stdin, bytes) else stdin.encode()
        call = self._call(arguments)
        fork_server = ForkServer.shared() if script is None and call.is_for_a_copy() else None
        if fork_server is not None:
            async with asyncio.timeout(_SECONDS):
                status, output, complaint = await fork_server.run(call, given)
            return Ended(status=status, output=output.decode(), complaint=complaint.decode())
        async with self.started(*arguments, script=script) as process:
            return await ended(process, given)

    @asynccontextmanager
    async def started(self, *arguments: str, script: Path | None = None) -> AsyncIterator[Process]:
        """Start it, and have it gone at the end of the ``async with``."""
        if script is not None:
            async with started(script, *arguments, environment=self.environment, folder=self.folder) as process:
                yield process
            return
        process = await started_call(self._call(arguments), stdin=PIPE, stdout=PIPE, stderr=PIPE)
        async with _gone(process):
            yield process

    def _call(self, arguments: Sequence[str]) -> Call:
        return Call(arguments=arguments, environment=self.environment, folder=str(self.folder), fresh=self.fresh)


@asynccontextmanager
async def started(*program: str | Path, environment: Mapping[str, str], folder: Path = ROOT) -> AsyncIterator[Process]:
    """Start a program, and have it gone at the end of the ``async with``."""
    process = await asyncio.create_subprocess_exec(
        *program,
        env=environment,
        cwd=folder,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        # A group of its own, as a shell gives it.
        start_new_session=True,
    )
    async with _gone(process):
        yield process


@asynccontextmanager
async def _gone(process: Process) -> AsyncIterator[None]:
    try:
        yield
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()


async def said(process: Process, words: bytes) -> None:
    """Wait until a program has said these words in a line of its log, whatever it has said before."""
    assert process.stderr is not None
    async with asyncio.timeout(_SECONDS):
        while words not in (line := await process.stderr.readline()):
            assert line, f"it has ended without a word of {words!r}"


async def ended(process: Process, stdin: bytes = b"", *, seconds: float = _SECONDS) -> Ended:
    """Wait until a program has ended."""
    async with asyncio.timeout(seconds):
        output, complaint = await process.communicate(stdin)
    assert process.returncode is not None
    return Ended(status=process.returncode, output=output.decode(), complaint=complaint.decode())
