"""The database of each domain, from the settings for all domains and for single ones."""

from collections.abc import Sequence
from pathlib import Path

import pytest
from pydantic import Field

from eventstore import Filter, P
from handlers import Command, Decider, Domain, DomainEvent, Unchanged, View
from handlers.errors import InvalidDomain
from worker.chosen_stores import chosen, chosen_one
from worker.credentials import servers_of
from worker.errors import SettingsError
from worker.failures import Mistake
from worker.served_domains import served_domains
from worker.settings import Settings
from worker.stores import StoreSettings, stores_of, unread

BELLS = "tests.unit.load.bells:bells"
ALL = "postgresql://app:secret@db:5432/events"
OWN = "postgresql://app:secret@other/orders"
ADMIN = "postgresql://owner:secret@other/orders"


class Rung(DomainEvent):
    """Another event with the name of the bells' event."""

    key: str = Field(alias="Key")


class Strike(Command):
    key: str


def of_key(key: str) -> Filter:
    return Filter.matching().any_event_type_of("Rung").and_any_predicate_of(P("Key", key))


rung = View(name="rung", events=of_key, initial=lambda _: 0, evolve=lambda count, _: count + 1)
ringing = Domain(
    name="ringing",
    views=(rung,),
    deciders=(Decider(command=Strike, parts=lambda strike: rung.at(strike.key), decide=lambda *_: Unchanged()),),
    events=(Rung,),
)


@pytest.fixture(autouse=True)
def _clean(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.described():
        monkeypatch.delenv(name.upper(), raising=False)


def loaded(monkeypatch: pytest.MonkeyPatch, **variables: str) -> Settings:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return Settings.load(needs=("database_url",))


def told(settings: Settings, domains: Sequence[str]) -> str:
    with pytest.raises(SettingsError) as raised:
        stores_of(settings, domains)
    assert "secret" not in str(raised.value)
    return str(raised.value)


def test_by_default_all_domains_share_one_store(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, DATABASE_URL=ALL, DATABASE_REPLICA_URLS=f"{ALL}1,{ALL}2", DATABASE_ADMIN_URL=ADMIN)
    (store,) = stores_of(settings, ["orders", "library"])
    assert store == StoreSettings(
        domains=("orders", "library"),
        database_url=ALL,
        database_replica_urls=(f"{ALL}1", f"{ALL}2"),
        database_admin_url=ADMIN,
    )
    assert str(store) == "orders, library (db:5432/events)"


def test_a_domains_own_store_uses_no_settings_of_the_shared_one(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        monkeypatch,
        DATABASE_URL=ALL,
        DATABASE_REPLICA_URLS=f"{ALL}1",
        DATABASE_ADMIN_URL=ALL,
        DATABASE_URL_NEW_ORDERS=OWN,
    )
    everyone, own = stores_of(settings, ["library", "new-orders"])
    assert (everyone.domains, everyone.database_url) == (("library",), ALL)
    assert own == StoreSettings(domains=("new-orders",), database_url=OWN, suffix="NEW_ORDERS")
    # The replicas and the owner of another database do not apply.
    with pytest.raises(SettingsError, match=r"^DATABASE_ADMIN_URL_NEW_ORDERS is not set; give it the form postgresql:"):
        stores_of(settings, ["library", "new-orders"], by="database_admin_url")
    assert stores_of(settings, ["library", "new-orders"], by="database_admin_url", only="library")


def test_each_address_can_be_in_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name, content in (("url", OWN), ("replicas", f"{OWN}1\n{OWN}2\n"), ("admin", ADMIN)):
        (tmp_path / name).write_text(content)
    settings = loaded(
        monkeypatch,
        DATABASE_URL=ALL,
        DATABASE_URL_ORDERS_FILE=str(tmp_path / "url"),
        DATABASE_REPLICA_URLS_ORDERS_FILE=str(tmp_path / "replicas"),
        DATABASE_ADMIN_URL_ORDERS_FILE=str(tmp_path / "admin"),
    )
    (store,) = stores_of(settings, ["orders", "library"], only="orders")
    assert (store.database_url, store.database_replica_urls) == (OWN, (f"{OWN}1", f"{OWN}2"))
    assert store.database_admin_url == ADMIN
    monkeypatch.setenv("DATABASE_URL_ORDERS_FILE", str(tmp_path / "gone"))
    assert told(Settings.load(needs=()), ["orders"]).startswith("DATABASE_URL_ORDERS_FILE: ")
    monkeypatch.setenv("DATABASE_URL_ORDERS", OWN)
    assert told(Settings.load(needs=()), ["orders"]) == (
        "DATABASE_URL_ORDERS and DATABASE_URL_ORDERS_FILE are both set: unset one of them."
    )


def test_an_address_in_place_of_a_file_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, DATABASE_URL=ALL, DATABASE_URL_ORDERS_FILE=OWN)
    assert told(settings, ["orders"]) == (
        "DATABASE_URL_ORDERS_FILE holds an address, not the path of a file: name that, or set DATABASE_URL_ORDERS."
    )
    monkeypatch.delenv("DATABASE_URL")
    monkeypatch.setenv("DATABASE_URL_FILE", ALL)
    with pytest.raises(SettingsError, match=r"^DATABASE_URL_FILE holds an address, [^@]*$"):
        Settings.load(needs=())


