"""The daemon: the process that owns the stack of ``make up``, after that command has ended.

It says one line of JSON on its standard output: the addresses, once the stack serves, or what went wrong. It stops the
stack when it is told to end by SIGTERM, also while it starts, and when nobody is there any more to hear that line.
"""

import json
import os
import signal
import sys
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.stack import LocalStack
from deploy.local.stack_folder import StackFolder

__all__: list[str] = []


def _end(_number: int, _frame: object) -> None:
    raise SystemExit(0)


def _say(reply: dict[str, object]) -> None:
    os.write(sys.stdout.fileno(), json.dumps(reply).encode() + b"\n")
    # The process that started it may wait for the end of its output, as the reader of a pipe does.
    nothing = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nothing, sys.stdout.fileno())
    os.close(nothing)


def _keep(folder: StackFolder) -> None:
    if not folder.claim():
        _say({"error": "A local stack runs already: stop it with 'make down'."})
        return
    try:
        with LocalStack(watched=True, held=folder.locks) as stack:
            folder.note(stack.environment())
            _say({"addresses": stack.environment(), "notes": stack.notes})
            while True:
                signal.pause()
    except StackError as error:
        _say({"error": str(error)})
    except BrokenPipeError:
        return
    finally:
        folder.remove()


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, _end)
    try:
        _keep(StackFolder(Path(sys.argv[1])))
    except StackError as error:
        _say({"error": str(error)})
