"""Database addresses, checked before connecting: a mistake in an address must not look like a server that is down."""

import os
import re
import ssl
from dataclasses import dataclass
from typing import Self
from urllib.parse import SplitResult, parse_qs, quote, unquote, urlencode, urlsplit

from eventstore.errors import StoreMisconfigured
from eventstore.postgres.connections.address_parameters import CONNECT_SECONDS, UNSUPPORTED, complaint, is_left_out
from eventstore.postgres.connections.service_file import service_parameters
from eventstore.stream import ServerAddress

__all__ = ["Address"]

_SCHEMES = ("postgresql", "postgres")
_DEFAULT_PORT = 5432
_LAST_PORT = 65535
_DATABASE = ("dbname", "database")
# The driver also reads each of these from an environment variable, such as PGSSLROOTCERT.
_FILES = ("sslrootcert", "sslcrl", "sslcert", "sslkey")
# Characters with a special meaning in an address, as far as it is clear what was meant.
_ESCAPES = "write / ? # @ [ and ] in a password as %2F, %3F, %23, %40, %5B and %5D"
# asyncpg takes a percent sign that begins no escape as it is; psycopg raises an error that quotes the password.
_BARE_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
# Recent releases of Python 3.11 and above cannot parse several hosts if one of them is in brackets.
_IN_BRACKETS = "where [::1] is one of several hosts, name all of them as ?host=[::1],b&port=5432,5432"


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """A database address that is well-formed, and whose TLS files can be read.

    Attributes:
        url: The URL for the driver, without the parameters in ``left_out``. It may hold a password.
        servers: The hosts in the address, in order; empty if only the driver knows them, by its own default.
        seconds: The timeout in seconds for connecting to one host; None if the address has none.
        left_out: The parameters that other clients know and this program ignores.
    """

    url: str
    servers: tuple[ServerAddress, ...]
    seconds: float | None
    left_out: tuple[str, ...]

    @classmethod
    def of(cls, url: str) -> Self:
        """Parse and check an address. The driver checks the rest, some of it only when it connects.

        Raises:
            StoreMisconfigured: The address is not usable; the message gives the reason without the address, which may
                hold a password.
        """
        url = _BARE_PERCENT.sub("%25", url.strip())
        try:
            parts = urlsplit(url)
        except ValueError:  # the error's text may quote the password
            raise _unusable(f"its host cannot be read; {_ESCAPES}; {_IN_BRACKETS}") from None
        if parts.scheme not in _SCHEMES or not url.partition(":")[2].startswith("//"):
            raise _unusable("it does not begin with postgresql://")
        # With two @ the driver splits at the first one; it drops everything after a #. An @ in the path may follow the
        # password of a second address.
        if parts.netloc.count("@") > 1 or "#" in url or "@" in parts.path:
            raise _unusable(f"its password cannot be separated from its host; {_ESCAPES}, and elsewhere @ as %40")
        _check_text(url)
        given = _parameters(parts)
        _check_files(given)
        base = f"{parts.netloc}{_path(parts.path, given)}"
        left_out = tuple(sorted(name for name in given if is_left_out(name)))
        passed = {name: value for name, value in given.items() if name not in left_out and name != CONNECT_SECONDS}
        return cls(
            # psycopg does not accept a scheme in capitals.
            url=f"{parts.scheme}://{base}" + (f"?{urlencode(passed, quote_via=quote)}" if passed else ""),
            servers=_servers(parts.netloc.rpartition("@")[2], given),
            seconds=_seconds(given.get(CONNECT_SECONDS) or os.environ.get("PGCONNECT_TIMEOUT")),
            left_out=left_out,
        )


def _check_text(url: str) -> None:
    try:
        text = unquote(url, errors="strict")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise _unusable("its escapes with % must be UTF-8, and none of them %00")


