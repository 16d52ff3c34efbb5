"""The placement: whether commands arrive with the affinity key that their domain gives them."""

import logging
from collections.abc import Mapping
from typing import Any

from handlers.contained import Contained
from handlers.domain import Domain
from handlers.model import Command
from worker.counters import Counters
from worker.topology import AFFINITY_HEADER

__all__ = ["Placement"]

_log = logging.getLogger(__name__)


class Placement:
    """Compares a command's affinity header with the key that its domain gives it.

    A command with another key may be in another shard than the other commands of its key. It is decided nevertheless,
    since no decision relies on affinity, but it may conflict with them and overtake them.

    Args:
        domain: The domain of the commands.
        counters: Counts the commands with another key.
    """

    def __init__(self, domain: Domain, counters: Counters) -> None:
        self._domain = domain
        self._counters = counters
        self._has_told = False

    def check(self, headers: Mapping[str, Any], command: Command) -> None:
        """Check a command's affinity header. Each wrong one is counted; the first is logged.

        Args:
            headers: The message's headers.
            command: The command.
        """
        if self._domain.affinity is None:
            return
        trouble = "come with the header affinity-key missing or wrong: set it to the key's text, see docs/messages.md"
        try:
            with Contained():
                if headers.get(AFFINITY_HEADER) == self._domain.affinity_key(command):
                    return
        except Exception as error:  # noqa: BLE001  a user's function; deciding does not need its key
            trouble = f"have no key: the affinity raises {type(error).__name__}"
        self._counters.misplaced += 1
        if not self._has_told:
            self._has_told = True
            _log.warning("commands of %s, such as this %s, %s", self._domain.name, type(command).__name__, trouble)
