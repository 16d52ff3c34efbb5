"""The report: a worker process's message about itself, without any content of commands."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

import msgspec

__all__ = ["MOST_BYTES", "REPORT_TYPE", "DomainReport", "PartReport", "Report", "encode", "hashed", "read_report"]

REPORT_TYPE = "worker-report"
"""The ``type`` of the message."""
MOST_BYTES = 64 * 1024
"""The largest size of a report, in bytes. A larger message is no report."""

_MOST_TEXT = 300
_MOST_DOMAINS = 200
_MOST_PARTS = 10
_MOST_COUNTERS = 100
_MOST_BUCKETS = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class DomainReport:
    """A domain that the process serves.

    Attributes:
        name: The domain's name.
        shards: Number of queues over which its commands are spread; None for one queue.
        paused: Whether it is paused because its database does not answer.
    """

    name: str
    shards: int | None = None
    paused: bool = False

    def __post_init__(self) -> None:
        _check_text("a domain's name", self.name)


@dataclass(frozen=True, slots=True, kw_only=True)
class PartReport:
    """A part that many commands read since the previous report.

    Attributes:
        domain: The domain's name.
        view: The view's name.
        key: The part's key, as a JSON array, or a hash of that.
        hashed: Whether ``key`` is a hash.
        commands: How many commands read it.
        conflicts: How many decisions on it conflicted when they were recorded.
    """

    domain: str
    view: str
    key: str
    hashed: bool
    commands: int
    conflicts: int

    def __post_init__(self) -> None:
        _check_text("a part", self.domain, self.view, self.key)
        _check_counts(self.commands, self.conflicts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The state of a worker process. All numbers except those of the parts count from its start.

    Attributes:
        worker: Id of the process, a new one after each start.
        host: The host's name.
        pid: Its process id on that host.
        version: The program's version.
        started_at: When it started, by its own clock.
        interval: Seconds until the next report.
        ready: Whether it takes commands now.
        state: Why it does or does not, for people.
        ended: Whether it is the last report: the process has stopped regularly.
        domains: The domains that it serves.
        counters: Its counts, by name.
        bounds: The upper bounds of the buckets of ``latency``, in seconds.
        latency: Number of commands by the time from delivery to answer; the last is for those above all bounds.
        seconds: Length of the period in which the parts were counted.
        parts: The hottest parts, at most ten.

    Raises:
        ValueError: A value is not allowed in a report.
    """

    worker: str
    host: str
    pid: int
    version: str
    started_at: datetime
    interval: float
    ready: bool
    state: str
    ended: bool = False
    domains: tuple[DomainReport, ...]
    counters: Mapping[str, int]
    bounds: tuple[float, ...]
    latency: tuple[int, ...]
    seconds: float
    parts: tuple[PartReport, ...] = ()

    def __post_init__(self) -> None:
        _check_text("a text", self.worker, self.host, self.version, self.state, *self.counters)
        _check_counts(*self.counters.values(), *self.latency)
        too_many = (
            len(self.domains) > _MOST_DOMAINS
            or len(self.parts) > _MOST_PARTS
            or len(self.counters) > _MOST_COUNTERS
            or len(self.bounds) > _MOST_BUCKETS
        )
        if too_many:
            raise ValueError("it lists more than a report does")
        if len(self.latency) != len(self.bounds) + 1 or list(self.bounds) != sorted(set(self.bounds)):
            raise ValueError("its histogram has no ascending bounds, or not one bucket more than bounds")
        if not self.interval > 0 or not self.seconds > 0:
            raise ValueError("its times are not greater than 0")
        if self.started_at.tzinfo is None:
            raise ValueError("its start has no time zone")


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(Report)


def encode(report: Report) -> bytes:
    """Encode a report as a message's body."""
    return _encoder.encode(report)


def read_report(body: bytes) -> Report:
    """Parse a message's body. Fields of later versions are ignored.

    Raises:
        ValueError: It is no report.
    """
    if len(body) > MOST_BYTES:
        raise ValueError(f"it is larger than {MOST_BYTES // 1024} KiB")
    return _decoder.decode(body)


def hashed(key: str) -> str:
    """Return a hash that replaces a key: the same text for the same key, in every process.

    A person who guesses the key can compare it. The hash keeps names off the screen, but is no secret.
    """
    return hashlib.blake2b(key.encode(), digest_size=6, person=b"part key").hexdigest()


def _check_text(what: str, *texts: str) -> None:
    if any(not text or len(text) > _MOST_TEXT for text in texts):
        raise ValueError(f"{what} is empty or longer than {_MOST_TEXT} characters")


def _check_counts(*counts: int) -> None:
    if any(count < 0 for count in counts):
        raise ValueError("a count is negative")
