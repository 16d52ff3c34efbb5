"""Settings: read from the environment, checked once at the start, and handed on as one value."""

import os
import re
from collections.abc import Collection
from typing import Any, Literal, Self, TypeAlias
from urllib.parse import SplitResult, urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from worker.credentials import Unreadable, file_variable, from_files, redacted
from worker.errors import SettingsError
from worker.misspelt import misspelt

__all__ = ["IN_FILES", "LogFormat", "LogLevel", "Settings"]

LogFormat: TypeAlias = Literal["auto", "json", "human"]
LogLevel: TypeAlias = Literal["debug", "info", "warning", "error"]

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


class Settings(BaseModel):
    """Everything that can be set from outside. The environment variable is the field's name in capitals.

    A variable that is empty counts as not set.
    Each field's description says what it means, and ``json_schema_extra["unit"]`` in which unit.
    """

    model_config = ConfigDict(frozen=True, hide_input_in_errors=True, allow_inf_nan=False)

    database_url: str = Field(
        default="", repr=False, description="The primary database, as the role that may read and append."
    )
    database_replica_urls: tuple[str, ...] = Field(
        default=(),
        repr=False,
        description="Replicas for first reads, separated by commas; without any, the primary.",
    )
    database_admin_url: str = Field(
        default="",
        repr=False,
        description="The primary database, as the role that owns the schema; for migrations.",
    )
    amqp_url: str = Field(default="", repr=False, description="The RabbitMQ broker and virtual host.")
    rabbitmq_management_url: str = Field(
        default="",
        repr=False,
        description="RabbitMQ's management interface, by which `worker check` sees policies; nothing else uses it.",
    )
    worker_domains: str = Field(
        default="",
        description="The domains to serve, as module:attribute, separated by commas; `handlers.library:domain` is the "
        "example.",
    )
    worker_concurrency: int = Field(
        default=64,
        ge=1,
        le=_LARGEST_ROUND,
        description="Commands that one process decides and records together at most; prefetch and pool sizes derive "
        "from it.",
        json_schema_extra={"unit": "commands"},
    )
    worker_cached_states: int = Field(
        default=10_000,
        ge=0,
        description="States of views kept for each domain: the next command that reads one reads only what is new.",
        json_schema_extra={"unit": "states"},
    )
    worker_cached_state_bytes: int = Field(
        default=64 * 1024 * 1024,
        ge=0,
        description="About how many bytes these may have together, for each domain.",
        json_schema_extra={"unit": "bytes"},
    )
    worker_most_parts: int = Field(
        default=128,
        ge=1,
        le=1000,
        description="How many views, each at its key, one command may read.",
        json_schema_extra={"unit": "parts"},
    )
    worker_drain_deadline: float = Field(
        default=30.0,
        ge=0,
        description="How long started commands may take to finish after SIGTERM.",
        json_schema_extra={"unit": "seconds"},
    )
    worker_max_message_bytes: int = Field(
        default=1024 * 1024,
        ge=1,
        description="A larger body is dead-lettered unread.",
        json_schema_extra={"unit": "bytes"},
    )
    worker_max_json_depth: int = Field(
        default=64,
        ge=1,
        le=500,
        description="A body nested more deeply is dead-lettered unread.",
        json_schema_extra={"unit": "levels"},
    )
    worker_max_age: float = Field(
        default=600.0,
        gt=0,
        le=_LONGEST_AGE,
        description="For how long after its first failure a command is retried before it is dead-lettered.",
        json_schema_extra={"unit": "seconds"},
    )
    worker_retry_delay: float = Field(
        default=5.0,
        gt=0,
        le=60,
        description="How long a command rests in the retry queue.",
        json_schema_extra={"unit": "seconds"},
    )
    worker_conflict_attempts: int = Field(
        default=3,
        ge=1,
        le=100,
        description="How often a command may lose to others before it takes the store's lock first, and cannot lose.",
        json_schema_extra={"unit": "attempts"},
    )
    worker_handler_timeout: float = Field(
        default=60.0,
        gt=0,
        le=600,
        description="How long a command may take from its delivery to its answer, over all of its attempts, before it "
        "is sent to the retry queue. Time in which the database does not serve is not counted.",
        json_schema_extra={"unit": "seconds"},
    )
    worker_reply_timeout: float = Field(
        default=5.0,
        gt=0,
        description="How long the worker tries to send a reply; a reply that fails changes nothing else.",
        json_schema_extra={"unit": "seconds"},
    )
    worker_health_port: int | None = Field(
        default=None,
        ge=1,
        le=65535,
        description="The port that answers `/livez` and `/readyz` over HTTP; without one, nobody listens.",
    )
    worker_health_host: str = Field(
        default="127.0.0.1",
        description="The address that this port is opened on; `0.0.0.0` for probes from outside, as Kubernetes sends.",
    )
    worker_health_grace: float = Field(
        default=60.0,
        ge=0,
        description="For how long a queue may go without its consumer, as while the broker restarts, before the worker "
        "is not live any more.",
        json_schema_extra={"unit": "seconds"},
    )
    worker_trace_parent: Literal["parent", "link"] = Field(
        default="parent",
        description="Whether processing is a child of the publisher's span, or a trace of its own with a link.",
    )
    worker_trace_url: str = Field(
        default="",
        description="Where a person opens a trace, for `worker status`: `http://localhost:16686/trace/{trace_id}` in "
        "Jaeger.",
    )
    worker_log_format: LogFormat = Field(
        default="auto",
        description="How `worker run` logs: `json`, one object a line; `human`, to read; `auto`, `human` on a terminal "
        "and else `json`.",
    )
    worker_log_level: LogLevel = Field(
        default="info", description="What it logs at least: `debug`, `info`, `warning` or `error`."
    )

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
            given = {name: text for name in cls.model_fields if (text := os.environ.get(name.upper()))}
            settings = cls.model_validate({**given, **in_files})
        except Unreadable as error:
            raise SettingsError(str(error)) from None
        except ValidationError as error:
            raise SettingsError("\n".join(_sentence(problem) for problem in error.errors())) from None
        missing = [name for name in needs if not getattr(settings, name)]
        if missing:
            raise SettingsError(
                "\n".join(f"{name.upper()} is not set; give it the form {_EXAMPLES[name]}." for name in missing)
            )
        return settings

    @classmethod
    def variables(cls) -> frozenset[str]:
        """Return the environment variables that are read."""
        return frozenset(name.upper() for name in cls.model_fields) | frozenset(map(file_variable, IN_FILES))

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
        return "environment" if name in self.model_fields_set else "default"

    def redacted(self) -> dict[str, Any]:
        """Return every setting by its environment variable's name, with passwords replaced."""
        shown: dict[str, Any] = {}
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name.endswith("_url"):
                value = redacted(value)
            elif name.endswith("_urls"):
                value = ",".join(redacted(url) for url in value)
            shown[name.upper()] = value
        return shown

    @field_validator("database_replica_urls", mode="before")
    @classmethod
    def _split(cls, value: object) -> object:
        # A file may have a line for each.
        parts = re.split(r"[,\n]", value) if isinstance(value, str) else ()
        return tuple(part.strip() for part in parts if part.strip()) if isinstance(value, str) else value

    @field_validator("database_url", "database_admin_url")
    @classmethod
    def _postgres(cls, value: str) -> str:
        _check_url(value, _POSTGRES_SCHEMES, _EXAMPLES["database_url"])
        return value

    @field_validator("database_replica_urls")
    @classmethod
    def _postgres_each(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for url in value:
            if not url.startswith(tuple(f"{scheme}://" for scheme in _POSTGRES_SCHEMES)):
                raise ValueError(
                    f"each must have the form {_EXAMPLES['database_url']}, with one host; a comma separates them: "
                    "write it as %2C in a password"
                )
            _check_url(url, _POSTGRES_SCHEMES, _EXAMPLES["database_url"])
        return value

    @field_validator("amqp_url")
    @classmethod
    def _amqp(cls, value: str) -> str:
        if "\\" in value.partition("://")[2].partition("/")[0]:
            raise ValueError(_ESCAPES)
        return _check_port(value, _AMQP_SCHEMES, _EXAMPLES["amqp_url"])

    @field_validator("rabbitmq_management_url")
    @classmethod
    def _http(cls, value: str) -> str:
        return _check_port(value, _HTTP_SCHEMES, _EXAMPLES["rabbitmq_management_url"])

    @field_validator("worker_trace_url")
    @classmethod
    def _page(cls, value: str) -> str:
        if value and not (value.startswith(("http://", "https://")) and value.count("{trace_id}") == 1):
            raise ValueError("it must have the form http://localhost:16686/trace/{trace_id}, with {trace_id} as it is")
        return value


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


def _check_port(url: str, schemes: frozenset[str], example: str) -> str:
    parts = _check_url(url, schemes, example)
    try:
        parts.port  # noqa: B018  reading it checks it
    except ValueError:
        raise ValueError(f"its port is no number up to 65535; give it the form {example}") from None
    return url


def _sentence(problem: Any) -> str:
    name = ".".join(str(part) for part in problem["loc"] if isinstance(part, str)).upper()
    text = str(problem["msg"]).removeprefix("Value error, ").rstrip(".")
    return f"{name}: {text[:1].lower() + text[1:] if name else text}." if name else f"{text}."
