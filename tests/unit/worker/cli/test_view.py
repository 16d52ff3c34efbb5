"""``worker view`` without a name lists the views and the parts of their keys. It needs no server."""

import json
import re
import sys

import pytest

from worker.cli.main import main
from worker.settings import Settings


@pytest.fixture(autouse=True)
def _library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.described():
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("WORKER_DOMAINS", "handlers.library:domain,tests.unit.handlers.lamps:domain")
    monkeypatch.setattr(sys, "path", sys.path.copy())


def listed(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *arguments: str) -> str:
    monkeypatch.setattr(sys, "argv", ["worker", "view", *arguments])
    with pytest.raises(SystemExit) as raised:
        main()
    assert raised.value.code in {None, 0}
    return capsys.readouterr().out


def test_views_are_listed_with_their_keys(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    heading, *rows = listed(capsys, monkeypatch).splitlines()
    assert heading.split() == ["domain", "view", "key", "version", "stored", "every"]
    assert any(re.fullmatch(r"library +lent-by-reader +READER_ID +1 *", row) for row in rows)
    assert any(re.fullmatch(r"library +lent-out +1 +[\d,]+ events *", row) for row in rows)
    assert any(re.fullmatch(r"lamps +light +LAMP +1 *", row) for row in rows)


def test_json_lists_the_views_of_one_domain(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    document = json.loads(listed(capsys, monkeypatch, "--domain", "lamps", "--json"))
    assert document == [{"domain": "lamps", "view": "light", "version": 1, "key": ["lamp"], "stored_every": None}]
