"""The program ``worker``: one way to start, and one way to fail.

Python's start is most of what a short command costs, and imports are most of the rest. So this module imports hardly
anything, a probe is answered before the command line is built, and a command's module is loaded when it is called.
"""

import sys

from worker.cli.probe import probe

__all__ = ["main"]

_INTERRUPTED = 130


def main() -> None:
    """Run the command line, and exit.

    Exit status: 0 done; 1 done, but the answer is a bad one, as each command's help says; 2 a mistake in the call,
    the settings or the surroundings, told in one sentence on standard error; 130 interrupted by Ctrl-C.
    """
    try:
        if (status := probe(sys.argv[1:])) is not None:
            sys.exit(status)
        from worker.cli.streams import NotWritten, escape_what_cannot_be_written, written_out  # noqa: PLC0415  a probe does without
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
    except KeyboardInterrupt:
        # Most of a start is imports: there, Ctrl-C is nobody's bug either.
        sys.exit(_INTERRUPTED)
