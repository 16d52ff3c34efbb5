# The worker. Built from pinned and hashed packages; holds no addresses and no secrets.
#
#   docker build --tag dynamic-streams-worker .
#
# `make image` does so, too, and has the labels say version and revision.
# A domain of your own is a package on top of it; see docs/deployment.md.
ARG PYTHON_IMAGE=python:3.13.14-slim-trixie

FROM ${PYTHON_IMAGE} AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /source
COPY requirements-build.lock requirements-runtime.lock ./
RUN python -m venv /opt/worker \
    && /opt/worker/bin/pip install --require-hashes --only-binary=:all: --requirement requirements-runtime.lock \
    && pip install --require-hashes --only-binary=:all: --requirement requirements-build.lock
COPY LICENSE README.md pyproject.toml ./
COPY eventstore eventstore
COPY handlers handlers
COPY worker worker
COPY dynamic_streams_worker.py ./
# A version that is told must be the package's own.
ARG VERSION
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/worker/bin/pip install --no-deps --no-index /wheels/*.whl \
    && test "worker ${VERSION:-$(/opt/worker/bin/python -c 'import worker; print(worker.__version__)')}" = "$(/opt/worker/bin/worker --version)"

FROM ${PYTHON_IMAGE}
ARG VERSION
ARG REVISION
ARG SOURCE
# The licences are those of all packages inside, as docs/dependencies.md lists them.
LABEL org.opencontainers.image.title="dynamic-streams-worker" \
    org.opencontainers.image.description="Command processing with dynamic consistency boundaries (DCB): event sourcing on PostgreSQL, commands from RabbitMQ, asyncio." \
    org.opencontainers.image.version="${VERSION}" \
    org.opencontainers.image.revision="${REVISION}" \
    org.opencontainers.image.source="${SOURCE}" \
    org.opencontainers.image.licenses="Apache-2.0 AND BSD-2-Clause AND BSD-3-Clause AND ISC AND MIT AND MIT-0 AND MPL-2.0 AND PSF-2.0"
RUN groupadd --gid 10001 worker \
    && useradd --uid 10001 --gid 10001 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin worker
ENV PATH=/opt/worker/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    WORKER_HEALTH_PORT=8080
COPY --from=build /opt/worker /opt/worker
# By number, so that Kubernetes can tell that it is not root.
USER 10001:10001
# The worker handles SIGTERM itself (it drains) and waits for every process it starts, so it needs no init to pass
# signals on or to collect orphans. Only while Python starts does PID 1 ignore the signal; `docker run --init` closes that gap.
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=10s --start-period=1m --start-interval=2s --retries=3 CMD ["worker", "health", "--ready"]
ENTRYPOINT ["worker"]
CMD ["run"]
