"""The service file, in which an address's ``service`` names a section with the parameters that the address leaves out.

Source: https://www.postgresql.org/docs/18/libpq-pgservice.html. The drivers do not read it alike: asyncpg does not use
``PGSERVICE``, and connects to its default server if the file has no such section.
"""

import os
from configparser import Error, RawConfigParser

from eventstore.errors import StoreMisconfigured

__all__ = ["service_parameters"]

_FILE = "pg_service.conf"


def service_parameters(name: str, file: str | None = None) -> dict[str, str]:
    """Return the parameters of a service, from the user's file or else from that of ``PGSYSCONFDIR``.

    Args:
        name: The service's name.
        file: The user's file; by default ``PGSERVICEFILE``, or the one in the home folder.

    Raises:
        StoreMisconfigured: A file cannot be read, or none has the service.
    """
    paths = [file or os.environ.get("PGSERVICEFILE") or _own_file()]
    if folder := os.environ.get("PGSYSCONFDIR"):
        paths.append(os.path.join(folder, _FILE))  # noqa: PTH118  beside a path that is a text
    for path in paths:
        services = _read(path)
        if services.has_section(name):
            return dict(services[name])
    raise StoreMisconfigured(
        f"the database address is not usable: there is no service {name!r} in {' or '.join(paths)}; correct it, or "
        "PGSERVICE, or name another file by PGSERVICEFILE"
    )


def _read(path: str) -> RawConfigParser:
    services = RawConfigParser(delimiters=("=",), comment_prefixes=("#",), strict=False, default_section="")
    try:
        with open(path, encoding="utf-8") as file:  # noqa: PTH123  the path is a variable's, not ours
            services.read_file(file)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise StoreMisconfigured(
            f"the database address is not usable: the service file {path} cannot be read: {error.strerror}"
        ) from None
    except (Error, UnicodeDecodeError):  # the error's text may quote a password
        raise StoreMisconfigured(f"the database address is not usable: {path} is no service file") from None
    return services


def _own_file() -> str:
    if os.name == "nt":
        return os.path.join(os.environ.get("APPDATA", ""), "postgresql", f".{_FILE}")  # noqa: PTH118  it may be no path
    return os.path.expanduser(f"~/.{_FILE}")  # noqa: PTH111  a home that is not known is no error here
