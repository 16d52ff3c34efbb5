"""The single place that translates driver errors into the store's: by SQLSTATE and class, never by message text."""

import ssl

from eventstore.errors import (
    EventStoreError,
    InvalidRequest,
    StoreMisconfigured,
    StoreUnavailable,
    TransientStoreError,
)
from eventstore.postgres.drivers.errors import DRIVER_ERRORS, failure_of, sqlstate_of
from eventstore.postgres.drivers.protocol import Failure
from eventstore.postgres.schema import Schema
from eventstore.stream import ServerAddress
from eventstore.system_error import said_of

__all__ = ["DRIVER_ERRORS", "FULL", "READ_ONLY", "is_connection_loss", "lacks_partition", "translate"]

READ_ONLY = "25006"
FULL = "53300"

_DEFAULT = Schema()
_MISCONFIGURED = {
    "28000": "PostgreSQL refuses this user: check the user name in the address and pg_hba.conf",
    "28P01": "PostgreSQL refuses this password: check the credentials in the address",
    "3D000": "the database named in the address does not exist: create it, or correct the address",
    "42501": "the database role lacks a right: let it log in as a member of {runtime}",
    "3F000": "the database has no event store{where} yet: run `worker db migrate`",
    "42P01": "the database has no event store{where} yet, or an older one: run `worker db migrate`",
    "42883": "the database's event store{where} is older than this program: run `worker db migrate`",
    **dict.fromkeys(
        # A prepared statement is missing, or another client has prepared one with the same name.
        ("26000", "42P05"),
        "a session has lost its prepared statements: a pooler in between gives each transaction another session; use "
        "its session mode, or connect to PostgreSQL itself",
    ),
    "ES001": "the database's default_transaction_isolation must be 'read committed'",
    "ES002": "the database's synchronous_commit must be 'on' or 'remote_apply'",
    "ES004": "the event store has lost its lock row: restore the database from a backup",
}
# Temporary reasons that concern one request: serialization failure, deadlock, lock not available, query cancelled.
_TRANSIENT = {"40001", "40P01", "55P03", "57014"}
# The server as a whole: read-only, shutting down, starting, a database that refuses connections; out of connections,
# memory or disk.
_UNAVAILABLE = {READ_ONLY, "57P01", "57P02", "57P03", "55000", "53000", "53100", "53200", FULL, "58000", "58030"}
# The code of every pooler message. Only its text distinguishes an unknown parameter from a temporary reason.
_PROTOCOL = "08P01"
_PARAMETER = "startup parameter"
# asyncpg's text, without a code, when a server answers the request for TLS neither with yes nor with an error.
_NO_TLS = "rejected SSL upgrade"
# Constraint violations concern the tables' content, such as a number that is used twice: appends take numbers under the
# store's lock, where no other append runs. Only a named check constraint looks at a single row, and so at the request.
_CONSTRAINTS, _CHECK = "23", "23514"
# The check of the whole log while its table becomes the first partition, left behind before the last step.
_BOUND = "events_first_partition"
# Errors of the request itself: data exceptions and program limits.
_INVALID_CLASSES = ("22", "54")


def is_connection_loss(error: BaseException) -> bool:
    """Return whether it is unknown what the server did with the running statement."""
    return failure_of(error) is Failure.LOSS


def lacks_partition(error: BaseException) -> bool:
    """Return whether an error says that no partition takes a row."""
    return _code(error) == _CHECK and not getattr(error, "constraint_name", None)


