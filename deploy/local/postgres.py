"""A PostgreSQL server of the stack."""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.reaper_client import ReaperClient
from deploy.local.server import Server, until

__all__ = ["DATABASE", "Login", "PostgresServer"]

DATABASE = "dynamic_streams"
_PROMOTE_SECONDS = 30
_STATUS_LINE = 7  # of postmaster.pid, counted from 0; the first line is the process id


@dataclass(frozen=True, slots=True)
class Login:
    """A role's name and password."""

    user: str
    password: str


class PostgresServer(Server):
    """A PostgreSQL server: a primary, or a standby that streams from one.

    Attributes:
        data: Its data folder, which must have been filled before it starts.
        port: Its port on the loopback interface; the same after a restart.
        admin: The superuser's login.
        worker: The login of the role without special rights, a member of ``eventstore_runtime``.
    """

    port: int

    def __init__(
        self,
        reaper: ReaperClient,
        name: str,
        *,
        programs: Path,
        admin: Login,
        worker: Login,
        upstream: "PostgresServer | None" = None,
    ) -> None:
        super().__init__(reaper, name)
        self._programs = programs
        self._upstream = upstream
        self.admin = admin
        self.worker = worker
        self.data = reaper.folder / name

    def url(self, login: Login, database: str = DATABASE) -> str:
        """Return the address of a database on this server for a login."""
        return f"postgresql://{login.user}:{login.password}@{LOOPBACK}:{self.port}/{database}"

    def stop(self) -> None:
        """Shut down in order, closing what connections there are (a *fast* shutdown), and wait until it is gone."""
        self._end(signal.SIGINT)

    def promote(self) -> None:
        """Make this standby a primary and wait until it takes writes. What it had not received is lost to it.

        Raises:
            StackError: It is no standby, or did not become a primary in time.
        """
        self.query(f"SELECT pg_promote(true, {_PROMOTE_SECONDS})")
        until(lambda: self.query("SELECT pg_is_in_recovery()") == "f", _PROMOTE_SECONDS, f"{self.name} to take writes")

    def query(self, sql: str, *, database: str = "postgres", **variables: str) -> str:
        """Run statements as the superuser and return their rows, without headings, as psql prints them.

        Args:
            sql: The statements. ``:'name'`` stands for a variable as a quoted literal, ``:"name"`` as an identifier.
            database: Where to run them.
            variables: The variables.

        Raises:
            StackError: A statement failed, which ends the rest, or the server is not reachable.
        """
        bound = [f"--set={name}={value}" for name, value in variables.items()]
        options = ["--no-psqlrc", "--quiet", "--tuples-only", "--no-align", "--set=ON_ERROR_STOP=1", *bound]
        done = subprocess.run(
            [str(self._programs / "psql"), *options],
            input=sql,
            env={
                "PATH": os.defpath,
                "PGHOST": LOOPBACK,
                "PGPORT": str(self.port),
                "PGUSER": self.admin.user,
                "PGPASSWORD": self.admin.password,
                "PGDATABASE": database,
                "PGCONNECT_TIMEOUT": "5",
                "PGOPTIONS": "-c client_min_messages=warning",
            },
            capture_output=True,
            text=True,
            encoding="utf-8",
            check=False,
        )
        if done.returncode:
            reason = done.stderr.strip() or f"psql ended with status {done.returncode}"
            raise StackError(f"The server {self.name} refused a statement: {reason}")
        return done.stdout.strip()

    def _choose_ports(self) -> None:
        self.port = free_port()

    def _ports(self) -> tuple[int, ...]:
        return (self.port,)

    def _launch(self) -> int:
        settings = f"port = {self.port}\n"
        if self._upstream is not None:
            login, port = self._upstream.admin, self._upstream.port
            upstream = f"host={LOOPBACK} port={port} user={login.user} password={login.password}"
            settings += f"primary_conninfo = '{upstream} application_name={self.name}'\n"
        self._reaper.write(self.data / "postgresql.auto.conf", settings)
        return self._reaper.start(
            [str(self._programs / "postgres"), "-D", str(self.data)],
            log=self.log,
            farewell=signal.SIGQUIT,  # immediate shutdown: unlike SIGKILL it leaves no shared memory behind
        )

    def _is_ready(self) -> bool:
        # The server notes its state in this file; a query would tell no more, at the cost of a process each time.
        try:
            lines = (self.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()
        except OSError:
            return False
        return len(lines) > _STATUS_LINE and lines[0] == str(self._pid) and lines[_STATUS_LINE].strip() == "ready"
