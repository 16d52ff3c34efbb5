"""An invalid database address is refused without being quoted."""

from urllib.parse import urlsplit

import pytest

from eventstore import StoreMisconfigured
from eventstore.postgres.connections.address import Address


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:secret/word@db:5432/events",
        "postgresql://app:secret#word@db/events",
        "postgresql://app:\u2100secret@db/events",
        "postgresql://app:[secret@db/events",
        "mysql://app:secret@db/events",
        "postgresql:app:secret@db/events",
        "postgresql://app:secret@db:0/events",
        "postgresql://app:secret@a:1,b:65536/events",
        "secret",
        "postgresql://app:secret@word@db/events",
        "postgresql://app:1/secret@db/events",
        "postgresql://app:1?secret@db/events",
        "postgresql://app:1#secret@db/events",
        "postgresql://app@a,,b/events",
        "postgresql:///events?host=a,b&port=1,2,3",
        "postgresql:///events?host=a&port=secret",
        "postgresql://app@db/events?connect_timeout=secret",
        "postgresql://app@db/events?sslmode",
        # Two addresses; the second one would be taken for a database name.
        "postgresql://app@a/events,postgresql://app:secret@b/events",
        "postgresql://app:secret%ff@db/events",
        "postgresql://app:secret%00@db/events",
        "postgresql://app:secret@a..b/events",
        f"postgresql://app:secret@{'a' * 64}/events",
    ],
)
def test_an_unusable_address_is_not_quoted(url: str) -> None:
    with pytest.raises(StoreMisconfigured, match="the database address is not usable") as raised:
        Address.of(url)
    assert "secret" not in str(raised.value)
    assert raised.value.__suppress_context__ or raised.value.__context__ is None


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://app:se%2Fcret@db:5432/events",
        "postgres:///events",
        "postgresql://app@[::1]:5432,b/events?sslmode=x",
    ],
)
def test_a_valid_address_is_passed_to_the_driver(url: str) -> None:
    assert Address.of(url).url == url


@pytest.mark.parametrize(
    "url",
    [
        " postgresql://app:50%25off@db/events\n",
        "PostgreSQL://app:50%off@db/events",
        "postgresql://app:50%off@db/events",
    ],
)
def test_addresses_that_drivers_parse_differently_are_normalized(url: str) -> None:
    assert Address.of(url).url == "postgresql://app:50%25off@db/events"


@pytest.mark.parametrize(
    ("url", "servers"),
    [
        ("postgresql://app@a,b:2/events", ["a:5432", "b:2"]),
        ("postgresql://app@[::1]:3/events", ["[::1]:3"]),
        ("postgresql://app@/events?host=a,[::1],[::2]&port=1,3,4", ["a:1", "[::1]:3", "[::2]:4"]),
        ("postgresql://app@%2Frun%2Fpg:7/events", ["/run/pg:7"]),
        ("postgresql:///events?host=a,b&port=1,2", ["a:1", "b:2"]),
        ("postgresql:///events?host=a,b&port=9", ["a:9", "b:9"]),
        ("postgresql:///events?host=/run/pg", ["/run/pg:5432"]),
        ("postgresql:///events", []),
    ],
)
def test_hosts_are_parsed_as_by_the_driver(url: str, servers: list[str]) -> None:
    assert [str(server) for server in Address.of(url).servers] == servers


def test_bracketed_hosts_among_others_are_parsed_or_an_alternative_is_named() -> None:
    """Python's parsing of them depends on its release."""
    url = "postgresql://app@a,b:2,[::1]:3,[::2]/events"
    try:
        urlsplit(url)
    except ValueError:
        with pytest.raises(StoreMisconfigured, match=r"name all of them as \?host="):
            Address.of(url)
    else:
        assert [str(server) for server in Address.of(url).servers] == ["a:5432", "b:2", "[::1]:3", "[::2]:5432"]


@pytest.mark.parametrize("name", ["dbname", "database"])
def test_the_database_s_name_is_passed_in_the_path(name: str) -> None:
    assert Address.of(f"postgresql:///?host=/run/pg&{name}=a%2Fb").url == "postgresql:///a%2Fb?host=%2Frun%2Fpg"
    assert Address.of(f"postgresql://app@db/events?{name}=events").url == "postgresql://app@db/events"
    with pytest.raises(StoreMisconfigured, match="it names two databases"):
        Address.of(f"postgresql://app@db/events?{name}=orders")


def test_hosts_and_ports_may_come_from_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGHOST", "a,b")
    monkeypatch.setenv("PGPORT", "1,2")
    assert [str(server) for server in Address.of("postgresql:///events").servers] == ["a:1", "b:2"]


@pytest.mark.parametrize(
    "parameter",
    [
        "channel_binding=prefer",
        "gssencmode=disable",
        "keepalives=1",
        "keepalives_idle=30",
        "load_balance_hosts=random",
        "tcp_user_timeout=5",
        "client_encoding=UTF8",
        "fallback_application_name=x",
    ],
)
def test_parameters_of_other_clients_are_removed(parameter: str) -> None:
    address = Address.of(f"postgresql://db/events?sslmode=prefer&{parameter}&options=-c%20a%3Db")
    assert address.url == "postgresql://db/events?sslmode=prefer&options=-c%20a%3Db"
    assert address.left_out == (parameter.partition("=")[0],)


@pytest.mark.parametrize(
    ("parameter", "said"),
    [
        ("channel_binding=require", "it asks for channel_binding=require, which this program does not support"),
        ("require_auth=scram-sha-256", "it asks for require_auth, which this program does not support"),
        ("sslcrldir=/secret", "it asks for sslcrldir"),
        ("sslmod=require", r"called 'sslmod' \(did you mean sslmode\?\)"),
        ("statement_timeout=5", "a setting of the server goes into options"),
    ],
)
def test_unsupported_parameters_that_matter_are_refused(parameter: str, said: str) -> None:
    with pytest.raises(StoreMisconfigured, match=said) as raised:
        Address.of(f"postgresql://db/events?{parameter}")
    assert "secret" not in str(raised.value)


def test_unsupported_variables_that_matter_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGCHANNELBINDING", "require")
    with pytest.raises(StoreMisconfigured, match="PGCHANNELBINDING is set: it asks for channel_binding=require"):
        Address.of("postgresql://db/events")


def test_the_address_sets_the_connection_timeout() -> None:
    assert Address.of("postgresql://db/events?connect_timeout=7").seconds == 7.0
    assert Address.of("postgresql://db/events?connect_timeout=1").seconds == 2.0
    assert Address.of("postgresql://db/events?connect_timeout=0").seconds is None