@pytest.mark.parametrize(
    "other",
    [
        "postgres://app:secret@DB:5432/events",
        "postgresql://app:secret@db/events",
    ],
)
def test_domains_with_one_address_share_a_store_and_its_replicas(monkeypatch: pytest.MonkeyPatch, other: str) -> None:
    settings = loaded(
        monkeypatch,
        DATABASE_URL=ALL,
        DATABASE_REPLICA_URLS=f"{ALL}1",
        DATABASE_URL_ORDERS=other,
        DATABASE_REPLICA_URLS_ORDERS=f"{ALL}1,{ALL}2",
    )
    (store,) = stores_of(settings, ["library", "orders"])
    assert (store.domains, store.database_url) == (("library", "orders"), ALL)
    assert store.database_replica_urls == (f"{ALL}1", f"{ALL}2")


def test_another_role_or_database_is_another_store(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        monkeypatch, DATABASE_URL=ALL, DATABASE_URL_A=ALL.replace("app", "a"), DATABASE_URL_B=ALL.replace("events", "b")
    )
    assert [store.domains for store in stores_of(settings, ["a", "b", "c"])] == [("a",), ("b",), ("c",)]


def test_no_shared_address_is_needed_if_each_domain_has_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(monkeypatch, DATABASE_URL_ORDERS=OWN)
    assert [store.database_url for store in stores_of(settings, ["orders"])] == [OWN]
    assert told(settings, ["orders", "library"]).startswith("DATABASE_URL is not set; give it the form postgresql://")


def test_two_domains_with_one_variable_name_are_refused() -> None:
    settings = Settings(database_url=ALL)
    assert told(settings, ["my-orders", "my_orders"]) == (
        "the domains my-orders and my_orders have the same name in settings: DATABASE_URL_MY_ORDERS would apply to "
        "both; rename one, or serve each by workers of its own."
    )


@pytest.mark.parametrize(
    ("variable", "near"),
    [
        ("DATABASE_URL_ORDRES", "DATABASE_URL_ORDERS"),
        ("DATABASE_URL_orders", "DATABASE_URL_ORDERS"),
        ("DATABASE_REPLICA_URLS_ORDER", "DATABASE_REPLICA_URLS_ORDERS"),
        ("DATABASE_ADMIN_URL_ORDER_FILE", "DATABASE_ADMIN_URL_ORDERS_FILE"),
        ("DATABASE_URL_FIEL", "DATABASE_URL_FILE"),
    ],
)
def test_a_misspelt_variable_of_a_domain_is_named(monkeypatch: pytest.MonkeyPatch, variable: str, near: str) -> None:
    settings = loaded(monkeypatch, DATABASE_URL=ALL, **{variable: "/nowhere"})
    assert told(settings, ["library", "orders"]) == (
        f"{variable} is for no domain that is served (did you mean {near}?); correct it, or unset it."
    )


