"""``worker db prune`` at a terminal asks for confirmation."""

import io
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from eventstore.postgres import Prunable
from worker.cli import prune as _  # noqa: F401  imports the module, which has the command's name
from worker.cli.main import main
from worker.settings import Settings

pruning = sys.modules["worker.cli.prune"]


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def deleted(monkeypatch: pytest.MonkeyPatch) -> list[Prunable]:
    """The deletions from a database with three old receipts."""
    taken: list[Prunable] = []

    async def count(_url: str, _age: timedelta, *, schema: str) -> Prunable:  # noqa: ARG001  the replaced function's signature
        return Prunable(before=datetime(2026, 1, 2, tzinfo=UTC), receipts=3, total=10, pages=1)

    async def delete(_url: str, found: Prunable, *, schema: str, progress: Callable[[int], None]) -> int:  # noqa: ARG001  the replaced function's signature
        taken.append(found)
        progress(3)
        return 3

    for name in Settings.described():
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setenv("DATABASE_ADMIN_URL", "postgresql://db/events")
    monkeypatch.setattr(sys, "argv", ["worker", "db", "prune", "--older-than", "12w"])
    monkeypatch.setattr(sys, "path", sys.path.copy())
    monkeypatch.setattr(pruning, "count_prunable", count)
    monkeypatch.setattr(pruning, "delete", delete)
    return taken


@pytest.mark.parametrize(("answer", "end"), [("y", (0, "Deleted 3 receipts.")), ("n", (1, "Nothing was deleted."))])
def test_it_deletes_only_after_a_confirmation(
    deleted: list[Prunable],
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
    assert printed.err.startswith("3 of 10 receipts, recorded before 2026-01-02 00:00 UTC, will be deleted.")
    assert len(deleted) == (answer == "y")
