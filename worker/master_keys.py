"""Master keys, from the settings."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

from handlers.domain import Domain
from worker.errors import SettingsError
from worker.settings import Settings

if TYPE_CHECKING:
    from handlers.erasure.master_key import MasterKeys

__all__ = ["check_master_keys", "master_keys"]


def master_keys(settings: Settings) -> "MasterKeys | None":
    """Return the keys that encrypt the subjects' keys; None if none is set.

    Raises:
        SettingsError: A key is invalid, or the encryption package is not installed.
    """
    if not settings.worker_master_keys:
        return None
    from handlers.erasure.master_key import InvalidMasterKey, MasterKeys  # noqa: PLC0415  few domains need it

    try:
        return MasterKeys(settings.worker_master_keys)
    except InvalidMasterKey as error:
        raise SettingsError(f"WORKER_MASTER_KEYS: {error}.") from error


def check_master_keys(settings: Settings, domains: Iterable[Domain]) -> None:
    """Check that a master key is set if a domain needs one.

    Raises:
        SettingsError: A domain needs one and none is set, or a key is invalid.
    """
    if master_keys(settings) is None and (sensitive := [domain.name for domain in domains if domain.sensitive]):
        raise SettingsError(
            f"WORKER_MASTER_KEYS is not set, and the domain {sensitive[0]} has events with Sensitive fields, which are "
            "sealed; `openssl rand -base64 32` makes one. Keep it outside the database, and never lose it."
        )
