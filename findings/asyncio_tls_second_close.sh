#!/usr/bin/env bash
# CPython 3.11.7, 3.12.1 and 3.13.0: asyncio's TLS transport that was closed twice can no longer be aborted. uvloop 0.23.0's can.
#
# Seen: the peer is silent: it neither answers the TLS shutdown nor closes its socket. `transport.abort()` ends the connection at
# once, also after `transport.close()`. After a second `close()`, `abort()` does nothing: the connection is lost only when the timeout
# of the TLS shutdown is over, 30 s by default, and until then its socket and its protocol stay. The documentation says of `abort`
# that it closes the transport immediately. A guess was that a second `close()` changes nothing, as it does for a transport without TLS.
# Why: the second `close()` drops the transport's reference to the TLS protocol, which `abort()` needs.
# To avoid it: ask `is_closing()` before `close()`.
#
# Run: bash findings/asyncio_tls_second_close.sh. It needs python3 and installs into a temporary folder. It fails if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check trustme==1.2.1 uvloop==0.23.0
cat >"$folder/closing.py" <<'PY'
import asyncio
import contextlib
import socket
import ssl
import sys
import threading
import time

import trustme
import uvloop

AUTHORITY = trustme.CA()
CERTIFICATE = AUTHORITY.issue_cert("localhost")
LISTENING = socket.create_server(("127.0.0.1", 0))


def serve():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    CERTIFICATE.configure_cert(context)
    silent = []
    while True:
        accepted, _ = LISTENING.accept()
        with contextlib.suppress(OSError):  # the client's handshake ends first, and it may be gone by now
            silent.append(context.wrap_socket(accepted, server_side=True))


class Client(asyncio.Protocol):
    def __init__(self):
        self.lost = asyncio.get_running_loop().create_future()

    def connection_lost(self, error):
        if not self.lost.done():
            self.lost.set_result(error)


async def lost_in_time(*, closes, tls):
    context = None
    if tls:
        context = ssl.create_default_context()
        AUTHORITY.configure_trust(context)
    port = LISTENING.getsockname()[1]
    transport, client = await asyncio.get_running_loop().create_connection(
        Client, "127.0.0.1", port, ssl=context, server_hostname="localhost" if tls else None
    )
    for _ in range(closes):
        transport.close()
    transport.abort()
    begun = time.monotonic()
    try:
        async with asyncio.timeout(5):
            await client.lost
    except TimeoutError:
        print(f"  TLS {tls}, close() {closes} times, abort(): not lost after 5 s")
        return False
    print(f"  TLS {tls}, close() {closes} times, abort(): lost after {time.monotonic() - begun:.1f} s")
    return True


async def main():
    return [await lost_in_time(closes=closes, tls=True) for closes in (0, 1, 2)]


async def without_tls():
    return await lost_in_time(closes=2, tls=False)


threading.Thread(target=serve, daemon=True).start()
for name, factory, expected in (
    ("asyncio of Python " + sys.version.split()[0], None, [True, True, False]),
    ("uvloop " + uvloop.__version__, uvloop.new_event_loop, [True, True, True]),
):
    print(name)
    with asyncio.Runner(loop_factory=factory) as runner:
        if runner.run(main()) != expected:
            sys.exit("changed: only asyncio's connection that was closed twice was expected to stay")
with asyncio.Runner() as runner:
    if not runner.run(without_tls()):
        sys.exit("changed: without TLS, a second close was expected to change nothing")
PY
"$folder/env/bin/python" "$folder/closing.py"
