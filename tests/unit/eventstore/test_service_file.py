"""The service file: an address's ``service``, or ``PGSERVICE``, names the parameters that the address leaves out."""

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pytest

from eventstore import StoreMisconfigured
from eventstore.postgres.connections.address import Address

_CONTENT = """\
# of the operators
[events]
host=a,b
port=1,2
user=app
password=50%off # secret
dbname=events
connect_timeout=7
keepalives=1
[other]
host=c
channel_binding=require
"""


@pytest.fixture(autouse=True)
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("PGSERVICE", "PGSYSCONFDIR", "PGHOST", "PGPORT"):
        monkeypatch.delenv(name, raising=False)
    path = tmp_path / "services"
    path.write_text(_CONTENT, encoding="utf-8")
    monkeypatch.setenv("PGSERVICEFILE", str(path))
    return path


def test_a_service_is_resolved_before_a_driver_sees_it() -> None:
    address = Address.of("postgresql:///?service=events")
    assert dict(parse_qsl(urlsplit(address.url).query)) == {
        "host": "a,b",
        "port": "1,2",
        "user": "app",
        "password": "50%off # secret",
    }
    assert urlsplit(address.url).path == "/events"
    assert [str(server) for server in address.servers] == ["a:1", "b:2"]
    assert address.seconds == 7.0
    assert address.left_out == ("keepalives",)


def test_the_variable_names_a_service_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGSERVICE", "events")
    assert Address.of("postgresql:///") == Address.of("postgresql:///?service=events")
    assert [str(server) for server in Address.of("postgresql:///?service=other&channel_binding=prefer").servers] == [
        "c:5432"
    ]


def test_what_the_address_contains_counts_before_the_service() -> None:
    address = Address.of("postgresql://me:mine@d:9/mine?service=events&connect_timeout=3")
    assert address.url == "postgresql://me:mine@d:9/mine"
    assert [str(server) for server in address.servers] == ["d:9"]
    assert address.seconds == 3.0


def test_a_service_without_a_file_or_a_section_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StoreMisconfigured, match=f"there is no service 'evnts' in {file}; correct it, or PGSERVICE"):
        Address.of("postgresql:///?service=evnts")
    monkeypatch.setenv("PGSERVICEFILE", str(file.parent / "missing"))
    with pytest.raises(StoreMisconfigured, match=r"there is no service 'events' in .*missing"):
        Address.of("postgresql:///?service=events")


def test_a_service_may_be_in_the_system_s_file(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (file.parent / "pg_service.conf").write_text("[shared]\nhost=s\n", encoding="utf-8")
    monkeypatch.setenv("PGSYSCONFDIR", str(file.parent))
    assert [str(server) for server in Address.of("postgresql:///?service=shared").servers] == ["s:5432"]


def test_the_address_may_name_the_file(file: Path) -> None:
    other = file.parent / "mine"
    other.write_text("[events]\nhost=m\n", encoding="utf-8")
    assert [str(server) for server in Address.of(f"postgresql:///?service=events&servicefile={other}").servers] == [
        "m:5432"
    ]


def test_a_service_s_unsupported_parameters_are_refused() -> None:
    with pytest.raises(StoreMisconfigured, match="it asks for channel_binding=require"):
        Address.of("postgresql:///?service=other")


@pytest.mark.parametrize("content", [b"host=a\npassword=secret\n", b"[events\nsecret", b"[events]\npassword=\xff"])
def test_a_file_of_another_form_is_refused_without_being_quoted(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(StoreMisconfigured, match="is no service file") as raised:
        Address.of("postgresql:///?service=events")
    assert "secret" not in str(raised.value)


def test_a_file_that_cannot_be_read_is_named(file: Path) -> None:
    file.unlink()
    file.mkdir()
    with pytest.raises(StoreMisconfigured, match=r"the service file .* cannot be read: Is a directory"):
        Address.of("postgresql:///?service=events")
