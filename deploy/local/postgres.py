"""PostgreSQL servers: one primary and its streaming replicas."""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.guard import Guard
from deploy.local.ports import LOOPBACK, free_port, is_free
from deploy.local.server import Server, until

__all__ = ["ADMIN", "DATABASE", "WORKER", "Login", "PostgresServer", "make_cluster"]

DATABASE = "dynamic_streams"
ADMIN = "admin"
WORKER = "worker"
_ATTEMPTS = 5
_PROMOTE_SECONDS = 30

_CONFIGURATION = f"""
listen_addresses = '{LOOPBACK}'
unix_socket_directories = ''
max_connections = 300
shared_buffers = 256MB
fsync = on
synchronous_commit = on
wal_level = replica
hot_standby = on
max_wal_senders = 10
wal_keep_size = 512MB
max_wal_size = 4GB
wal_receiver_status_interval = 1s
wal_retrieve_retry_interval = 100ms
log_line_prefix = '%m [%p] %q%u@%d '
timezone = 'UTC'
log_timezone = 'UTC'
"""
_ACCESS = f"""
host all         all {LOOPBACK}/32 scram-sha-256
host replication all {LOOPBACK}/32 scram-sha-256
"""
_ROLES = """
SELECT 'CREATE ROLE {worker} LOGIN PASSWORD ' || quote_literal(:'password') \\gexec
CREATE ROLE eventstore_runtime NOLOGIN;
GRANT eventstore_runtime TO {worker};
CREATE DATABASE {database};
"""


@dataclass(frozen=True, slots=True)
class Login:
    """A role's name and password."""

    user: str
    password: str