def test_variables_of_other_workers_and_programs_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example in a shared environment: a variable of ``order`` is no misspelling if ``orders`` has its own."""
    settings = loaded(
        monkeypatch,
        DATABASE_URL=ALL,
        DATABASE_URL_UNPOOLED="mysql://app:secret@db",
        DATABASE_URL_ORDER=ALL,
        DATABASE_URL_ORDERS=OWN,
    )
    assert [store.domains for store in stores_of(settings, ["library", "orders"])] == [("library",), ("orders",)]
    assert unread(settings, ["library", "orders"]) == ["DATABASE_URL_ORDER", "DATABASE_URL_UNPOOLED"]


def test_a_missing_letter_before_the_domains_name_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError) as raised:
        loaded(monkeypatch, DATABASE_URL_ORDERS=OWN, DATABASE_REPLICA_URL_ORDERS=OWN)
    assert str(raised.value) == (
        "DATABASE_REPLICA_URL_ORDERS is no setting (did you mean DATABASE_REPLICA_URLS_ORDERS?); correct it, or unset "
        "it."
    )


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"DATABASE_URL_ORDERS": "mysql://db/x"}, "DATABASE_URL_ORDERS: it must have the form postgresql://"),
        ({"DATABASE_URL_ORDERS": "postgresql://a:secret@b@c/x"}, "DATABASE_URL_ORDERS: in user name and password, "),
        (
            {"DATABASE_REPLICA_URLS_ORDERS": OWN},
            "DATABASE_REPLICA_URLS_ORDERS is set, and DATABASE_URL_ORDERS is not: replicas follow one primary",
        ),
        (
            {"DATABASE_ADMIN_URL_ORDERS": OWN},
            "DATABASE_ADMIN_URL_ORDERS is set, and DATABASE_URL_ORDERS is not, so that commands would go to ",
        ),
        (
            {"DATABASE_URL_ORDERS": OWN, "DATABASE_REPLICA_URLS_ORDERS": f"{OWN},db"},
            "DATABASE_REPLICA_URLS_ORDERS: each must have the form",
        ),
    ],
)
def test_an_error_for_one_domain_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], sentence: str
) -> None:
    found = told(loaded(monkeypatch, DATABASE_URL=ALL, **variables), ["orders"])
    assert found.startswith(sentence)
    assert "\n" not in found


def test_an_administrator_needs_no_other_address(monkeypatch: pytest.MonkeyPatch) -> None:
    """For example in a migration job, which has neither the domains nor the workers' addresses."""
    for name, url in (("DATABASE_ADMIN_URL", ALL), ("DATABASE_ADMIN_URL_NEW_ORDERS", ADMIN)):
        monkeypatch.setenv(name, url)
    settings = Settings.load(needs=("database_admin_url",))
    found = chosen(settings, None, by="database_admin_url")
    assert [(store.domains, store.database_admin_url) for store in found] == [((), ALL), (("new-orders",), ADMIN)]
    (own,) = chosen(settings, "new-orders", by="database_admin_url")
    assert own.database_admin_url == ADMIN
    with pytest.raises(
        Mistake,
        match=r"^there is no domain 'library': WORKER_DOMAINS is not set, and only new-orders have databases of",
    ):
        chosen(settings, "library", by="database_admin_url")


