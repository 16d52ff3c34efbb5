"""Settings: read from the environment, checked once at the start, and handed on as one value."""

import os
from collections.abc import Collection
from dataclasses import dataclass, fields
from typing import Any, Literal, Self, TypeAlias, get_args
from urllib.parse import SplitResult, urlsplit

from worker.credentials import Unreadable, file_variable, from_files, redacted
from worker.errors import SettingsError
from worker.misspelt import misspelt
from worker.setting import Setting, described, setting

__all__ = ["IN_FILES", "LogFormat", "LogLevel", "Settings"]

LogFormat: TypeAlias = Literal["auto", "json", "human"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]
TraceParent: TypeAlias = Literal["parent", "link"]

IN_FILES = ("database_url", "database_replica_urls", "database_admin_url", "amqp_url", "rabbitmq_management_url")
"""The settings that hold passwords: each can also be the content of a file, named by ``<VARIABLE>_FILE``."""

# A cluster mounts one Secret for all workers: with an empty value, there are no replicas.
_MAY_BE_EMPTY = frozenset({"database_replica_urls"})

_POSTGRES_SCHEMES = frozenset({"postgres", "postgresql"})
_AMQP_SCHEMES = frozenset({"amqp", "amqps"})
_HTTP_SCHEMES = frozenset({"http", "https"})
_EXAMPLES = {
    "database_url": "postgresql://user:password@host:5432/database",
    "database_replica_urls": "postgresql://user:password@host:5432/database,…",
    "database_admin_url": "postgresql://owner:password@host:5432/database",
    "amqp_url": "amqp://user:password@host:5672/vhost",
    "rabbitmq_management_url": "http://user:password@host:15672",
}
# A year. No date or interval comes out of range with it.
_LONGEST_AGE = 365 * 24 * 3600.0
# As many as a chain of the store may have.
_LARGEST_ROUND = 128


_ESCAPES = (
    "in user name and password, write / ? # @ [ ] and \\ as %2F, %3F, %23, %40, %5B, %5D and %5C, elsewhere @ as %40"
)


def _postgres(value: str) -> None:
    _check_url(value, _POSTGRES_SCHEMES, _EXAMPLES["database_url"])


def _postgres_each(value: tuple[str, ...]) -> None:
    for url in value:
        if not url.startswith(tuple(f"{scheme}://" for scheme in _POSTGRES_SCHEMES)):
            raise ValueError(
                f"each must have the form {_EXAMPLES['database_url']}, with one host; a comma separates them: "
                "write it as %2C in a password"
            )
        _check_url(url, _POSTGRES_SCHEMES, _EXAMPLES["database_url"])


def _amqp(value: str) -> None:
    if "\\" in value.partition("://")[2].partition("/")[0]:
        raise ValueError(_ESCAPES)
    _check_port(value, _AMQP_SCHEMES, _EXAMPLES["amqp_url"])


def _http(value: str) -> None:
    _check_port(value, _HTTP_SCHEMES, _EXAMPLES["rabbitmq_management_url"])


def _page(value: str) -> None:
    if value and not (value.startswith(("http://", "https://")) and value.count("{trace_id}") == 1):
        raise ValueError("it must have the form http://localhost:16686/trace/{trace_id}, with {trace_id} as it is")


def _check_url(url: str, schemes: frozenset[str], example: str) -> SplitResult:
    try:
        parts = urlsplit(url)
    except ValueError:  # its text would show what stands in the password's place
        raise ValueError(f"its host cannot be read; {_ESCAPES}; give it the form {example}") from None
    if url and parts.scheme not in schemes:
        raise ValueError(f"it must have the form {example}")
    # What is read here is read again by libraries, which differ: of two @ one takes the first, another the last.
    if ("@" not in parts.netloc and "@" in url) or parts.netloc.count("@") > 1 or "#" in url:
        raise ValueError(_ESCAPES)
    return parts


def _check_port(url: str, schemes: frozenset[str], example: str) -> None:
    parts = _check_url(url, schemes, example)
    try:
        parts.port  # noqa: B018  reading it checks it
    except ValueError:
        raise ValueError(f"its port is no number up to 65535; give it the form {example}") from None