class PostgresServer(Server):
    """A PostgreSQL server: a primary, or a standby that streams from one.

    Attributes:
        data: Its data folder.
        port: Its port on the loopback interface; the same after a restart.
        admin: The superuser's login.
        worker: The login of the role without special rights, a member of ``eventstore_runtime``.
    """

    def __init__(
        self,
        guard: Guard,
        name: str,
        *,
        programs: Path,
        admin: Login,
        worker: Login,
        upstream: "PostgresServer | None" = None,
    ) -> None:
        super().__init__(guard, name)
        self._programs = programs
        self._upstream = upstream
        self._settled = False
        self.admin = admin
        self.worker = worker
        self.data = guard.folder / name
        self.port = free_port()

    def url(self, login: Login, database: str = DATABASE) -> str:
        """Return the address of a database on this server for a login."""
        return f"postgresql://{login.user}:{login.password}@{LOOPBACK}:{self.port}/{database}"

    def start(self) -> None:
        """Start the server and wait until it answers queries. Does nothing while it runs.

        On its first start a port that another program took meanwhile is replaced by another; later it is kept, since
        others know it by then.

        Raises:
            StackError: It ended, or did not become ready in time.
        """
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                super().start()
            except StackError:
                if self._settled or is_free(self.port) or attempt == _ATTEMPTS:
                    raise
                self.port = free_port()
            else:
                self._settled = True
                return

    def stop(self) -> None:
        """Shut down in order, closing what connections there are (a *fast* shutdown), and wait until it is gone."""
        self._end(signal.SIGINT)

    def promote(self) -> None:
        """Make this standby a primary and wait until it takes writes. What it had not received is lost to it.

        Raises:
            StackError: It is no standby, or did not become a primary in time.
        """
        if self.query(f"SELECT pg_promote(true, {_PROMOTE_SECONDS})") != "t":
            raise StackError(f"The standby {self.name} could not be promoted: see {self.log}.")
        until(lambda: self.query("SELECT pg_is_in_recovery()") == "f", _PROMOTE_SECONDS, f"{self.name} to take writes")

    def query(self, sql: str, *, database: str = "postgres", **variables: str) -> str:
        """Run statements as the superuser and return the rows, without headings, as psql prints them.

        Args:
            sql: The statements. ``:'name'`` stands for a variable, quoted.
            database: Where to run them.
            variables: The variables.

        Raises:
            StackError: A statement failed, or the server is not reachable.
        """
        bound = [f"--set={name}={value}" for name, value in variables.items()]
        done = subprocess.run(
            [str(self._programs / "psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align", *bound],
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
            check=False,
        )
        if done.returncode or done.stderr:
            raise StackError(
                f"The server {self.name} refused a statement: {(done.stderr or 'no reason given').strip()}"
            )
        return done.stdout.strip()

    def _launch(self) -> int:
        self._configure()
        return self._guard.start(
            [str(self._programs / "postgres"), "-D", str(self.data)],
            log=self.log,
            # Immediate shutdown: unlike SIGKILL it leaves no shared memory behind.
            farewell=signal.SIGQUIT,
        )

    def _configure(self) -> None:
        settings = f"port = {self.port}\n"
        if self._upstream is not None:
            primary = (
                f"host={LOOPBACK} port={self._upstream.port} user={self.admin.user} password={self.admin.password}"
            )
            settings += f"primary_conninfo = '{primary} application_name={self.name}'\n"
        # initdb made the file for its owner only, and writing keeps that; the password in it is nobody else's business.
        (self.data / "postgresql.auto.conf").write_text(settings, encoding="utf-8")

    def _is_ready(self) -> bool:
        # The last line of postmaster.pid names the state; only a query would tell more, at the cost of a process each.
        lines = _lines(self.data / "postmaster.pid")
        return len(lines) > _STATUS_LINE and lines[0] == str(self._pid) and lines[_STATUS_LINE].strip() == "ready"


_STATUS_LINE = 7


def make_cluster(
    guard: Guard, *, programs: Path, admin: Login, worker: Login, replicas: int
) -> tuple[PostgresServer, tuple[PostgresServer, ...]]:
    """Make a primary and its replicas, start them, and create roles and the application database.

    The replicas begin as copies of the primary's data folder before its first start: they need no base backup, so all
    servers start at the same time.

    Raises:
        StackError: A program failed or a server did not start.
    """
    log = guard.folder / "initdb.log"
    password = guard.folder / "initdb.password"
    primary = PostgresServer(guard, "primary", programs=programs, admin=admin, worker=worker)
    password.touch(mode=0o600)
    password.write_text(admin.password, encoding="utf-8")
    _give(password, guard.folder)
    initdb = [str(programs / "initdb"), "--pgdata", str(primary.data), "--username", admin.user, "--no-instructions"]
    guard.run(
        [*initdb, "--auth=scram-sha-256", "--pwfile", str(password), "--encoding=UTF8", "--no-locale", "--no-sync"],
        log=log,
    )
    password.unlink()
    (primary.data / "pg_hba.conf").write_text(_ACCESS, encoding="utf-8")
    (primary.data / "postgresql.conf").write_text(_CONFIGURATION, encoding="utf-8")
    standbys = []
    for number in range(1, replicas + 1):
        standby = PostgresServer(
            guard, f"replica-{number}", programs=programs, admin=admin, worker=worker, upstream=primary
        )
        guard.run(["cp", "-a", str(primary.data), str(standby.data)], log=log)
        guard.run(["touch", str(standby.data / "standby.signal")], log=log)
        standbys.append(standby)
    primary.start()
    primary.query(_ROLES.format(worker=worker.user, database=DATABASE), password=worker.password)
    for standby in standbys:
        standby.start()
        until(
            lambda standby=standby: standby.query(f"SELECT 1 FROM pg_database WHERE datname = '{DATABASE}'") == "1",  # type: ignore[misc]  # a default argument binds the loop's variable
            READY_SECONDS,
            f"{standby.name} to follow",
        )
    return primary, tuple(standbys)


READY_SECONDS = 60.0


def _give(path: Path, like: Path) -> None:
    if os.geteuid() == 0:
        owner = like.stat()
        os.chown(path, owner.st_uid, owner.st_gid)


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