def test_commands_for_one_store_need_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    domains = "handlers.library:domain,handlers.warehouse:domain"
    settings = loaded(monkeypatch, DATABASE_URL=ALL, DATABASE_URL_WAREHOUSE=OWN, WORKER_DOMAINS=domains)
    with pytest.raises(Mistake) as raised:
        chosen_one(settings, None)
    assert str(raised.value) == (
        "there are several databases, each with a log of its own: choose one with --domain, of library "
        "(db:5432/events); warehouse (other/orders)."
    )
    assert chosen_one(settings, "warehouse").database_url == OWN
    with pytest.raises(Mistake) as raised:
        chosen_one(settings, "warehose")
    assert str(raised.value) == (
        "there is no domain 'warehose' in WORKER_DOMAINS; did you mean warehouse? It names library, warehouse."
    )


def test_servers_are_named_by_host_and_port() -> None:
    assert servers_of("postgresql://a:b@One,two:6000/x") == {"one:5432", "two:6000"}
    assert servers_of("postgresql://[::1]:6000/x") == {"[::1]:6000"}
    assert servers_of("postgresql:///x?host=/run/postgresql&port=5433") == {"/run/postgresql:5433"}
    assert servers_of("postgresql:///x?service=events") == frozenset()


def test_domains_with_different_events_of_one_name_may_have_two_stores(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = loaded(
        monkeypatch, DATABASE_URL=ALL, DATABASE_URL_BELLS=OWN, WORKER_DOMAINS=f"{__name__}:ringing,{BELLS}"
    )
    assert [domain.name for domain in served_domains(settings)] == ["ringing", "bells"]
    monkeypatch.setenv("DATABASE_URL_BELLS", ALL)
    for one_log in (Settings.load(needs=()), Settings(database_url=ALL, worker_domains=settings.worker_domains)):
        with pytest.raises(InvalidDomain, match=r"^the domains ringing and bells each have an event Rung of their own"):
            served_domains(one_log)
    # Commands without a database work without an address.
    monkeypatch.delenv("DATABASE_URL")
    assert len(served_domains(Settings.load(needs=()))) == 2


def test_domains_may_have_their_stores_in_schemas_of_one_database(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = loaded(
        monkeypatch,
        DATABASE_URL=ALL,
        DATABASE_REPLICA_URLS=f"{ALL}1",
        DATABASE_SCHEMA="shared",
        DATABASE_SCHEMA_ORDERS="orders",
        DATABASE_SCHEMA_RETURNS="orders",
        DATABASE_URL_AWAY=OWN,
    )
    stores = stores_of(settings, ["library", "orders", "returns", "away"])
    assert [(store.domains, store.database_schema, store.database_url) for store in stores] == [
        (("library",), "shared", ALL),
        (("orders", "returns"), "orders", ALL),
        (("away",), "shared", OWN),
    ]
    assert stores[1].database_replica_urls == (f"{ALL}1",)
    assert stores[1].variable("database_url") == "DATABASE_URL"
    assert str(stores[1]) == "orders, returns (db:5432/events, schema orders)"
    with pytest.raises(SettingsError, match=r"^DATABASE_ADMIN_URL is not set; "):
        stores_of(settings, ["orders"], by="database_admin_url")
    assert unread(settings, ["library", "orders", "away"]) == ["DATABASE_SCHEMA_RETURNS"]


@pytest.mark.parametrize("name", ["Orders", "order", "a_reading", ALL])
def test_an_invalid_schema_is_refused(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    with pytest.raises(SettingsError, match=r"^DATABASE_SCHEMA: [^\n]+\.$") as raised:
        loaded(monkeypatch, DATABASE_URL=ALL, DATABASE_SCHEMA=name)
    assert "secret" not in str(raised.value)
    monkeypatch.delenv("DATABASE_SCHEMA")
    settings = loaded(monkeypatch, DATABASE_URL=ALL, DATABASE_SCHEMA_ORDERS=name)
    assert told(settings, ["orders"]).startswith("DATABASE_SCHEMA_ORDERS: ")
