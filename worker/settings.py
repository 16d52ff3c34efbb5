"""Settings: read from the environment, checked once at the start, and passed on as one value."""

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self, TypeAlias

from worker.credentials import Unreadable, file_variable, from_files, redacted
from worker.database_addresses import ADDRESS_FIELDS, DatabaseAddresses, check_postgres
from worker.domain_variables import own_variables, setting_of, suffixes
from worker.errors import SettingsError
from worker.misspelt import misspelt
from worker.setting import Setting, setting, settings_of
from worker.setting_checks import (
    FORMS,
    check_amqp,
    check_http,
    check_interval,
    check_keys,
    check_metrics_page,
    check_password,
    check_trace_page,
)

__all__ = ["IN_FILES", "DatabaseDriver", "LogFormat", "LogLevel", "Settings", "not_set", "told"]

DatabaseDriver: TypeAlias = Literal["asyncpg", "psycopg", "sqlalchemy"]
LogFormat: TypeAlias = Literal["auto", "json", "human"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
ReportedKeys: TypeAlias = Literal["hashed", "plain"]
TraceParent: TypeAlias = Literal["parent", "link"]

# A cluster mounts one Secret for all workers: an empty value means that there are no replicas.
_MAY_BE_EMPTY = frozenset({"database_replica_urls"})

# A year. No date or interval gets out of range with it.
_LONGEST_AGE = 365 * 24 * 3600.0
# The longest chain of appends that the store accepts.
_LARGEST_ROUND = 128


def not_set(name: str, *, field: str | None = None) -> str:
    """Return the sentence that a setting is missing, with an example of its value.

    Args:
        name: The setting's name.
        field: The field that it sets, if that has another name.
    """
    if _is_exported_by_file(name.upper()):
        return f"{name.upper()} is not set, and the file .env of this folder exports it: source .env."
    return f"{name.upper()} is not set; give it the form {FORMS[field or name]}, in each terminal."


def _is_exported_by_file(variable: str) -> bool:
    # As `worker new` creates it: a terminal that was opened later has not sourced it.
    try:
        lines = Path(".env").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return False
    return any(line.startswith(f"export {variable}=") for line in lines)


def told(name: str, problem: ValueError) -> str:
    """Return the sentence about what is wrong with a setting's value."""
    return f"{name.upper()}: {problem}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings(DatabaseAddresses):
    """All settings of the worker. The environment variable is the field's name in capitals.

    An empty variable counts as not set. ``described`` returns what each means, and which values are allowed.

    Raises:
        SettingsError: A value is not allowed; one sentence for each.
    """

    database_driver: DatabaseDriver = setting(
        "asyncpg",
        "The driver for the databases: `asyncpg`; `psycopg` or `sqlalchemy` (an engine over asyncpg), each installed "
        "by the extra of its name. Migrations and other commands that run as the owner use asyncpg.",
    )
    amqp_url: str = setting(
        "",
        "The RabbitMQ broker and virtual host.",
        check=check_amqp,
        secret=True,
    )
    rabbitmq_management_url: str = setting(
        "",
        "RabbitMQ's management interface: `worker check` reads policies and, with affinity, bindings from it, and "
        "`worker console` the queues' rates; nothing else uses it.",
        check=check_http,
        secret=True,
    )
    projections_url: str = setting(
        "",
        "The database in which `worker project` fills tables, and in which reactions and relays keep their "
        "checkpoints, with a role that is a member of eventstore_projections; by default the database of the events.",
        check=check_postgres,
        secret=True,
    )
    relay_source: str = setting(
        "",
        "The source of relayed events, a URI reference such as `urn:example:library`; by default `/` and the domain's "
        "name.",
    )
    worker_domains: str = setting(
        "",
        "The domains to serve, as module:attribute, separated by commas; `handlers.library:domain` is the example.",
    )
    worker_master_keys: tuple[str, ...] = setting(
        (),
        "The master keys, which wrap the keys of subjects if a domain has Sensitive fields: 32 bytes in base64 each, "
        "separated by commas. The first wraps new keys.",
        check=check_keys,
        secret=True,
    )
    worker_concurrency: int = setting(
        64,
        "The largest number of commands that one process decides and records together; prefetch and pool sizes derive "
        "from it.",
        unit="commands",
        least=1,
        most=_LARGEST_ROUND,
    )
    worker_cached_states: int = setting(
        10_000,
        "The number of view states that are cached for each domain: the next command that reads one fetches only "
        "newer events.",
        unit="states",
        least=0,
    )
    worker_cached_state_bytes: int = setting(
        64 * 1024 * 1024,
        "The approximate size of these states together, for each domain.",
        unit="bytes",
        least=0,
    )
    worker_most_parts: int = setting(
        128,
        "The largest number of parts, views at a key each, that one command may read.",
        unit="parts",
        least=1,
        most=1000,
    )
    worker_drain_deadline: float = setting(
        30.0,
        "The time for started commands to finish after SIGTERM.",
        unit="seconds",
        least=0,
    )
    worker_max_message_bytes: int = setting(
        1024 * 1024,
        "A larger body is dead-lettered unread.",
        unit="bytes",
        least=1,
    )
    worker_max_json_depth: int = setting(
        64,
        "A body nested more deeply is dead-lettered unread.",
        unit="levels",
        least=1,
        most=500,
    )
    worker_max_age: float = setting(
        600.0,
        "The time after its first failure in which a command is retried, at least as often as would fit into a tenth "
        "of it; then it is dead-lettered.",
        unit="seconds",
        above=0,
        most=_LONGEST_AGE,
    )
    worker_retry_delay: float = setting(
        5.0,
        "The delay of a command in the retry queue.",
        unit="seconds",
        above=0,
        most=60,
    )
    worker_conflict_attempts: int = setting(
        3,
        "The number of attempts that a command may lose to others; the next one takes the store's lock first, and "
        "cannot lose.",
        unit="attempts",
        least=1,
        most=100,
    )
    worker_handler_timeout: float = setting(
        60.0,
        "The time from a command's delivery to its answer, over all of its attempts, after which it is sent to the "
        "retry queue. Time in which the database is down is not counted.",
        unit="seconds",
        above=0,
        most=600,
    )
    worker_reply_timeout: float = setting(
        5.0,
        "The time for sending a reply; a reply that fails has no other effect.",
        unit="seconds",
        above=0,
    )
    worker_health_port: int | None = setting(
        None,
        "The port that answers `/livez` and `/readyz` over HTTP; by default none.",
        kind=int,
        least=1,
        most=65535,
    )
    worker_health_host: str = setting(
        "127.0.0.1",
        "The address of this port; `0.0.0.0` for probes from outside, as Kubernetes sends them.",
    )
    worker_health_grace: float = setting(
        60.0,
        "The time that a queue may have no consumer, for example while the broker restarts, before the worker is no "
        "longer live.",
        unit="seconds",
        least=0,
    )
    worker_trace_parent: TraceParent = setting(
        "parent",
        "Whether processing is a child of the publisher's span (`parent`), or a separate trace with a link to it "
        "(`link`).",
    )
    worker_trace_url: str = setting(
        "",
        "The page of a trace, for `worker status` and `worker console`: `http://localhost:16686/trace/{trace_id}` in "
        "Jaeger.",
        check=check_trace_page,
    )
    worker_metrics_url: str = setting(
        "",
        "The page of metrics, for `worker check`: `http://localhost:9090` in Prometheus.",
        check=check_metrics_page,
    )
    worker_log_format: LogFormat = setting(
        "auto",
        "The format of the log of `worker run`: `json`, one object a line; `human`, to read; `auto`, `human` on a "
        "terminal and otherwise `json`.",
    )
    worker_log_level: LogLevel = setting(
        "info",
        "The lowest level that is logged: `debug`, `info`, `warning` or `error`.",
    )
    worker_report_interval: float = setting(
        2.0,
        "The interval at which a worker reports to `worker console`; 0 for never.",
        unit="seconds",
        check=check_interval,
    )
    worker_report_keys: ReportedKeys = setting(
        "hashed",
        "The form of the keys of the hottest parts in these reports: `hashed`, or `plain` if all users of the console "
        "may see them.",
    )
    worker_console_password: str = setting(
        "",
        "The password that `worker console` asks a browser for; without it, the console answers this machine alone.",
        check=check_password,
        secret=True,
    )
    # The variables for single domains, as they are set. This field has no variable of its own.
    domain_databases: Mapping[str, str] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        problems = []
        for name, its in self.described().items():
            try:
                its.see(getattr(self, name))
            except ValueError as problem:
                problems.append(told(name, problem))
        if problems:
            raise SettingsError("\n".join(problems))

    @classmethod
    def described(cls) -> dict[str, Setting]:
        """Return the description of each setting that has a variable of its own, by its field's name."""
        return settings_of(cls)

    @classmethod
    def load(cls, *, needs: Collection[str] = ("database_url", "amqp_url")) -> Self:
        """Read and check the environment variables, and the files that they name.

        Args:
            needs: The settings that must be set, by field name: addresses, and perhaps ``worker_domains``.

        Raises:
            SettingsError: A value is missing or wrong; one sentence for each.
        """
        named = own_variables(os.environ)
        own = {name: value for name, value in named.items() if value}
        known = cls.variables() | {
            setting_of(name, suffix).upper() for name in ADDRESS_FIELDS for suffix in suffixes(own)
        }
        # Variables for single domains are compared with the served domains when these are known.
        if problems := [
            f"{name} is no setting (did you mean {near}?); correct it, or unset it."
            for name, near in misspelt(os.environ.keys() - named.keys(), known)
        ]:
            raise SettingsError("\n".join(problems))
        try:
            in_files = from_files(os.environ, IN_FILES, optional=_MAY_BE_EMPTY)
        except Unreadable as error:
            raise SettingsError(str(error)) from None
        given: dict[str, Any] = {}
        for name, its in cls.described().items():
            if text := in_files.get(name, os.environ.get(name.upper(), "")):
                try:
                    given[name] = its.read(text)
                except ValueError as problem:
                    problems.append(told(name, problem))
        if problems:
            raise SettingsError("\n".join(problems))
        settings = cls(**given, domain_databases=own)
        # A database may be set for each domain alone; which of them must be set is checked with their stores.
        missing = [name for name in needs if not getattr(settings, name) and not (own and name in ADDRESS_FIELDS)]
        if missing:
            raise SettingsError("\n".join(not_set(name) for name in missing))
        return settings

    @classmethod
    def variables(cls) -> frozenset[str]:
        """Return the names of all environment variables that are read, except those for single domains."""
        return frozenset(name.upper() for name in cls.described()) | frozenset(map(file_variable, IN_FILES))

    @property
    def prefetch(self) -> int:
        """The most unsettled deliveries of a consumer: for a round that is being recorded, and the next one."""
        return 2 * self.worker_concurrency

    @property
    def pool_size(self) -> int:
        """The most connections that a process opens to each database server."""
        return min(max(4, self.worker_concurrency // 6), 16)

    def origin(self, name: str) -> str:
        """Return where a field's value comes from: ``environment``, ``default``, or the file's path."""
        if name in IN_FILES and (path := os.environ.get(file_variable(name))):
            return f"file {path}"
        return "environment" if os.environ.get(name.upper()) else "default"

    def redacted(self) -> dict[str, Any]:
        """Return every setting by its environment variable's name, with passwords replaced."""
        return {
            name.upper(): _shown(value) if its.secret or name.endswith("_url") else value
            for name, its in self.described().items()
            for value in (getattr(self, name),)
        }


IN_FILES = (
    *ADDRESS_FIELDS,
    *(name for name, its in Settings.described().items() if its.secret and name not in ADDRESS_FIELDS),
)
"""The settings that are addresses of stores, or hold passwords or keys: each can also be given by a file.

The variable ``<VARIABLE>_FILE`` names the file.
"""


def _shown(value: str | tuple[str, ...]) -> str:
    texts = (value,) if isinstance(value, str) else value
    return ",".join(redacted(text) if "://" in text else "***" for text in texts if text)
