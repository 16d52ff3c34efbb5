import pytest
from yarl import URL

from worker.amqp.connection import Link
from worker.amqp.dialing import _Connection
from worker.amqp.tls import tls_context
from worker.errors import BrokerMisconfigured, SettingsError
from worker.settings import Settings


async def test_a_connection_that_was_refused_counts_as_closed() -> None:
    # Otherwise its finalizer would close it, in any thread, for which the library needs an event loop.
    connection = _Connection(URL("amqp://guest:guest@127.0.0.1:1/"))
    with pytest.raises(ConnectionError):
        await connection.connect()
    assert connection.is_closed


@pytest.mark.parametrize(
    "url",
    ["amqp://app:se\\cret@mq/", "amqp://app:[secret]@mq/", "amqp://app:secret@mq:port/", "amqp://secret@xn--a/"]
    + [
        f"amqp://app:secret@{place}"
        for place in ("mq:0/", "a,b:5672/", "a..b/", "a" * 64, f"mq/{'v' * 256}", "mq/%ff", "mq/%00")
    ]
    + ["amqp://app@a/,amqp://app:secret@b/", "amqp://", "amqp:///events", "amqp://app:secret@/", "amqp://:5672/"],
)
def test_an_address_that_the_library_cannot_parse_is_refused_before_connecting(url: str) -> None:
    with pytest.raises(BrokerMisconfigured, match="correct AMQP_URL") as raised:
        Link(url, name="test")
    assert "secret" not in str(raised.value)


@pytest.mark.parametrize(
    ("query", "told"),
    [
        ("heartbeat=10", "its parameter 'heartbeat' is unknown: remove it; known parameters are auth, cadata, "),
        ("cafle=/ca.pem", r"its parameter 'cafle' is unknown \(did you mean cafile\?\): remove it"),
        # The library raises unexpected exceptions for these.
        ("interleave=1", "its parameter 'interleave' is unknown"),
        ("auth=kerberos", "its parameter auth must be one of plain, external"),
    ],
)
def test_a_parameter_that_would_be_ignored_is_refused(monkeypatch: pytest.MonkeyPatch, query: str, told: str) -> None:
    url = f"amqp://app:secret@mq:5672/events?{query}"
    with pytest.raises(BrokerMisconfigured, match=f"the broker's address: {told}.*; correct AMQP_URL$") as raised:
        Link(url, name="test")
    monkeypatch.setenv("AMQP_URL", url)
    with pytest.raises(SettingsError, match=f"AMQP_URL: {told}") as refused:
        Settings.load(needs=("amqp_url",))
    assert "secret" not in f"{raised.value} {refused.value}"


@pytest.mark.parametrize("query", ["", "auth=EXTERNAL", "cafile=/ca.pem&server_hostname=mq"])
def test_a_supported_parameter_is_accepted(query: str) -> None:
    Link(f"amqps://app:secret@mq/events?{query}", name="test")


def test_a_file_that_python_opens_by_itself_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", "/nowhere/keys")
    with pytest.raises(BrokerMisconfigured) as raised:
        tls_context("amqps://app:secret@mq/")
    assert str(raised.value) == (
        "TLS uses the file /nowhere/keys, which cannot be opened (no such file or directory); correct SSLKEYLOGFILE"
    )
