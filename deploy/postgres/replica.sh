#!/usr/bin/env bash
# Start a streaming replica. The first time it copies the primary; from then on it goes on from its own data.
#
#   replica.sh postgres [OPTION ...]
#
# Runs as the user that owns the data folder, PGDATA, and reads PRIMARY_HOST, PRIMARY_PORT (5432 by default),
# and POSTGRES_REPLICATION_PASSWORD, the password of the role replicator.
set -euo pipefail

: "${PGDATA:?must name the data folder}"
: "${PRIMARY_HOST:?must name the host of the primary}"
: "${POSTGRES_REPLICATION_PASSWORD:?must hold the password of the role replicator}"

# The server reads the password from this file whenever it connects, so the data folder holds no copy of it, and a new
# password takes effect with the next start.
export PGPASSFILE="$PGDATA.pgpass"
umask 077
mkdir -p -- "$(dirname -- "$PGDATA")"
password=${POSTGRES_REPLICATION_PASSWORD//\\/\\\\}
printf '*:*:*:replicator:%s\n' "${password//:/\\:}" >"$PGPASSFILE"
unset password POSTGRES_REPLICATION_PASSWORD

if [[ ! -s $PGDATA/PG_VERSION ]]; then
    # An interrupted copy is never mistaken for a whole one: the data folder gets its name once it is complete.
    copy="$PGDATA.incomplete"
    rm -rf -- "$copy"
    pg_basebackup --pgdata="$copy" --write-recovery-conf --wal-method=stream --checkpoint=fast --no-password \
        --host="$PRIMARY_HOST" --port="${PRIMARY_PORT:-5432}" --username=replicator
    mv --no-target-directory -- "$copy" "$PGDATA"
fi

exec "$@"
