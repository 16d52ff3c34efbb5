"""The local stack: a PostgreSQL primary, its streaming replicas, and RabbitMQ, started together and gone together."""

import secrets
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Self, TypeVar

from deploy.local.account import Account
from deploy.local.binaries import copy_postgres, epmd, postgres_folder, rabbitmq_server
from deploy.local.broker import RabbitServer
from deploy.local.cluster import Cluster, start_cluster
from deploy.local.errors import StackError
from deploy.local.ports import LOOPBACK
from deploy.local.postgres import Login, PostgresServer
from deploy.local.reaper_client import ReaperClient
from deploy.local.telemetry.watch import Watch

__all__ = ["LocalStack"]

_Part = TypeVar("_Part")


class LocalStack:
    """Servers of one owner, on free ports of the loopback interface, in one private folder.

    A context manager: entered, they serve; left, no process and no file of theirs is there any more. That also holds
    when this process is interrupted, terminated or killed, at any time. Several stacks can run side by side.

    Args:
        replicas: How many streaming replicas the primary gets.
        broker: Whether RabbitMQ is started too.
        watched: Whether Jaeger, the collector and Prometheus are started too, each where it is on the PATH.
        held: Descriptors that stay open until the last process is gone, however this one ends.
    """

    def __init__(
        self, *, replicas: int = 1, broker: bool = True, watched: bool = False, held: Sequence[int] = ()
    ) -> None:
        self._held = held
        self._replica_count = replicas
        self._with_broker = broker
        self._is_watched = watched
        self._watch: Watch | None = None
        self._reaper: ReaperClient | None = None
        self._cluster: Cluster | None = None
        self._broker: RabbitServer | None = None

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.stop()

    @staticmethod
    def check() -> None:
        """See whether this machine has what a stack needs; RabbitMQ is installed or fetched where it is missing.

        Raises:
            StackError: Something is missing; the text says what to do.
        """
        ReaperClient.check()
        Account.for_servers()
        postgres_folder()
        epmd(rabbitmq_server())

    def start(self) -> None:
        """Start all servers, at the same time, and wait until they serve; the replicas stream by then.

        Raises:
            StackError: A server could not be started, or the stack runs already. Nothing is left behind, as after any
                other exception, an interrupt among them.
        """
        if self._reaper is not None:
            raise StackError("This stack runs already: stop it first, or make another one.")
        account = Account.for_servers()
        programs = postgres_folder()
        try:
            self._reaper = reaper = ReaperClient(account, held=self._held)
            with ThreadPoolExecutor(3, thread_name_prefix="stack") as pool:
                try:
                    watch = Watch(reaper, copied=account.is_other) if self._is_watched else None
                    broker = pool.submit(
                        self._start_broker, reaper, metrics=watch is not None and watch.wants_metrics()
                    )
                    receivers = pool.submit(watch.start_receivers) if watch is not None else None
                    self._cluster = self._start_postgres(reaper, programs, copied=account.is_other)
                    broker.result()
                    if watch is not None and receivers is not None:
                        receivers.result()
                        watch.start_prometheus(self._scraped())
                        self._watch = watch
                except BaseException:
                    reaper.close()  # so that the other thread ends, too
                    raise
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all servers and remove their files, and wait until that is done. Does nothing when none run."""
        reaper, self._reaper = self._reaper, None
        self._cluster, self._broker, self._watch = None, None, None
        if reaper is not None:
            reaper.close()

    @property
    def folder(self) -> Path:
        """The state folder, with each server's data and log."""
        return self._running(self._reaper).folder

    @property
    def primary(self) -> PostgresServer:
        """The primary."""
        return self._running(self._cluster).primary

    @property
    def replicas(self) -> tuple[PostgresServer, ...]:
        """The streaming replicas."""
        return self._running(self._cluster).replicas

    @property
    def broker(self) -> RabbitServer:
        """The RabbitMQ server."""
        return self._running(self._broker)

    def environment(self) -> dict[str, str]:
        """Return the servers' addresses as the environment variables that the project's programs read."""
        primary = self.primary
        addresses = {
            "DATABASE_URL": primary.url(primary.worker),
            "DATABASE_REPLICA_URLS": ",".join(replica.url(replica.worker) for replica in self.replicas),
            "DATABASE_ADMIN_URL": primary.url(primary.admin),
        }
        if self._broker is not None:
            addresses |= {"AMQP_URL": self._broker.url, "RABBITMQ_MANAGEMENT_URL": self._broker.management_url}
        if self._watch is not None:
            addresses |= self._watch.variables()
        return addresses

    @property
    def notes(self) -> tuple[str, ...]:
        """What could not be started and is not needed, each a sentence."""
        return () if self._watch is None else tuple(self._watch.notes)

    def _start_broker(self, reaper: ReaperClient, *, metrics: bool) -> None:
        if self._with_broker:
            broker = RabbitServer(reaper, login=_login("worker"), metrics=metrics)
            broker.start()
            self._broker = broker

    def _scraped(self) -> dict[str, str]:
        """Return what serves metrics, by its name in ``deploy/prometheus``."""
        return {} if self._broker is None else {"rabbitmq:15692": f"{LOOPBACK}:{self._broker.metrics_port}"}

    def _start_postgres(self, reaper: ReaperClient, programs: Path, *, copied: bool) -> Cluster:
        if copied:
            # The wheel may lie in a folder that the servers' account may not enter.
            programs = copy_postgres(programs, reaper.folder / "programs")
        return start_cluster(
            reaper,
            programs=programs / "bin",
            admin=_login("admin"),
            worker=_login("worker"),
            replicas=self._replica_count,
        )

    @staticmethod
    def _running(part: _Part | None) -> _Part:
        if part is None:
            raise StackError("The local stack, or this server of it, does not run: start it first.")
        return part


def _login(user: str) -> Login:
    return Login(user, secrets.token_hex(16))
