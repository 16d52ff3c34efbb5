"""Credentials: addresses with passwords, read from files or variables, and shown without the password."""

import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

__all__ = ["Unreadable", "address_of", "file_variable", "from_files", "redacted", "servers_of"]

_PASSWORD_PARAMETER = re.compile(r"(?i)((?:password|passwd|sslpassword)=)[^&]*")


class Unreadable(Exception):
    """Raised by ``from_files``, with one sentence for each file that cannot be used, without any of its content."""


def file_variable(name: str) -> str:
    """Return the name of the variable that names a setting's file, for example ``DATABASE_URL_FILE``."""
    return f"{name.upper()}_FILE"


def from_files(
    environment: Mapping[str, str], names: Iterable[str], *, optional: Collection[str] = ()
) -> dict[str, str]:
    """Read settings whose values are in files, as Docker and Kubernetes provide secrets.

    Args:
        environment: The environment variables.
        names: The settings that may be given by a file.
        optional: Those of them whose file may be empty, for deployments where the file must exist.

    Returns:
        The values by setting, without surrounding white space.

    Raises:
        Unreadable: A file cannot be read, is empty though its setting is not optional, or its setting is also given by
            a variable.
    """
    found: dict[str, str] = {}
    problems: list[str] = []
    for name in names:
        variable = file_variable(name)
        if not (path := environment.get(variable)):
            continue
        if environment.get(name.upper()):
            problems.append(f"{name.upper()} and {variable} are both set: unset one of them.")
            continue
        if "://" in path:
            problems.append(f"{variable} holds an address, not the path of a file: name that, or set {name.upper()}.")
            continue
        try:
            found[name] = _content(Path(path), may_be_empty=name in optional)
        except ValueError as error:
            problems.append(f"{variable}: {path} {error}.")
    if problems:
        raise Unreadable("\n".join(problems))
    return found


def redacted(url: str) -> str:
    """Return an address without its password, even if an unescaped ``@`` or ``/`` in that makes it malformed."""
    scheme, mark, rest = url.partition("://")
    login, at, place = rest.rpartition("@")
    user, colon, _ = login.partition(":")
    shown = f"{user}:***" if colon else user
    return _PASSWORD_PARAMETER.sub(r"\1***", f"{scheme}{mark}{shown}{at}{place}")


def _content(path: Path, *, may_be_empty: bool) -> str:
    try:
        content = path.read_text(encoding="utf-8").strip()
    except UnicodeDecodeError:
        raise ValueError("is not UTF-8 text; write its value into it, and nothing else") from None
    except OSError as error:
        raise ValueError(f"cannot be read: {error.strerror}") from None
    if not content and not may_be_empty:
        raise ValueError("is empty; write its value into it")
    return content


def address_of(url: str) -> str:
    """Return the parts of an address that may be shown: host, port and path."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[2] + parts.path


def servers_of(url: str) -> frozenset[str]:
    """Return the hosts in a database address, each with its port; empty if it names none."""
    parts = urlsplit(url)
    given = parse_qs(parts.query)
    hosts = parts.netloc.rpartition("@")[2] or ",".join(given.get("host", ()))
    port = given.get("port", ["5432"])[-1]
    named = [host.lower() for host in hosts.split(",") if host]
    return frozenset(host if host.rpartition("]")[2].rpartition(":")[1] else f"{host}:{port}" for host in named)
