"""``worker db states drop`` at a terminal asks for confirmation."""

import io
import sys
from datetime import UTC, datetime

import pytest

from eventstore.postgres import ViewStates
from worker.cli import states as _  # noqa: F401  imports the module, which has the commands' name
from worker.cli.main import main
from worker.settings import Settings

module = sys.modules["worker.cli.states"]

SHELF = ViewStates(
    domain="shop",
    view="shelf",
    version=1,
    states=3,
    bytes=4000,
    lowest=5,
    highest=1005,
    written_at=datetime(2026, 1, 2, tzinfo=UTC),
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def dropped(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, object]]:
    """The states dropped from a database with three states of one view."""
    taken: list[dict[str, object]] = []

    async def list_states(_url: str, **_wanted: object) -> tuple[ViewStates, ...]:
        return (SHELF,)

    async def drop_states(_url: str, **wanted: object) -> int:
        taken.append(wanted)
        return 3

    for name in Settings.described():
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATABASE_ADMIN_URL", "postgresql://db/events")
    monkeypatch.setattr(sys, "argv", ["worker", "db", "states", "drop", "--view", "shelf"])
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(module, "list_states", list_states)
    monkeypatch.setattr(module, "drop_states", drop_states)
    return taken


@pytest.mark.parametrize(
    ("answer", "end"), [("y", (0, "Dropped 3 stored states.")), ("n", (1, "Nothing was dropped."))]
)
def test_it_drops_only_after_a_confirmation(
    dropped: list[dict[str, object]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    answer: str,
    end: tuple[int, str],
) -> None:
    monkeypatch.setattr(sys, "stdin", Terminal(f"{answer}\n"))
    with pytest.raises(SystemExit) as raised:
        main()
    printed = capsys.readouterr()
    assert (raised.value.code, printed.out.strip()) == end
    assert printed.err.startswith("3 stored states of shop.shelf will be dropped.")
    assert dropped == (
        [{"schema": "eventstore", "domain": None, "view": "shelf", "version": None}] if answer == "y" else []
    )