def _sentence(name: str, problem: ValueError) -> str:
    return f"{name.upper()}: {problem}."


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set from outside. The environment variable is the field's name in capitals.

    A variable that is empty counts as not set. What each means, and what it may be, ``described`` returns.

    Raises:
        SettingsError: A value is not allowed; one sentence for each.
    """

    database_url: str = setting(
        "",
        "The primary database, as the role that may read and append.",
        check=_postgres,
        secret=True,
    )
    database_replica_urls: tuple[str, ...] = setting(
        (),
        "Replicas for first reads, separated by commas; without any, the primary.",
        check=_postgres_each,
        secret=True,
    )
    database_admin_url: str = setting(
        "",
        "The primary database, as the role that owns the schema; for migrations.",
        check=_postgres,
        secret=True,
    )
    amqp_url: str = setting(
        "",
        "The RabbitMQ broker and virtual host.",
        check=_amqp,
        secret=True,
    )
    rabbitmq_management_url: str = setting(
        "",
        "RabbitMQ's management interface, by which `worker check` sees policies and, with affinity, bindings; nothing "
        "else uses it.",
        check=_http,
        secret=True,
    )
    worker_domains: str = setting(
        "",
        "The domains to serve, as module:attribute, separated by commas; `handlers.library:domain` is the example.",
    )
    worker_concurrency: int = setting(
        64,
        "Commands that one process decides and records together at most; prefetch and pool sizes derive from it.",
        unit="commands",
        least=1,
        most=_LARGEST_ROUND,
    )
    worker_cached_states: int = setting(
        10_000,
        "States of views kept for each domain: the next command that reads one reads only what is new.",
        unit="states",
        least=0,
    )
    worker_cached_state_bytes: int = setting(
        64 * 1024 * 1024,
        "About how many bytes these may have together, for each domain.",
        unit="bytes",
        least=0,
    )
    worker_most_parts: int = setting(
        128,
        "How many views, each at its key, one command may read.",
        unit="parts",
        least=1,
        most=1000,
    )
    worker_drain_deadline: float = setting(
        30.0,
        "How long started commands may take to finish after SIGTERM.",
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
        "For how long after its first failure a command is retried before it is dead-lettered.",
        unit="seconds",
        above=0,
        most=_LONGEST_AGE,
    )
    worker_retry_delay: float = setting(
        5.0,
        "How long a command rests in the retry queue.",
        unit="seconds",
        above=0,
        most=60,
    )
    worker_conflict_attempts: int = setting(
        3,
        "How often a command may lose to others before it takes the store's lock first, and cannot lose.",
        unit="attempts",
        least=1,
        most=100,
    )
    worker_handler_timeout: float = setting(
        60.0,
        "How long a command may take from its delivery to its answer, over all of its attempts, before it is "
        "sent to the retry queue. Time in which the database does not serve is not counted.",
        unit="seconds",
        above=0,
        most=600,
    )
    worker_reply_timeout: float = setting(
        5.0,
        "How long the worker tries to send a reply; a reply that fails changes nothing else.",
        unit="seconds",
        above=0,
    )
    worker_health_port: int | None = setting(
        None,
        "The port that answers `/livez` and `/readyz` over HTTP; without one, nobody listens.",
        kind=int,
        least=1,
        most=65535,
    )
    worker_health_host: str = setting(
        "127.0.0.1",
        "The address that this port is opened on; `0.0.0.0` for probes from outside, as Kubernetes sends.",
    )
    worker_health_grace: float = setting(
        60.0,
        "For how long a queue may go without its consumer, as while the broker restarts, before the worker is"
        " not live any more.",
        unit="seconds",
        least=0,
    )
    worker_trace_parent: TraceParent = setting(
        "parent",
        "Whether processing is a child of the publisher's span, or a trace of its own with a link.",
        choices=get_args(TraceParent),
    )
    worker_trace_url: str = setting(
        "",
        "Where a person opens a trace, for `worker status`: `http://localhost:16686/trace/{trace_id}` in Jaeger.",
        check=_page,
    )
    worker_log_format: LogFormat = setting(
        "auto",
        "How `worker run` logs: `json`, one object a line; `human`, to read; `auto`, `human` on a terminal "
        "and else `json`.",
        choices=get_args(LogFormat),
    )
    worker_log_level: LogLevel = setting(
        "info",
        "What it logs at least: `debug`, `info`, `warning` or `error`.",
        choices=get_args(LogLevel),
    )

    def __post_init__(self) -> None:
        problems = []
        for name, its in self.described().items():
            try:
                its.see(getattr(self, name))
            except ValueError as problem:
                problems.append(_sentence(name, problem))
        if problems:
            raise SettingsError("\n".join(problems))

    @classmethod
    def described(cls) -> dict[str, Setting]:
        """Return what is known of each setting, by its field's name."""
        return {each.name: described(each) for each in fields(cls)}

    @classmethod
    def load(cls, *, needs: Collection[str] = ("database_url", "amqp_url")) -> Self:
        """Read and check the environment, and the files that it names.

        Args:
            needs: The addresses that the caller cannot do without, by field name.

        Raises:
            SettingsError: A value is missing or wrong; one sentence for each.
        """
        if problems := [
            f"{name} is no setting (did you mean {near}?); correct it, or unset it."
            for name, near in misspelt(os.environ, cls.variables())
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
                    problems.append(_sentence(name, problem))
        if problems:
            raise SettingsError("\n".join(problems))
        settings = cls(**given)
        missing = [name for name in needs if not getattr(settings, name)]
        if missing:
            raise SettingsError(
                "\n".join(f"{name.upper()} is not set; give it the form {_EXAMPLES[name]}." for name in missing)
            )
        return settings

    @classmethod
    def variables(cls) -> frozenset[str]:
        """Return the environment variables that are read."""
        return frozenset(name.upper() for name in cls.described()) | frozenset(map(file_variable, IN_FILES))

    @property
    def prefetch(self) -> int:
        """How many unsettled deliveries a consumer holds: a round that is being recorded, and the next one."""
        return 2 * self.worker_concurrency

    @property
    def pool_size(self) -> int:
        """How many connections a process opens to each database server at most."""
        return min(max(4, self.worker_concurrency // 6), 16)

    def origin(self, name: str) -> str:
        """Say where a field's value came from: ``environment``, ``default``, or which file."""
        if name in IN_FILES and (path := os.environ.get(file_variable(name))):
            return f"file {path}"
        return "environment" if os.environ.get(name.upper()) else "default"

    def redacted(self) -> dict[str, Any]:
        """Return every setting by its environment variable's name, with passwords replaced."""
        shown: dict[str, Any] = {}
        for name in self.described():
            value = getattr(self, name)
            if name.endswith("_url"):
                value = redacted(value)
            elif name.endswith("_urls"):
                value = ",".join(redacted(url) for url in value)
            shown[name.upper()] = value
        return shown
