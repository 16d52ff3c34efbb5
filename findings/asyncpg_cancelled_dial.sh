#!/usr/bin/env bash
# asyncpg 0.32.0: a `connect` that is cancelled just after its socket is connected leaves an exception that nobody can retrieve.
#
# Seen: cancelled in each of the first twelve turns of the event loop, `connect` always raises CancelledError, as it should. In one or
# two of these turns the event loop's exception handler, and so the log at ERROR, is told as well: "Future exception was never
# retrieved", a ConnectionError "unexpected connection_lost() call". It names neither asyncpg nor a server, and comes when the garbage
# collector does. A guess was that a cancelled call, also one that ends by its own timeout, is over when it has raised.
# Why: the protocol that asks for TLS makes a future when it is made. Cancelled before that future is awaited, the transport is closed,
# and the protocol sets the exception on it.
#
# Run: bash findings/asyncpg_cancelled_dial.sh. It needs python3 and installs into a temporary folder. It fails if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check asyncpg==0.32.0
cat >"$folder/dial.py" <<'PY'
import asyncio
import gc
import sys

import asyncpg


async def main():
    told = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: told.append(context))
    server = await asyncio.start_server(lambda reader, _writer: reader.read(), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    print("Python", sys.version.split()[0], "asyncpg", asyncpg.__version__)
    left = 0
    for turns in range(12):
        told.clear()
        dial = asyncio.create_task(asyncpg.connect(host="127.0.0.1", port=port, user="u", database="d"))
        for _ in range(turns):
            await asyncio.sleep(0)
        dial.cancel()
        (raised,) = await asyncio.gather(dial, return_exceptions=True)
        for _ in range(20):
            await asyncio.sleep(0)
        gc.collect()
        print(f"cancelled after {turns} turns: raised {type(raised).__name__}; told", [str(each["exception"]) for each in told])
        if not isinstance(raised, asyncio.CancelledError):
            sys.exit("changed: CancelledError was expected")
        left += sum("unexpected connection_lost() call" in str(each["exception"]) for each in told)
    if not left:
        sys.exit("changed: nothing is left behind any more")


asyncio.run(main())
PY
"$folder/env/bin/python" "$folder/dial.py"
