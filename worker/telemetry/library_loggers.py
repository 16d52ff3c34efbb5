"""The loggers of the libraries below, in a process that is ours."""

import logging

__all__ = ["quieten_libraries"]


def quieten_libraries() -> None:
    """Keep the libraries below from reporting every failed attempt to connect; what is wrong, we say once."""
    for name in ("aiormq", "aio_pika", "asyncpg"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
