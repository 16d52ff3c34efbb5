"""PostgreSQL and RabbitMQ in Docker containers, for machines where the local stack cannot run.

This way has **no replica**: all reads go to the primary. ``compose.yaml`` is the full picture with Docker.
"""

import secrets
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from deploy.local.errors import StackError

__all__ = ["engine_answers", "started"]

_POSTGRES_IMAGE = "postgres:18.6-trixie"
_RABBITMQ_IMAGE = "rabbitmq:4.3.5-management"
_ANSWER_SECONDS = 10
_DATABASE = "dynamic_streams"


def engine_answers() -> bool:
    """Return whether a Docker engine can be used. A client alone is not one."""
    if shutil.which("docker") is None:
        return False
    try:
        done = subprocess.run(["docker", "info"], capture_output=True, timeout=_ANSWER_SECONDS, check=False)  # noqa: S607  found by PATH
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


@contextmanager
def started() -> Iterator[dict[str, str]]:
    """Start both containers, yield their addresses by environment variable, and remove them.

    Raises:
        StackError: testcontainers is not installed, or a container did not start.
    """
    try:
        # Only here: it is needed by few, and slow to import.
        from testcontainers.community.postgres import PostgresContainer  # noqa: PLC0415
        from testcontainers.core.container import DockerContainer  # noqa: PLC0415
        from testcontainers.core.wait_strategies import LogMessageWaitStrategy  # noqa: PLC0415
    except ImportError:
        raise StackError("The package testcontainers is not installed: run the command through make.") from None
    admin, worker = secrets.token_hex(16), secrets.token_hex(16)
    postgres = PostgresContainer(_POSTGRES_IMAGE, username="admin", password=admin, dbname=_DATABASE, driver=None)
    broker = (
        DockerContainer(_RABBITMQ_IMAGE)
        .with_env("RABBITMQ_DEFAULT_USER", "worker")
        .with_env("RABBITMQ_DEFAULT_PASS", worker)
        .with_exposed_ports(5672, 15672)
        .waiting_for(LogMessageWaitStrategy("Server startup complete"))
    )
    with postgres, broker:
        roles = (
            f"CREATE ROLE worker LOGIN PASSWORD '{worker}'; CREATE ROLE eventstore_runtime NOLOGIN;"
            "CREATE ROLE eventstore_projections NOLOGIN; GRANT eventstore_runtime, eventstore_projections TO worker;"
        )
        done = postgres.exec(["psql", "--username=admin", f"--dbname={_DATABASE}", f"--command={roles}"])
        if done.exit_code:
            raise StackError(
                f"The database container refused its roles: {done.output.decode(errors='replace').strip()}"
            )
        host, port = postgres.get_container_host_ip(), postgres.get_exposed_port(5432)
        broker_host = broker.get_container_host_ip()
        login = f"worker:{worker}@{broker_host}"
        yield {
            "DATABASE_URL": f"postgresql://worker:{worker}@{host}:{port}/{_DATABASE}",
            "DATABASE_ADMIN_URL": f"postgresql://admin:{admin}@{host}:{port}/{_DATABASE}",
            "AMQP_URL": f"amqp://{login}:{broker.get_exposed_port(5672)}/%2F",
            "RABBITMQ_MANAGEMENT_URL": f"http://{login}:{broker.get_exposed_port(15672)}",
        }
