"""A PostgreSQL cluster: a primary with its roles and database, and the replicas that stream from it."""

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from deploy.local.ports import LOOPBACK
from deploy.local.postgres import DATABASE, Login, PostgresServer
from deploy.local.reaper_client import ReaperClient
from deploy.local.server import READY_SECONDS, until

__all__ = ["Cluster", "start_cluster"]

_SETTINGS = f"""\
listen_addresses = '{LOOPBACK}'
unix_socket_directories = ''
max_connections = 300
shared_buffers = 256MB
fsync = on
synchronous_commit = on
wal_level = replica
hot_standby = on
# What a query on a replica still sees, no vacuum takes away: it is neither cancelled, nor does it hold up the replay.
hot_standby_feedback = on
max_wal_size = 4GB
# A replica that a test stops for a while finds all it missed.
wal_keep_size = 1GB
wal_retrieve_retry_interval = 100ms
log_line_prefix = '%m [%p] %q%u@%d '
timezone = 'UTC'
log_timezone = 'UTC'
"""
# From PostgreSQL 18 on; see deploy/postgres/postgresql.conf. Earlier ones refuse to start with it.
_READS_ITSELF = "io_method = sync\n"
_READS_ITSELF_SINCE = 18
_ACCESS = f"""\
host all         all {LOOPBACK}/32 scram-sha-256
host replication all {LOOPBACK}/32 scram-sha-256
"""
# Passwords here are long and random. Thousands of rounds, which make others hard to guess, would be most of what each
# connection costs; PostgreSQL before 16 knows no other number.
_CONTENT = """
SELECT set_config('scram_iterations', '1', false) WHERE current_setting('server_version_num')::int >= 160000
\\g /dev/null
ALTER ROLE :"admin" PASSWORD :'admin_password';
CREATE ROLE :"worker" LOGIN PASSWORD :'password';
CREATE ROLE eventstore_runtime NOLOGIN;
CREATE ROLE eventstore_projections NOLOGIN;
GRANT eventstore_runtime, eventstore_projections TO :"worker";
CREATE DATABASE :"name";
"""


@dataclass(frozen=True, slots=True)
class Cluster:
    """A primary and its replicas.

    Attributes:
        primary: The server that takes writes.
        replicas: Those that follow it.
    """

    primary: PostgresServer
    replicas: tuple[PostgresServer, ...]


def start_cluster(reaper: ReaperClient, *, programs: Path, admin: Login, worker: Login, replicas: int) -> Cluster:
    """Make a cluster in the state folder and start it; when it returns, the replicas have all that the primary has.

    A replica begins as a copy of the primary's data folder from before its first start, and needs no base backup.

    Args:
        reaper: Starts the servers.
        programs: The folder of PostgreSQL's programs; the servers' account can read it.
        admin: The superuser to create.
        worker: The role without special rights to create, a member of ``eventstore_runtime``.
        replicas: How many replicas.

    Raises:
        StackError: A program failed, or a server did not start.
    """
    primary = PostgresServer(reaper, "primary", programs=programs, admin=admin, worker=worker)
    _initialise(reaper, programs, primary)
    standbys = [
        PostgresServer(reaper, f"replica-{number}", programs=programs, admin=admin, worker=worker, upstream=primary)
        for number in range(1, replicas + 1)
    ]
    for standby in standbys:
        reaper.run(["cp", "-a", str(primary.data), str(standby.data)], log=standby.log)
        reaper.write(standby.data / "standby.signal", "")
    primary.start()
    primary.query(
        _CONTENT,
        admin=admin.user,
        admin_password=admin.password,
        worker=worker.user,
        password=worker.password,
        name=DATABASE,
    )
    for standby in standbys:
        standby.start()
        until(partial(_has_content, standby), READY_SECONDS, f"the server {standby.name} to follow the primary")
    return Cluster(primary, tuple(standbys))


def _initialise(reaper: ReaperClient, programs: Path, primary: PostgresServer) -> None:
    password = reaper.folder / "password"
    reaper.write(password, primary.admin.password)
    initdb = [str(programs / "initdb"), "--pgdata", str(primary.data), "--username", primary.admin.user]
    reaper.run(
        # Not synced: should the machine crash before the first checkpoint, the stack is gone anyway.
        [*initdb, "--pwfile", str(password), "--auth=scram-sha-256", "--encoding=UTF8", "--no-locale", "--no-sync"],
        log=primary.log,
    )
    password.unlink()
    version = int((primary.data / "PG_VERSION").read_text(encoding="ascii").partition(".")[0])
    settings = _SETTINGS + _READS_ITSELF if version >= _READS_ITSELF_SINCE else _SETTINGS
    reaper.write(primary.data / "postgresql.conf", settings)
    reaper.write(primary.data / "pg_hba.conf", _ACCESS)


def _has_content(standby: PostgresServer) -> bool:
    return standby.query("SELECT 1 FROM pg_database WHERE datname = :'name'", name=DATABASE) == "1"
