"""``worker console`` without its extra."""

import sys

import pytest

from worker.cli.console import console
from worker.failures import Mistake


@pytest.mark.parametrize("missing", ["starlette", "uvicorn", "jinja2"])
def test_a_missing_extra_is_reported_in_a_sentence(missing: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AMQP_URL", "amqp://a:b@127.0.0.1:1/x")
    for name in [each for each in sys.modules if each.startswith("worker.console")]:
        monkeypatch.delitem(sys.modules, name)
    for name in [each for each in sys.modules if each.partition(".")[0] == missing]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(Mistake) as told:
        console()
    assert str(told.value).startswith("`worker console` is not installed (")
    assert str(told.value).endswith("): pip install 'dynamic-streams-worker[console]'.")
