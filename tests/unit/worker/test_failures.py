"""Known failures are reported in a sentence; all others are bugs and keep their traceback."""

import pytest

from eventstore import StoreMisconfigured, StoreUnavailable
from handlers.errors import InvalidDomain
from worker.errors import BrokerBusy, BrokerMisconfigured, BrokerUnavailable, SettingsError, Unroutable
from worker.failures import Mistake, naming, sentence, telling


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (Mistake("do this."), "do this."),
        (SettingsError("A: wrong.\n  B: wrong.\n\n"), "A: wrong.\nB: wrong."),
        (StoreUnavailable("it is down"), "it is down; start the database or correct its address."),
        (
            StoreUnavailable("it refused", code="ConnectionRefusedError"),
            "it refused; start the database or correct its address.",
        ),
        (StoreUnavailable("read-only", code="25006"), "read-only; name the server that accepts writes."),
        (StoreUnavailable("full", code="53300"), "full; end other connections, or raise max_connections."),
        (StoreUnavailable("other", code="58030"), "other; try again, and see the server's log if it stays so."),
        (BrokerBusy("a limit"), "a limit; see the broker's limits, alarms and policies, and try again."),
        (StoreMisconfigured("no schema.\nHINT: migrate."), "no schema. HINT: migrate."),
        (BrokerUnavailable("it is down."), "it is down; start RabbitMQ or correct AMQP_URL."),
        (BrokerMisconfigured("it refuses us"), "it refuses us."),
        (
            Unroutable("no queue"),
            (
                "no queue; start a worker for this domain with `worker run`; one that runs makes what was deleted "
                "within half a minute."
            ),
        ),
        (InvalidDomain("no event"), "no event."),
        (InvalidDomain("no tuple; is a comma missing?"), "no tuple; is a comma missing?"),
        (ExceptionGroup("", [ExceptionGroup("", [Mistake("do this.")]), Mistake("do that.")]), "do this."),
    ],
)
def test_a_known_failure_is_reported_in_a_sentence(
    error: Exception, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sentence(error) == told
    # A command has only one database, which need not be named.
    told = told.replace("its address", "DATABASE_URL")
    with pytest.raises(SystemExit) as raised, telling("worker"):
        raise error
    assert raised.value.code == 2
    assert capsys.readouterr() == ("", f"worker: {told}\n")


@pytest.mark.parametrize(
    ("error", "told"),
    [
        (StoreUnavailable("it is down"), "it is down; start the database or correct PROJECTIONS_URL."),
        (
            StoreMisconfigured("it refuses this password: check the credentials in the address (nope)"),
            "it refuses this password: check the credentials in PROJECTIONS_URL (nope).",
        ),
    ],
)
def test_the_variable_nearest_to_an_address_is_named(
    error: Exception, told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with (
        pytest.raises(SystemExit),
        telling("worker"),
        naming("DATABASE_URL_LIBRARY"),
        naming("PROJECTIONS_URL"),
    ):
        raise error
    assert capsys.readouterr().err == f"worker: {told}\n"


def test_only_an_error_of_the_store_is_noted() -> None:
    with pytest.raises(Mistake) as raised, naming("DATABASE_URL"):
        raise Mistake("do this.")
    assert not hasattr(raised.value, "__notes__")


@pytest.mark.parametrize(
    "bug",
    [
        ZeroDivisionError(),
        ExceptionGroup("", [ZeroDivisionError()]),
        ExceptionGroup("", [Mistake("do this."), ZeroDivisionError()]),
        BaseExceptionGroup("", [Mistake("do this."), KeyboardInterrupt()]),
    ],
)
def test_an_unknown_failure_keeps_its_traceback(bug: BaseException, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(type(bug)) as raised, telling("worker"):
        raise bug
    assert raised.value is bug
    assert capsys.readouterr() == ("", "")


def test_success_is_silent(capsys: pytest.CaptureFixture[str]) -> None:
    with telling("worker"):
        pass
    assert capsys.readouterr() == ("", "")
