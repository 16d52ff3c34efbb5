"""The progress bar of imports and adoptions, on a terminal and elsewhere."""

import io
import sys

import pytest

from eventstore import OutcomeUnknown, StoreUnavailable
from worker.cli.bulk_progress import bulk_progress, told_to_go_on
from worker.failures import Mistake
from worker.stores import StoreSettings


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_on_a_terminal_it_shows_progress_and_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.setenv("TERM", "xterm")
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with bulk_progress("importing") as progress:
        for done in (10, 1010, 2010):
            progress(done, 2010)
    shown = terminal.getvalue()
    assert "importing" in shown
    assert "2,010 of 2,010 events, " in shown
    assert " a second" in shown


def test_elsewhere_it_shows_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    with bulk_progress("checking", is_bytes=True) as progress:
        progress(1, 2)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize("error", [StoreUnavailable("the server is gone"), OutcomeUnknown("the connection broke")])
def test_a_transient_failure_says_how_to_continue(error: Exception) -> None:
    with (
        pytest.raises(
            Mistake, match=r"Recorded events stay recorded: run the same command again to continue after them\.$"
        ),
        told_to_go_on(StoreSettings()),
    ):
        raise error


def test_what_is_kept_is_named() -> None:
    with (
        pytest.raises(Mistake, match=r"\. Ranges stay moved: run the same command again"),
        told_to_go_on(StoreSettings(), "Ranges stay moved"),
    ):
        raise StoreUnavailable("the server is gone")
