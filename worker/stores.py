"""Stores: in which database each domain has its events, by the settings for all domains and for single ones."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, TypeAlias
from urllib.parse import urlsplit

from worker.credentials import Unreadable, address_of, from_files, servers_of
from worker.database_addresses import ADDRESS_FIELDS, DEFAULT_SCHEMA, DatabaseAddresses
from worker.domain_variables import nearly_one, setting_of, suffix_of, suffixes
from worker.errors import SettingsError
from worker.setting import settings_of
from worker.settings import DatabaseDriver, Settings, not_set, told

__all__ = ["AddressField", "StoreSettings", "place_of", "stores_of", "unread"]

_SCHEMA = "database_schema"

AddressField: TypeAlias = Literal["database_url", "database_admin_url"]


@dataclass(frozen=True, slots=True, kw_only=True)
class StoreSettings:
    """One event store with its own connections, and the domains whose events are in it.

    Attributes:
        domains: The domains' names; empty if the program does not know them.
        database_url: Address of the primary.
        database_replica_urls: Addresses of its replicas.
        database_admin_url: Address of the primary as the role that owns the schema; empty if it is not set.
        database_schema: The schema of the store in the database.
        database_driver: The driver for these addresses.
        suffix: Suffix of the domain's own variables; empty if the variables for all domains apply.
    """

    domains: tuple[str, ...] = ()
    database_url: str = ""
    database_replica_urls: tuple[str, ...] = ()
    database_admin_url: str = ""
    suffix: str = ""
    database_driver: DatabaseDriver = "asyncpg"
    database_schema: str = DEFAULT_SCHEMA

    @property
    def place(self) -> str:
        """Where it is, without a password."""
        return place_of(self.database_url or self.database_admin_url, self.database_schema)

    def variable(self, field: str) -> str:
        """Return the name of the variable that sets a field of this store."""
        return setting_of(field, self.suffix).upper()

    def __str__(self) -> str:
        """Return a text for people: its domains, and where it is."""
        return f"{', '.join(self.domains)} ({self.place})" if self.domains else self.place


def place_of(url: str, schema: str) -> str:
    """Return where a store is, as may be shown: host, port, database, and the schema if it is not the default."""
    return address_of(url) if schema == DEFAULT_SCHEMA else f"{address_of(url)}, schema {schema}"


def stores_of(
    settings: Settings, domains: Sequence[str] = (), *, by: AddressField = "database_url", only: str | None = None
) -> tuple[StoreSettings, ...]:
    """Return the stores of some domains, in the domains' order.

    Domains with the same address and schema share one store.

    Args:
        settings: The worker's settings.
        domains: The domains' names. If empty, the domains that have settings of their own, and the store for all
            others.
        by: The address that must be set.
        only: The one domain whose store is wanted; None for those of all.

    Raises:
        SettingsError: Two domains have the same variables; a variable is for no domain and probably misspelt; or an
            address is missing, wrong, or set without the one that it needs.
    """
    own = settings.domain_databases
    if domains:
        _check_names(domains, own)
        named = [(suffix_of(domain), domain) for domain in domains if only in {None, domain}]
    else:
        named = [(suffix, suffix.lower().replace("_", "-")) for suffix in suffixes(own)]
        if getattr(settings, by) or not named:
            named.insert(0, ("", ""))
    found: dict[object, StoreSettings] = {}
    missing: list[str] = []
    for suffix, domain in named:
        addresses, is_own = _addresses(settings, suffix)
        if not (address := getattr(addresses, by)):
            missing.append(not_set(setting_of(by, suffix if is_own else ""), field=by))
            continue
        key = _identity(address), addresses.database_schema
        names = (domain,) if domain else ()
        known = found.get(key) or StoreSettings(
            suffix=suffix if is_own else "",
            database_driver=settings.database_driver,
            database_schema=addresses.database_schema,
        )
        found[key] = _joined(known, addresses, names)
    if missing:
        raise SettingsError("\n".join(dict.fromkeys(missing)))
    return tuple(found.values())


def unread(settings: Settings, domains: Sequence[str]) -> list[str]:
    """Return the variables for domains that are not served. They may be meant for another program."""
    return [name for name, _ in nearly_one(settings.domain_databases, map(suffix_of, domains))]


def _check_names(domains: Sequence[str], own: Mapping[str, str]) -> None:
    """Check that each variable is for at most one domain, and that none is probably misspelt."""
    by_suffix: dict[str, str] = {}
    problems = []
    for domain in domains:
        other = by_suffix.setdefault(suffix_of(domain), domain)
        if other != domain:
            variable = setting_of("database_url", suffix_of(domain)).upper()
            problems.append(
                f"the domains {other} and {domain} have the same name in settings: {variable} would apply to both; "
                "rename one, or serve each by workers of its own."
            )
    problems += [
        f"{name} is for no domain that is served (did you mean {near}?); correct it, or unset it."
        for name, near in nearly_one(own, by_suffix)
        if near is not None
    ]
    if problems:
        raise SettingsError("\n".join(problems))


def _addresses(settings: Settings, suffix: str) -> tuple[DatabaseAddresses, bool]:
    """Return the addresses and schema of a domain, and whether the addresses are its own."""
    names = {setting_of(field, suffix): field for field in ADDRESS_FIELDS}
    own = settings.domain_databases
    try:
        in_files = from_files(own, names if suffix else (), optional={setting_of("database_replica_urls", suffix)})
    except Unreadable as error:
        raise SettingsError(str(error)) from None
    its, given, problems = settings_of(DatabaseAddresses), {}, []
    for name, field in names.items():
        if text := own.get(name.upper(), in_files.get(name, "")):
            try:
                given[field] = its[field].read(text)
            except ValueError as problem:
                problems.append(told(name, problem))
    if problems:
        raise SettingsError("\n".join(problems))
    addresses = DatabaseAddresses(**{_SCHEMA: settings.database_schema, **given})
    if not given.keys() - {_SCHEMA}:
        in_all = {field: getattr(settings, field) for field in ADDRESS_FIELDS}
        return DatabaseAddresses(**{**in_all, _SCHEMA: addresses.database_schema}), False
    url = setting_of("database_url", suffix).upper()
    if addresses.database_replica_urls and not addresses.database_url:
        replicas = setting_of("database_replica_urls", suffix).upper()
        raise SettingsError(f"{replicas} is set, and {url} is not: replicas follow one primary; set both.")
    if settings.database_url and not addresses.database_url:
        admin = setting_of("database_admin_url", suffix).upper()
        raise SettingsError(
            f"{admin} is set, and {url} is not, so that commands would go to the database of DATABASE_URL; set both."
        )
    return addresses, True


def _joined(known: StoreSettings, addresses: DatabaseAddresses, domains: tuple[str, ...]) -> StoreSettings:
    """Return a store to which further domains are added."""
    return replace(
        known,
        domains=known.domains + domains,
        database_url=known.database_url or addresses.database_url,
        database_replica_urls=_distinct((*known.database_replica_urls, *addresses.database_replica_urls)),
        database_admin_url=known.database_admin_url or addresses.database_admin_url,
    )


def _distinct(urls: Iterable[str]) -> tuple[str, ...]:
    found: dict[object, str] = {}
    for url in urls:
        found.setdefault(_identity(url), url)
    return tuple(found.values())


def _identity(url: str) -> object:
    """Return a value that is equal for two spellings of the same address: role, hosts with ports, and the rest."""
    parts = urlsplit(url)
    return parts.netloc.rpartition("@")[0], servers_of(url), parts.path, parts.query
