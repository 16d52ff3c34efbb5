#!/usr/bin/env bash
# aiormq 7.2.4 (Python 3.11): a task that is cancelled soon after it began to close a channel is not cancelled, and goes on.
#
# Seen: a task that declares a queue and is cancelled before the broker answers ends with CancelledError, at whichever turn of the event
# loop that comes. One that closes a channel ends with CancelledError only if it is cancelled early or late: in some turns between, close()
# returns as if the broker had answered, and the task runs on, with a request to cancel it that nothing will ever raise again. Behind
# `async with` (aio_pika opens and closes a channel so) the code after the block goes on; a service that cancels its tasks at its end
# waits for such a task for ever. A guess was that a cancelled await raises, whatever it waits for.
# Why: close() suppresses what ends the exchange with the broker, also where that is the mark of the caller's cancellation.
#
# Run: bash findings/aiormq_close_forgets_cancellation.sh. It needs python3 and installs into a temporary folder; in place of a broker,
# a few lines answer what a connection and a channel ask for, the rest after a while. It fails if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check aiormq==7.2.4
cat >"$folder/closing.py" <<'PY'
import asyncio
import logging
import sys
from importlib.metadata import version

import aiormq
from pamqp import commands, frame, header

LATE = 0.5
AT_ONCE = {
    "Connection.StartOk": commands.Connection.Tune(channel_max=8, frame_max=131072, heartbeat=0),
    "Connection.Open": commands.Connection.OpenOk(),
    "Channel.Open": commands.Channel.OpenOk(),
    "Confirm.Select": commands.Confirm.SelectOk(),
    "Connection.Close": commands.Connection.CloseOk(),
}
LATER = {"Channel.Close": commands.Channel.CloseOk(), "Queue.Declare": commands.Queue.DeclareOk("q", 0, 0)}


async def serve(reader, writer):
    def answer(what, number):
        if not writer.is_closing():
            writer.write(frame.marshal(what, number))

    waiting = await reader.readexactly(len(header.ProtocolHeader().marshal()))
    properties = {"product": "a few lines", "version": "1", "capabilities": {"publisher_confirms": True}}
    answer(commands.Connection.Start(0, 9, properties, "PLAIN", "en_US"), 0)
    waiting = b""
    while piece := await reader.read(65536):
        waiting += piece
        while len(waiting) >= 8 and len(waiting) >= (size := int.from_bytes(waiting[3:7], "big") + 8):
            _, number, asked = frame.unmarshal(waiting[:size])
            waiting = waiting[size:]
            if asked.name in AT_ONCE:
                answer(AT_ONCE[asked.name], number)
            elif asked.name in LATER:
                asyncio.get_running_loop().call_later(LATE, answer, LATER[asked.name], number)
    writer.close()


async def cancelled(url, what, turns):
    connection = await aiormq.connect(url)
    channel = await connection.channel()
    task = asyncio.create_task(channel.queue_declare("q") if what == "declares a queue" else channel.close())
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait({task})
    await connection.close()
    return task.cancelled()


async def main():
    print("aiormq", version("aiormq"), "Python", sys.version.split()[0])
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"amqp://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    found = {}
    for what in ("declares a queue", "closes the channel"):
        found[what] = [turns for turns in range(12) if not await cancelled(url, what, turns)]
        print(f"a task that {what}, cancelled before the answer, went on when that came at turn {found[what] or 'none'}")
    server.close()
    if found["declares a queue"] or not found["closes the channel"]:
        sys.exit("changed")


logging.disable()
asyncio.run(asyncio.wait_for(main(), 60))
PY
"$folder/env/bin/python" "$folder/closing.py"
