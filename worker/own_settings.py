"""Own settings: the settings for single domains, for showing them to people."""

from collections.abc import Sequence
from dataclasses import dataclass

from worker.credentials import Unreadable, from_files, redacted
from worker.database_addresses import DatabaseAddresses
from worker.domain_variables import read_variable, setting_of, suffix_of
from worker.errors import SettingsError
from worker.setting import settings_of
from worker.settings import Settings

__all__ = ["OwnSetting", "own_settings"]


@dataclass(frozen=True, slots=True, kw_only=True)
class OwnSetting:
    """A setting for one domain.

    Attributes:
        name: Its variable; if a file holds the value, the variable that could hold it instead.
        value: Its value, without a password. A file is read only for a domain that is served.
        origin: Where the value comes from: the environment, or a file's path.
        meaning: What the setting means.
    """

    name: str
    value: str
    origin: str
    meaning: str


def own_settings(settings: Settings, domains: Sequence[str], *, only: str | None = None) -> list[OwnSetting]:
    """Return the settings for single domains, in the order of their names.

    Args:
        settings: The worker's settings.
        domains: The domains that are served; empty if that is not known.
        only: The domain whose settings to return; None for all.

    Raises:
        SettingsError: The file of a served domain's setting cannot be used.
    """
    names = {suffix_of(domain): domain for domain in domains}
    found = []
    for variable, value in sorted(settings.domain_databases.items()):
        field, suffix, is_file = read_variable(variable)
        domain = names.get(suffix)
        if only not in {None, domain}:
            continue
        is_read = not names or domain is not None
        whose = f"for the domain {domain or suffix}" if is_read else "for a domain that is not served: it is not read"
        meaning = settings_of(DatabaseAddresses)[field].meaning
        found.append(
            OwnSetting(
                name=setting_of(field, suffix).upper(),
                value=_shown(field, _content(setting_of(field, suffix), variable, value) if is_file else value)
                if is_read or not is_file
                else "",
                # An address may have been put in place of a path: its password is not shown.
                origin=f"file {redacted(value)}" if is_file else "environment",
                meaning=f"{meaning[:1].upper()}{meaning[1:].rstrip('.')}; {whose}.",
            )
        )
    return found


def _content(name: str, variable: str, path: str) -> str:
    try:
        return from_files({variable: path}, [name], optional={name}).get(name, "")
    except Unreadable as error:
        raise SettingsError(str(error)) from None


def _shown(field: str, value: str) -> str:
    if field != "database_replica_urls":
        return redacted(value)
    return ",".join(redacted(url.strip()) for url in value.replace("\n", ",").split(",") if url.strip())