def translate(  # noqa: PLR0911  one return for each answer
    error: BaseException, schema: Schema = _DEFAULT, server: ServerAddress | None = None
) -> EventStoreError:
    """Translate a driver error, one of ``DRIVER_ERRORS``, into the store's error.

    Args:
        error: The driver's error.
        schema: The schema of the store that was asked; by default the default schema.
        server: The server to name if it cannot be reached; by default none.

    Returns:
        The store's error, to be raised from the original. An unknown code becomes an ``EventStoreError`` of no family.
    """
    code = _code(error)
    if isinstance(error, ssl.SSLError):
        return _translate_tls(error, code, server)
    if code in _MISCONFIGURED:
        told = _MISCONFIGURED[code].format(runtime=schema.role("runtime"), where=schema.whereabouts)
        return StoreMisconfigured(f"{told} ({error})", code=code)
    if failure_of(error) is Failure.ADDRESS:
        return StoreMisconfigured(f"the database address is not usable: {error}", code=code)
    if code in _TRANSIENT:
        return TransientStoreError(f"PostgreSQL cancelled this request: {error}", code=code)
    if (lack := _lack_of_room(error)) is not None:
        return StoreUnavailable(f"{lack} ({error})", code=code)
    if code[:2] == _CONSTRAINTS and code != _CHECK:
        return StoreUnavailable(
            "the event store's tables reject an append: another program writes to them, or they were restored in "
            f"part; stop it, and run `worker db check` ({error})",
            code=code,
        )
    if code in _UNAVAILABLE or code == _PROTOCOL:
        return _translate_unavailable(error, code)
    if code[:2] in _INVALID_CLASSES or code == _CHECK or failure_of(error) is Failure.VALUE:
        return InvalidRequest(f"PostgreSQL refuses a value: {error}", code=code)
    if is_connection_loss(error):
        return _translate_loss(error, code, server)
    return EventStoreError(f"PostgreSQL failed in a way the store does not know: {error}", code=code)


def _lack_of_room(error: BaseException) -> str | None:
    """Return why the log has no room for the next events and what to do; None if an error says nothing of it."""
    if lacks_partition(error):
        return "there is no partition for the next events: run `worker db migrate`, which makes further ones"
    if _code(error) == _CHECK and getattr(error, "constraint_name", None) == _BOUND:
        return (
            "the log's table has reached the bound that an interrupted `worker db migrate --partition-size` left: run "
            "that command again"
        )
    return None


def _translate_unavailable(error: BaseException, code: str) -> EventStoreError:
    if code == READ_ONLY:
        return StoreUnavailable(
            f"the server accepts no writes: it is a standby, or default_transaction_read_only is on ({error})",
            code=READ_ONLY,
        )
    if code != _PROTOCOL:
        return StoreUnavailable(f"PostgreSQL cannot serve now: {error}", code=code)
    if _PARAMETER in str(error):
        return StoreMisconfigured(
            "the server, or a pooler in front of it, does not accept this program's startup parameters: connect to "
            f"PostgreSQL itself, or in the pooler's session mode without them ({error})",
            code=code,
        )
    return StoreUnavailable(f"the server, or a pooler in front of it, does not serve now: {error}", code=code)


def _translate_loss(error: BaseException, code: str, server: ServerAddress | None) -> EventStoreError:
    # The system raises subclasses of ConnectionError; asyncpg raises the class itself while it asks for TLS.
    if type(error) is ConnectionError and _NO_TLS in str(error):
        return StoreMisconfigured(
            "what answers there takes no TLS, or is no PostgreSQL: see the host and the port in the address, and if "
            f"its sslmode asks for TLS, turn on ssl at the server, or take sslmode out of the address ({error})",
            code=code,
        )
    if isinstance(error, TimeoutError):
        words = "it does not answer in time"
    elif type(error) is ConnectionError or not str(error):
        words = "the connection ended before the server answered; see its log, and the port in the address"
    else:
        words = said_of(error)
    return StoreUnavailable(f"{_unreached(server)}: {words}", code=code)


def _translate_tls(error: ssl.SSLError, code: str, server: ServerAddress | None) -> EventStoreError:
    if isinstance(error, ssl.SSLCertVerificationError):
        reason = error.verify_message.rstrip(".")
        return StoreMisconfigured(
            f"PostgreSQL's certificate is not accepted ({reason}): name the CA that signed it by sslrootcert= in "
            "the address, and the host as the certificate does",
            code=code,
        )
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError | ssl.SSLSyscallError):
        return StoreUnavailable(f"{_unreached(server)}: the connection ended within TLS", code=code)
    return StoreMisconfigured(
        f"TLS with PostgreSQL fails ({error.reason}): see the TLS settings of the server and of the address", code=code
    )


def _unreached(server: ServerAddress | None) -> str:
    return "PostgreSQL cannot be reached" if server is None else f"PostgreSQL cannot be reached at {server}"


def _code(error: BaseException) -> str:
    return sqlstate_of(error) or type(error).__name__
