"""The stack of ``make up``: it runs in the background until ``make down``."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

from deploy.local.errors import StackError
from deploy.local.server import until
from deploy.local.stack import LocalStack
from deploy.local.stack_folder import StackFolder

__all__ = ["answers", "down", "up"]

_CLONE = Path(__file__).resolve().parents[2]
_STOP_SECONDS = 60.0
_ANSWER_SECONDS = 2.0


def up(folder: StackFolder) -> tuple[dict[str, str], list[str]]:
    """Start a stack that outlives this process.

    Args:
        folder: Gets its addresses.

    Returns:
        Its addresses by environment variable, and what was left out of it, each a sentence.

    Raises:
        StackError: It could not be started, or one runs already.

    On any exception, an interrupt among them, no stack is left.
    """
    LocalStack.check()  # here, where a person sees that something is being installed or fetched
    daemon = subprocess.Popen(
        [sys.executable, "-m", "deploy.local.daemon", str(folder.path)],
        cwd=_CLONE,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        line = daemon.stdout.readline() if daemon.stdout is not None else b""
    except BaseException:
        daemon.send_signal(signal.SIGTERM)
        daemon.wait()
        raise
    finally:
        if daemon.stdout is not None:
            daemon.stdout.close()
    reply = json.loads(line or b'{"error": "The process that keeps the local stack has ended: start it again."}')
    if "error" in reply:
        daemon.wait()
        raise StackError(reply["error"])
    return reply["addresses"], reply["notes"]


def down(folder: StackFolder) -> bool:
    """Stop the stack in the background, wait until it is gone, and remove its folder.

    Returns:
        Whether one ran.

    Raises:
        StackError: It does not end, or belongs to another user.
    """
    if not folder.is_locked():
        folder.remove()
        return False
    daemon = until(folder.daemon, _ANSWER_SECONDS, "the local stack's daemon to name itself")
    try:
        if daemon is not None:
            os.kill(daemon, signal.SIGTERM)
    except ProcessLookupError:
        pass  # it was ending by itself
    except PermissionError:
        raise StackError(f"The local stack (process {daemon}) is another user's: stop it as that user.") from None
    until(lambda: not folder.is_locked(), _STOP_SECONDS, "the local stack to end")
    folder.remove()
    return True


def answers(addresses: Mapping[str, str]) -> dict[str, bool]:
    """Return, for each server's ``host:port`` in the addresses, whether something listens there."""
    places = {
        urlsplit(url).netloc.rpartition("@")[2]
        for value in addresses.values()
        for url in value.split(",")
        if "://" in url
    }
    return {place: _listens(place) for place in sorted(places)}


def _listens(place: str) -> bool:
    host, _, port = place.rpartition(":")
    try:
        socket.create_connection((host, int(port)), timeout=_ANSWER_SECONDS).close()
    except OSError:
        return False
    return True
