"""``worker health`` as probes call it, without the imports that all other commands need."""

import os
from collections.abc import Sequence

from worker.supervision.probe import ask

__all__ = ["probe"]

_MOST_PORT = 65535


def probe(arguments: Sequence[str]) -> int | None:
    """Ask the worker on this machine for its health and print why, if the command line is a probe.

    Args:
        arguments: The command line, without the program's name.

    Returns:
        The exit status; None for any other command, and if the call or a setting is not simple: the command ``health``
        then reports what is wrong.
    """
    if not arguments or arguments[0] != "health" or not {"--live", "--ready"}.issuperset(arguments[1:]):
        return None
    port = os.environ.get("WORKER_HEALTH_PORT", "")
    if not (port.isascii() and port.isdigit() and len(port) <= len(str(_MOST_PORT)) and 0 < int(port) <= _MOST_PORT):
        return None
    # As with other options, the last one counts.
    good, reason = ask(os.environ.get("WORKER_HEALTH_HOST") or "127.0.0.1", int(port), ready=arguments[-1] == "--ready")
    print(reason)  # noqa: T201  plain, for a log
    return 0 if good else 1
