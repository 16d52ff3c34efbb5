"""Database addresses, looked at before anything is connected: a mistake in one is not a server that is down."""

import os
import ssl
from urllib.parse import parse_qs, urlsplit

from eventstore.errors import StoreMisconfigured

__all__ = ["check_address"]

_SCHEMES = ("postgresql", "postgres")
_LAST_PORT = 65535
# The driver also takes each of these from a variable: PGSSLROOTCERT and so on.
_FILES = ("sslrootcert", "sslcrl", "sslcert", "sslkey")


def check_address(url: str) -> None:
    """See whether an address has the form of one, and whether the TLS files that it names can be used.

    The driver looks at the rest, some of it only when it connects.

    Raises:
        StoreMisconfigured: It has not; the message says what is wrong, without the address: it may hold a password.
    """
    try:
        parts = urlsplit(url)
    except ValueError:  # its text may quote the password
        raise _unusable("its host cannot be read") from None
    if parts.scheme not in _SCHEMES:
        raise _unusable("it does not begin with postgresql://")
    for host in parts.netloc.rpartition("@")[2].split(","):
        _, colon, port = host.rpartition("]")[2].rpartition(":")
        if colon and port and not (port.isdecimal() and 0 < int(port) <= _LAST_PORT):
            # Not quoted: of a password with an unescaped slash, a part stands where the port does.
            raise _unusable("its port is no number up to 65535; write / ? and # in a password as %2F, %3F and %23")
    _check_files(parts.query)


def _check_files(query: str) -> None:
    given = {name: values[-1] for name, values in parse_qs(query).items()}
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
