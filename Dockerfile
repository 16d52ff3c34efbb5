# The worker. Built from pinned and hashed packages; holds no addresses and no secrets.
#
#   docker build --tag dynamic-streams-worker .
#
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
RUN pip wheel --no-deps --no-build-isolation --wheel-dir /wheels . \
    && /opt/worker/bin/pip install --no-deps --no-index /wheels/*.whl

FROM ${PYTHON_IMAGE}
LABEL org.opencontainers.image.title="dynamic-streams-worker" \
    org.opencontainers.image.licenses="MIT"
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