def _parameters(parts: SplitResult) -> dict[str, str]:
    """Read the parameters in the address, and those of its service for what it leaves out."""
    query = parts.query
    try:
        given = {name: values[-1] for name, values in parse_qs(query, strict_parsing=True).items()} if query else {}
    except ValueError:
        raise _unusable(f"its parameters are not pairs of name=value, joined by &; {_ESCAPES}") from None
    file = given.pop("servicefile", None)
    if service := given.pop("service", "") or os.environ.get("PGSERVICE"):
        before = {
            *(("host", "port") if parts.netloc.rpartition("@")[2] else ()),
            *(("user",) if parts.username else ()),
            *(("password",) if parts.password else ()),
            *(_DATABASE if parts.path.strip("/") or given.keys() & _DATABASE else ()),
        }
        found = service_parameters(service, file)
        given = {name: value for name, value in found.items() if name not in before} | given
    for name, value in given.items():
        if (reason := complaint(name, value)) is not None:
            raise _unusable(reason)
    for name in UNSUPPORTED:
        variable = f"PG{name.replace('_', '').upper()}"
        if (told := os.environ.get(variable)) and (reason := complaint(name, told)) is not None:
            raise _unusable(f"{variable} is set: {reason}")
    return given


def _path(path: str, given: dict[str, str]) -> str:
    """Return the path that names the database; as a parameter beside an empty path, asyncpg ignores its name."""
    names = {given.pop(name) for name in _DATABASE if name in given}
    if not names:
        return path
    if path.strip("/"):
        names.add(unquote(path.removeprefix("/")))
    if len(names) > 1:
        raise _unusable("it names two databases, of which drivers choose differently: name one")
    return "/" + quote(names.pop(), safe="")


def _servers(netloc: str, given: dict[str, str]) -> tuple[ServerAddress, ...]:
    """Find the hosts in the driver's order: in the address, in its parameters, or in PGHOST."""
    hosts, ports = netloc, os.environ.get("PGPORT", "")
    if not hosts:
        hosts, ports = given.get("host") or os.environ.get("PGHOST", ""), given.get("port") or ports
    if not hosts:
        return ()
    names = hosts.split(",")
    defaults = ports.split(",") if ports else [str(_DEFAULT_PORT)]
    if len(defaults) == 1:
        defaults *= len(names)
    if len(defaults) != len(names):
        raise _unusable("its ports and hosts differ in number")
    return tuple(_server(name, default) for name, default in zip(names, defaults, strict=True))


def _server(text: str, default: str) -> ServerAddress:
    host, port = text, default
    if not text.startswith("/"):  # not the folder of a socket
        name, colon, given = text.rpartition(":") if ":" in text.rpartition("]")[2] else (text, "", "")
        host, port = name.removeprefix("[").removesuffix("]"), given if colon and given else default
    if not host:
        raise _unusable("a host is missing")
    if not (port.isdecimal() and port.isascii() and 0 < int(port) <= _LAST_PORT):
        # Not quoted: if a password has an unescaped slash, a part of it stands in place of the port.
        raise _unusable(f"its port is not a number up to {_LAST_PORT}; {_ESCAPES}")
    try:
        host.encode("idna")
    except UnicodeError:
        raise _unusable("a part of a host's name, between dots, is missing or longer than 63 characters") from None
    return ServerAddress(host=unquote(host), port=int(port))


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        seconds = int(text)
    except ValueError:
        raise _unusable(f"its {CONNECT_SECONDS} is not a whole number of seconds") from None
    # As in other clients: 0 or less means no timeout, and 1 second is too short for a distant server.
    return float(max(seconds, 2)) if seconds > 0 else None


def _check_files(given: dict[str, str]) -> None:
    files = {name: given.get(name) or os.environ.get(f"PG{name.upper()}") for name in _FILES}
    for name, path in files.items():
        if path is None:
            continue
        try:
            with open(path, "rb"):  # noqa: PTH123  the path is the driver's, not ours
                pass
        except OSError as error:
            raise _unusable(f"the file of {name}, {path}, cannot be read: {error.strerror}") from None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    for name in ("sslrootcert", "sslcrl"):
        if (path := files[name]) is not None:
            try:
                context.load_verify_locations(cafile=path)
            except ssl.SSLError:
                raise _unusable(f"the file of {name}, {path}, holds no certificate in PEM form") from None
    if (certificate := files["sslcert"]) is not None:
        try:
            context.load_cert_chain(certificate, files["sslkey"], lambda: given.get("sslpassword", ""))
        except ssl.SSLError:
            raise _unusable(
                f"the files of sslcert and sslkey, {certificate} and {files['sslkey']}, do not belong "
                "together, are no PEM, or need another sslpassword"
            ) from None


def _unusable(reason: str) -> StoreMisconfigured:
    return StoreMisconfigured(f"the database address is not usable: {reason}")
