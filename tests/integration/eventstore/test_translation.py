"""What the driver raises, in the store's words: by SQLSTATE and class."""

import asyncpg
import pytest

from eventstore import (
    EventStoreError,
    InvalidRequest,
    StoreMisconfigured,
    StoreUnavailable,
    TransientStoreError,
)
from eventstore.postgres.connections.translation import DRIVER_ERRORS, is_connection_loss, translate


def server_error(code: str) -> asyncpg.PostgresError:
    error = asyncpg.PostgresError.new({"C": code, "M": "what the server says", "S": "ERROR"})
    assert isinstance(error, asyncpg.PostgresError)
    return error


@pytest.mark.parametrize(
    ("code", "family"),
    [
        ("28000", StoreMisconfigured),  # no entry in pg_hba.conf
        ("28P01", StoreMisconfigured),  # password
        ("3D000", StoreMisconfigured),  # no such database
        ("42501", StoreMisconfigured),  # rights
        ("3F000", StoreMisconfigured),  # no such schema
        ("42P01", StoreMisconfigured),  # no such table
        ("42883", StoreMisconfigured),  # no such function
        ("26000", StoreMisconfigured),  # a pooler has given the session's statements to others
        ("42P05", StoreMisconfigured),
        ("ES001", StoreMisconfigured),
        ("ES002", StoreMisconfigured),
        ("ES004", StoreMisconfigured),  # no lock row
        ("40001", TransientStoreError),  # serialization failure, and a query cancelled by recovery
        ("40P01", TransientStoreError),  # deadlock
        ("55P03", TransientStoreError),  # lock not available
        ("57014", TransientStoreError),  # cancelled
        ("25006", StoreUnavailable),  # read-only
        ("57P01", StoreUnavailable),  # shutting down
        ("57P02", StoreUnavailable),  # crashing
        ("57P03", StoreUnavailable),  # starting
        ("53000", StoreUnavailable),
        ("53100", StoreUnavailable),  # disk full
        ("53200", StoreUnavailable),  # out of memory
        ("53300", StoreUnavailable),  # out of connections
        ("58030", StoreUnavailable),  # I/O
        ("08006", StoreUnavailable),  # connection failure
        ("08003", StoreUnavailable),
        ("22P02", InvalidRequest),
        ("22003", InvalidRequest),
        ("54000", InvalidRequest),
        ("54001", InvalidRequest),
        ("23505", StoreUnavailable),  # a number was given twice: something else writes
        ("23514", StoreUnavailable),  # no partition takes the row
        ("23502", StoreUnavailable),
        ("23503", StoreUnavailable),
        ("23P01", StoreUnavailable),
    ],
)
def test_a_code_belongs_to_a_family(code: str, family: type[EventStoreError]) -> None:
    translated = translate(server_error(code))
    assert type(translated) is family
    assert translated.code == code
    assert "what the server says" in str(translated)


def test_a_check_of_one_row_is_about_the_request() -> None:
    error = asyncpg.PostgresError.new({"C": "23514", "M": "no object", "S": "ERROR", "n": "events_payload_check"})
    assert isinstance(error, asyncpg.PostgresError)
    assert type(translate(error)) is InvalidRequest


@pytest.mark.parametrize("code", ["XX000", "XX001", "42601", "ES003", "P0001", "0A000"])
def test_a_code_that_is_not_known_belongs_to_no_family(code: str) -> None:
    translated = translate(server_error(code))
    assert type(translated) is EventStoreError
    assert translated.code == code


@pytest.mark.parametrize(
    ("error", "family"),
    [
        (ConnectionRefusedError(111, "refused"), StoreUnavailable),
        (ConnectionResetError(104, "reset"), StoreUnavailable),
        (TimeoutError(), StoreUnavailable),
        (asyncpg.InterfaceError("connection is closed"), StoreUnavailable),
        (asyncpg.InternalClientError("protocol"), StoreUnavailable),
        (asyncpg.TargetServerAttributeNotMatched("no primary"), StoreUnavailable),
        (asyncpg.ClientConfigurationError("invalid DSN"), StoreMisconfigured),
        (asyncpg.exceptions.DataError("not a uuid"), InvalidRequest),
    ],
)
def test_an_error_of_the_driver_belongs_to_a_family(error: Exception, family: type[EventStoreError]) -> None:
    assert isinstance(error, DRIVER_ERRORS)
    assert type(translate(error)) is family


@pytest.mark.parametrize("code", ["08000", "08003", "08006", "57P01", "57P02", "57P03"])
def test_a_connection_that_broke_leaves_the_outcome_open(code: str) -> None:
    assert is_connection_loss(server_error(code))


@pytest.mark.parametrize("code", ["57014", "40001", "53300", "25006", "22P02", "XX000"])
def test_an_answer_of_the_server_leaves_nothing_open(code: str) -> None:
    assert not is_connection_loss(server_error(code))


def test_a_refusal_of_the_driver_leaves_nothing_open() -> None:
    assert not is_connection_loss(asyncpg.exceptions.DataError("not a uuid"))
    assert not is_connection_loss(asyncpg.ClientConfigurationError("invalid DSN"))
    assert is_connection_loss(asyncpg.InterfaceError("connection is closed"))
    assert is_connection_loss(ConnectionResetError(104, "reset"))
    assert is_connection_loss(TimeoutError())


def test_a_pooler_that_refuses_our_startup_parameters_is_a_mistake_and_not_an_outage() -> None:
    refused = asyncpg.ProtocolViolationError("unsupported startup parameter: jit")
    translated = translate(refused)
    assert isinstance(translated, StoreMisconfigured)
    assert translated.code == "08P01"


@pytest.mark.parametrize("words", ["query_wait_timeout", "cannot connect to server", "pgbouncer cannot connect"])
def test_all_else_that_a_pooler_says_passes(words: str) -> None:
    translated = translate(asyncpg.ProtocolViolationError(words))
    assert type(translated) is StoreUnavailable
    assert words in str(translated)


def test_a_server_that_says_nothing_is_told_to_say_nothing() -> None:
    assert str(translate(TimeoutError())) == "PostgreSQL cannot be reached: it does not answer in time"


def test_a_server_that_takes_no_writes_is_told_apart_from_one_that_is_stopped() -> None:
    for error in (asyncpg.TargetServerAttributeNotMatched("none"), asyncpg.ReadOnlySQLTransactionError("none")):
        translated = translate(error)
        assert type(translated) is StoreUnavailable
        assert str(translated).startswith("the server accepts no writes: it is a standby, or ")
        assert translated.code == "25006"
