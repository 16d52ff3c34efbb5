from collections.abc import Mapping
from dataclasses import dataclass

HOST = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost")


class SettingMissing(Exception):
    pass


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    database_url: str
    amqp_url: str
    replica_urls: tuple[str, ...] = ()
    host: str = HOST
    port: int = 8000
    # What browsers may call this program: a page of another site that gives its own name this address is refused.
    names: tuple[str, ...] = NAMES
    # How long a person waits for an answer, and for a read model, in seconds.
    answer_seconds: float = 5.0
    seen_seconds: float = 2.0

    @classmethod
    def load(cls, environment: Mapping[str, str]) -> "Settings":
        """Read the variables that the worker reads, and some of this program's own."""
        if missing := [name for name in ("DATABASE_URL", "AMQP_URL") if not environment.get(name)]:
            raise SettingMissing(f"set {' and '.join(missing)}, as for the worker")
        port = environment.get("LIBRARY_WEB_PORT", "8000")
        if not (port.isdecimal() and int(port) < 2**16):
            raise SettingMissing(f"LIBRARY_WEB_PORT is a port's number, not {port!r}")
        return cls(
            database_url=environment["DATABASE_URL"],
            amqp_url=environment["AMQP_URL"],
            replica_urls=_words(environment.get("DATABASE_REPLICA_URLS", "")),
            host=environment.get("LIBRARY_WEB_HOST") or HOST,
            port=int(port),
            names=_words(environment.get("LIBRARY_WEB_NAMES", "")) or NAMES,
        )


def _words(text: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip())
