"""The size of a fault test: short by default, long if the environment says so."""

import os
from dataclasses import dataclass

import pytest

__all__ = ["WITH_FOLLOWERS", "Size"]

_SHORT_COMMANDS = 300
_SHORT_BLOWS = 3
# Commands per blow.
_LONG_BATCH = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """The size of one run.

    Attributes:
        commands: The least number of commands, without the set-up.
        blows: The number of times that the fault is injected.
        seed: The same seed gives the same commands, and blows at about the same commands.
    """

    commands: int
    blows: int
    seed: int

    @classmethod
    def chosen(cls, *, short_blows: int = _SHORT_BLOWS, most_blows: int | None = None) -> "Size":
        """Read ``FAULTS_COMMANDS`` (without it, the short form) and ``FAULTS_SEED`` (1).

        Args:
            short_blows: The number of blows in the short form, and the least number in the long form.
            most_blows: The most blows in any form, for a fault with a long recovery.
        """
        seed = int(os.environ.get("FAULTS_SEED", "1"))
        if (named := os.environ.get("FAULTS_COMMANDS")) is None:
            return cls(commands=_SHORT_COMMANDS, blows=short_blows, seed=seed)
        commands = int(named)
        blows = max(short_blows, commands // _LONG_BATCH)
        return cls(commands=commands, blows=blows if most_blows is None else min(blows, most_blows), seed=seed)

    @staticmethod
    def is_long() -> bool:
        """Whether this is the long form."""
        return "FAULTS_COMMANDS" in os.environ


WITH_FOLLOWERS = (
    pytest.param(0, id="workers"),
    pytest.param(
        2,
        id="followers",
        marks=pytest.mark.skipif(
            not Size.is_long(), reason="only in the long form: killed followers cover the short one"
        ),
    ),
)
"""How many processes follow the log in a trial: none, and in the long form two as well."""
