#!/usr/bin/env bash
# What a new primary needs: the worker's role, a role and an access rule for replicas, and a role that only watches.
#
# The image of PostgreSQL runs it once, on an empty data folder, as the server's own user and while the server listens
# on its Unix socket only. It reads POSTGRES_USER, POSTGRES_DB, PGDATA, POSTGRES_WORKER_PASSWORD,
# POSTGRES_REPLICATION_PASSWORD and POSTGRES_MONITOR_PASSWORD.
set -euo pipefail

: "${POSTGRES_WORKER_PASSWORD:?must hold the password of the role worker}"
: "${POSTGRES_REPLICATION_PASSWORD:?must hold the password of the role replicator}"
: "${POSTGRES_MONITOR_PASSWORD:?must hold the password of the role monitor}"

# psql takes the passwords from the environment: as arguments, every process of the machine could read them.
# The migration gives rights to these two groups only; worker has them as their member.
psql --no-psqlrc --quiet --set=ON_ERROR_STOP=1 --single-transaction \
    --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
\getenv worker_password POSTGRES_WORKER_PASSWORD
\getenv replication_password POSTGRES_REPLICATION_PASSWORD
\getenv monitor_password POSTGRES_MONITOR_PASSWORD
CREATE ROLE eventstore_runtime NOLOGIN;
CREATE ROLE eventstore_projections NOLOGIN;
CREATE ROLE worker LOGIN PASSWORD :'worker_password' IN ROLE eventstore_runtime, eventstore_projections;
CREATE ROLE replicator LOGIN REPLICATION PASSWORD :'replication_password';
CREATE ROLE monitor LOGIN PASSWORD :'monitor_password' IN ROLE pg_monitor;
SQL

# The rule for all databases, which the image has written, does not cover replication connections.
echo 'host replication replicator all scram-sha-256' >>"$PGDATA/pg_hba.conf"
