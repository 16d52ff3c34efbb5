"""Where the program ``worker`` begins: before anything is imported that somebody's own package could stand in for.

The names of this project's packages are common ones. Where a folder on Python's path has another ``handlers``, half of
this program would be imported from there, or that would be run in its place.
"""

import os
import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["main"]

_OURS = ("eventstore", "handlers", "worker")
_INTERRUPTED = 130


def main() -> None:
    """Run the command line, and exit; with status 2 and a sentence where another package hides one of ours."""
    try:
        _run()
    except KeyboardInterrupt:
        # Most of a start is imports, and Ctrl-C during these is no bug either. So this module itself imports nothing
        # that takes time.
        sys.exit(_INTERRUPTED)


def _run() -> None:
    from importlib.util import find_spec  # noqa: PLC0415  see ``main``

    _open_streams()
    for name in _OURS:
        if (place := _hiding(name)) is not None:
            told = (
                f"worker: {place} hides the package {name} of this program; rename it, or take its folder off Python's "
                f"path: the names {', '.join(_OURS[:-1])} and {_OURS[-1]} are taken."
            )
            print(told, file=sys.stderr)  # noqa: T201  it speaks to a person at a terminal
            sys.exit(2)
    if find_spec("typer") is None:
        told = "worker: what the worker needs is not installed: pip install 'dynamic-streams-worker[worker]'"
        print(told, file=sys.stderr)  # noqa: T201  the same
        sys.exit(2)
    from worker.cli import main as run  # noqa: PLC0415  only now it is known to be ours

    run()


def _open_streams() -> None:
    """Open to nowhere what was closed at the start: else the first connection would be the standard stream."""
    for number, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is not None:
            continue
        nowhere = os.open(os.devnull, os.O_RDWR)
        if nowhere != number:
            os.dup2(nowhere, number)
            os.close(nowhere)
        setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115  it stays open


def _hiding(name: str) -> "Path | None":
    """Return where a package would be imported from, if that is not beside this file."""
    from importlib.util import find_spec  # noqa: PLC0415  see ``main``
    from pathlib import Path  # noqa: PLC0415  the same

    spec = find_spec(name)
    if spec is None or spec.origin is None:
        # What is installed in part says so itself.
        return None
    found = Path(spec.origin).resolve()
    if found == Path(__file__).resolve().parent / name / "__init__.py":
        return None
    return found.parent if found.name == "__init__.py" else found
