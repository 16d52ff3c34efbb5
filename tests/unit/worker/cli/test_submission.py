"""Published commands have their domain's affinity key."""

from dataclasses import replace
from typing import Any

import pytest

from tests.support.domains.sharded import domain
from tests.support.domains.tally import domain as tally
from worker.cli.submission import Submissions
from worker.failures import Mistake
from worker.settings import Settings


def test_a_command_has_its_affinity_key() -> None:
    assert Submissions([domain], Settings()).single("Count", b'{"Key": "tea"}', None).affinity_key == "tea"
    assert Submissions([tally], Settings()).single("Count", b'{"Key": "tea"}', None).affinity_key is None


def test_a_command_without_a_valid_key_is_not_sent() -> None:
    failing = replace(domain, affinity=lambda command: command.shelf)
    with pytest.raises(Mistake, match=r"the affinity of tally fails for Count: AttributeError: .*shelf"):
        Submissions([failing], Settings()).single("Count", b'{"Key": "tea"}', None)
    fraction: Any = 0.5
    wrong = replace(domain, affinity=lambda _: fraction)
    with pytest.raises(Mistake, match=r"the affinity of the domain tally returns a float for Count: use a str"):
        Submissions([wrong], Settings()).single("Count", b'{"Key": "tea"}', None)
