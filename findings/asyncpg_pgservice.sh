#!/usr/bin/env bash
# asyncpg 0.32.0: the variable PGSERVICE is read and has no effect, and a service that is not in its file is passed over.
#
# Seen: with a service file that names a host and a port, `?service=there` in the address leads to that server. PGSERVICE=there, with
# an address that leaves the server open, leads to the client's default server instead, without a word; and so does `?service=gone`,
# which is in no file. libpq (psycopg 3.3.9) goes to the server of the service in both of the first cases, and refuses the third:
# "definition of service "gone" not found". A guess was that all clients that know service files read them alike, and that a name that
# leads nowhere is an error: a typing error here has a program read and write another database.
# Why: the variable is read after the code that looks into the file, and that code has no branch for a section that is missing.
# Source of what libpq does: PostgreSQL 18, chapter "The Connection Service File".
#
# Run: bash findings/asyncpg_pgservice.sh. It needs python3 and installs into a temporary folder. It fails if this changes.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check asyncpg==0.32.0 psycopg==3.3.9 psycopg-binary==3.3.9
cat >"$folder/dial.py" <<'PY'
import asyncio
import os
import pathlib
import sys

import asyncpg
import psycopg

folder = pathlib.Path(sys.argv[1])
EXPECTED = {
    ("asyncpg", "?service=there"): "the service's server",
    ("asyncpg", "PGSERVICE=there"): "the default server",
    ("asyncpg", "?service=gone"): "the default server",
    ("psycopg", "?service=there"): "the service's server",
    ("psycopg", "PGSERVICE=there"): "the service's server",
    ("psycopg", "?service=gone"): "no server",
}


async def main():
    met = []

    async def listening(name):
        # Both hang up on whoever comes: the question is who is asked.
        async def meet(_reader, writer):
            met.append(name)
            writer.close()

        server = await asyncio.start_server(meet, "127.0.0.1", 0)
        return server.sockets[0].getsockname()[1]

    service, default = await listening("the service's server"), await listening("the default server")
    file = folder / "pg_service.conf"
    file.write_text(f"[there]\nhost=127.0.0.1\nport={service}\nuser=u\ndbname=d\n")
    # What a client falls back on.
    os.environ |= {"PGSERVICEFILE": str(file), "PGHOST": "127.0.0.1", "PGPORT": str(default), "PGUSER": "u"}
    clients = {
        "asyncpg": lambda url: asyncpg.connect(url, timeout=5),
        "psycopg": lambda url: psycopg.AsyncConnection.connect(url, connect_timeout=5),
    }
    print("Python", sys.version.split()[0], "asyncpg", asyncpg.__version__, "psycopg", psycopg.__version__)
    for (client, way), expected in EXPECTED.items():
        met.clear()
        variable, _, name = way.partition("=")
        os.environ.pop("PGSERVICE", None)
        if variable == "PGSERVICE":
            os.environ["PGSERVICE"] = name
        try:
            await clients[client]("postgresql:///" + (way if way.startswith("?") else ""))
        except Exception as error:
            raised = str(error).strip().splitlines()[-1]
        seen = met[0] if met else "no server"
        print(f"{client} with {way} asked {seen}; {raised[:90]}")
        if seen != expected:
            sys.exit(f"changed: {expected} was expected")


asyncio.run(main())
PY
"$folder/env/bin/python" "$folder/dial.py" "$folder"
