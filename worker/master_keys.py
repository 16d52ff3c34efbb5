"""Master keys, as the settings give them."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from handlers.domain import Domain
from worker.errors import SettingsError
from worker.settings import Settings

if TYPE_CHECKING:
    from handlers.erasure.master_key import MasterKeys

__all__ = ["check_master_keys", "master_keys"]


def master_keys(settings: Settings) -> "MasterKeys | None":
    """Return what wraps the keys of subjects; None if nothing is set.

    Raises:
        SettingsError: One is no key, or the package that encrypts is missing.
    """
    if not settings.worker_master_keys:
        return None
    from handlers.erasure.master_key import InvalidMasterKey, MasterKeys  # noqa: PLC0415  few domains need it

    try:
        return MasterKeys(settings.worker_master_keys)
    except InvalidMasterKey as error:
        raise SettingsError(f"WORKER_MASTER_KEYS: {error}.") from error


def check_master_keys(settings: Settings, domains: Iterable[Domain]) -> None:
    """See that there is a master key where a domain needs one.

    Raises:
        SettingsError: There is none, or it is no key.
    """
    if master_keys(settings) is None and (sensitive := [domain.name for domain in domains if domain.sensitive]):
        raise SettingsError(
            f"WORKER_MASTER_KEYS is not set, and the domain {sensitive[0]} has events with Sensitive fields, which are "
            "sealed; `openssl rand -base64 32` makes one. Keep it outside the database, and never lose it."
        )
