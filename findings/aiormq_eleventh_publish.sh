#!/usr/bin/env bash
# aiormq 7.2.4 (Python 3.11): of many messages that are published at once, the first ten leave at once, every further one a turn of the
# event loop after the one before it, although the socket takes them all.
#
# Seen: of 10 messages published at once on one channel (a task each, without waiting for the socket), all are written in one turn of the
# loop. Of 11 it takes three turns, of 200 over 180: each of these turns is a look at the sockets and a system call for one message,
# and whatever else is ready on the loop runs between. A guess was that a full queue of frames delays publishers while it is full, and no
# longer.
# Why: the queue of frames holds ten. The eleventh waits for room, and holds its channel's lock meanwhile; all others wait for the lock, and
# are let in one after the other, each a turn after the writer has emptied the queue. FRAME_BUFFER_SIZE of a subclass of aiormq.Connection
# makes it larger: with 1024 all 200 leave in one turn.
#
# Run: bash findings/aiormq_eleventh_publish.sh. It needs python3 and installs into a temporary folder; in place of a broker, a few lines
# answer what a connection and a channel ask for, and read the messages. It fails if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check aiormq==7.2.4
cat >"$folder/publishing.py" <<'PY'
import asyncio
import logging
import sys
from importlib.metadata import version

import aiormq
from pamqp import commands, frame, header

ANSWERS = {
    "Connection.StartOk": commands.Connection.Tune(channel_max=8, frame_max=131072, heartbeat=0),
    "Connection.Open": commands.Connection.OpenOk(),
    "Channel.Open": commands.Channel.OpenOk(),
    "Channel.Close": commands.Channel.CloseOk(),
    "Connection.Close": commands.Connection.CloseOk(),
}


class Large(aiormq.Connection):
    FRAME_BUFFER_SIZE = 1024


async def serve(reader, writer):
    await reader.readexactly(len(header.ProtocolHeader().marshal()))
    writer.write(frame.marshal(commands.Connection.Start(0, 9, {"product": "a few lines", "capabilities": {}}, "PLAIN", "en_US"), 0))
    waiting = b""
    while piece := await reader.read(1 << 20):
        waiting += piece
        while len(waiting) >= 8 and len(waiting) >= (size := int.from_bytes(waiting[3:7], "big") + 8):
            _, number, asked = frame.unmarshal(waiting[:size])
            waiting = waiting[size:]
            if asked.name in ANSWERS:
                writer.write(frame.marshal(ANSWERS[asked.name], number))
    writer.close()


async def turns_of(kind, url, messages):
    """The turns of the event loop, from the first to the last, in which messages are written."""
    turn, wrote = 0, []
    write = asyncio.StreamWriter.write

    def noted(stream, data):
        if b"a message" in data:
            wrote.append(turn)
        write(stream, data)

    connection = kind(url)
    await connection.connect()
    channel = await connection.channel(publisher_confirms=False)
    asyncio.StreamWriter.write = noted
    tasks = [
        asyncio.create_task(channel.basic_publish(b"a message", routing_key="q", wait=False)) for _ in range(messages)
    ]
    while not all(task.done() for task in tasks) or len(wrote) < messages:
        await asyncio.sleep(0)
        turn += 1
    asyncio.StreamWriter.write = write
    await connection.close()
    return wrote[-1] - wrote[0] + 1


async def main():
    print("aiormq", version("aiormq"), "Python", sys.version.split()[0])
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    url = f"amqp://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
    seen = {}
    for kind, messages in ((aiormq.Connection, 10), (aiormq.Connection, 11), (aiormq.Connection, 200), (Large, 200)):
        seen[kind, messages] = turns = await turns_of(kind, url, messages)
        print(f"{messages} messages at once, a queue of {kind.FRAME_BUFFER_SIZE} frames: turns of the loop in which they are written: {turns}")
    server.close()
    if list(seen.values())[:2] != [1, 3] or seen[aiormq.Connection, 200] < 150 or seen[Large, 200] != 1:
        sys.exit("changed")


logging.disable()
asyncio.run(asyncio.wait_for(main(), 60))
PY
"$folder/env/bin/python" "$folder/publishing.py"
