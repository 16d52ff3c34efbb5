"""The loggers of the libraries, in a process of the worker."""

import logging

__all__ = ["quieten_libraries"]


def quieten_libraries() -> None:
    """Keep the libraries from logging every failed attempt to connect; the worker logs it once."""
    for name in ("aiormq", "aio_pika", "asyncpg"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
