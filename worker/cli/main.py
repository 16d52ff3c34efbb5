"""The program ``worker``: starts all commands in the same way, and reports all failures in the same way.

Starting Python is most of the cost of a short command, and imports are most of the rest. So this module imports almost
nothing, a probe is answered before the command line is built, and a command's module is imported when it is called.
"""

import sys

from worker.cli.probe import probe

__all__ = ["main"]


def main() -> None:
    """Run the command line, and exit.

    Exit status: 0 done; 1 done, but with a negative answer, as each command's help says; 2 a mistake in the call, the
    settings or the surroundings, reported in one sentence on standard error.
    """
    if (status := probe(sys.argv[1:])) is not None:
        sys.exit(status)
    from worker.cli.streams import NotWritten, escape_what_cannot_be_written, written_out  # noqa: PLC0415  a probe does not need it
    from worker.telemetry.early_variables import set_early_mistakes_aside  # noqa: PLC0415  the same

    set_early_mistakes_aside()  # before anything is imported that reads them
    escape_what_cannot_be_written()
    from worker.cli.app import app  # noqa: PLC0415  the same
    from worker.failures import Mistake, telling  # noqa: PLC0415  the same

    with telling("worker"):
        try:
            with written_out():
                app()
        except NotWritten as error:
            raise Mistake(f"{error}.") from None
