"""Parameters of database addresses, which other PostgreSQL clients read too, and what each means to this program."""

from collections.abc import Mapping
from difflib import get_close_matches

__all__ = ["CONNECT_SECONDS", "UNSUPPORTED", "complaint", "is_left_out"]

CONNECT_SECONDS = "connect_timeout"
"""The timeout in seconds for connecting to one server; the dialer reads it, not the driver."""

_READ = {
    *("host", "port", "dbname", "database", "user", "password", "passfile", "target_session_attrs"),
    *("sslmode", "sslcert", "sslkey", "sslrootcert", "sslcrl", "sslpassword", "sslnegotiation"),
    *("ssl_min_protocol_version", "ssl_max_protocol_version", "krbsrvname", "gsslib"),
    # The driver passes these to the server.
    *("application_name", "options"),
    CONNECT_SECONDS,
}

# Leaving these out weakens nothing: the connection is as secure and as correct without them.
_LEFT_OUT = {
    *("keepalives", "keepalives_idle", "keepalives_interval", "keepalives_count", "tcp_user_timeout"),
    *("fallback_application_name", "client_encoding", "load_balance_hosts", "gssdelegation", "sslcompression"),
    *("sslsni", "sslkeylogfile", "min_protocol_version", "max_protocol_version"),
}

UNSUPPORTED: Mapping[str, frozenset[str]] = {
    "channel_binding": frozenset({"prefer", "disable"}),
    "gssencmode": frozenset({"prefer", "disable"}),
    "sslcertmode": frozenset({"allow", "disable"}),
    "requiressl": frozenset({"0"}),
    "replication": frozenset({"false", "off", "no", "0"}),
    **dict.fromkeys(
        ("hostaddr", "require_auth", "requirepeer", "sslcrldir", "scram_client_key", "scram_server_key"),
        frozenset(),
    ),
}
"""Parameters that would weaken what the address asks for if they were left out, each with its harmless values."""


def complaint(name: str, value: str) -> str | None:
    """Return what is wrong with a parameter, or None. The message quotes no value that could be secret."""
    if name in UNSUPPORTED:
        harmless = UNSUPPORTED[name]
        if value in harmless:
            return None
        shown = f"{name}={value}" if harmless else name
        return f"it asks for {shown}, which this program does not support: remove it"
    if name in _READ or name in _LEFT_OUT:
        return None
    alike = get_close_matches(name, sorted(_READ), n=1)
    meant = f" (did you mean {alike[0]}?)" if alike else ""
    return (
        f"no parameter of an address is called {name!r}{meant}; a setting of the server goes into "
        "options=-c%20name=value, or is given to the role by ALTER ROLE"
    )


def is_left_out(name: str) -> bool:
    """Whether this program ignores a parameter that ``complaint`` accepts, because the driver does not know it."""
    return name in _LEFT_OUT or name in UNSUPPORTED
