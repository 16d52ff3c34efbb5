"""The local stack: real PostgreSQL and RabbitMQ servers on this machine, without Docker."""

import sys
from types import TracebackType


def _without_a_traceback(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)


# Each program of this package first imports for a second or two, before it can catch anything: Ctrl-C during that is no
# bug. While Python looks for the program of ``-m``, as only then, this is its name.
if sys.argv[:1] == ["-m"]:
    sys.excepthook = _without_a_traceback
