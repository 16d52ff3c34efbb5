"""What a program gets with ``import worker``: the publisher when it asks for it, and nothing else."""

import json
import subprocess
import sys
from typing import Any

import pytest

import worker
from worker.message import Reply
from worker.publisher import Publisher
from worker.reading.read_models import ReadModels

_LIBRARIES = {"aio_pika", "aiormq", "pamqp", "pydantic", "opentelemetry", "asyncpg", "asyncio"}
# What an import does to the library that reads and writes frames, for all that use it in this process.
_CODEC = """
import json, sys
from pamqp import decode, encode
def seen():
    return [
        {f"{m.__name__}.{name}": id(value) for name, value in vars(m).items()} for m in (decode, encode)
    ] + [{str(key): id(value) for key, value in table.items()} for table in (decode.METHODS, decode.TABLE_MAPPING)]
before = seen()
import worker.publisher
print(json.dumps(before == seen()))
"""


def run(program: str) -> Any:
    """What a Python of its own prints as JSON."""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return json.loads(done.stdout)


def test_what_programs_need_is_there_for_who_asks() -> None:
    assert worker.Publisher is Publisher
    assert worker.ReadModels is ReadModels
    assert worker.Reply is Reply
    assert set(worker.__all__) == {"Publisher", "ReadModels", "Reply", "__version__"} <= set(dir(worker))


def test_another_name_is_not_there() -> None:
    with pytest.raises(AttributeError, match="module 'worker' has no attribute 'Publsher'"):
        worker.Publsher  # type: ignore[attr-defined]  # noqa: B018  the asking is the test


def test_the_package_alone_loads_nothing() -> None:
    loaded = set(run("import json, sys, worker; print(json.dumps(sorted(sys.modules)))"))
    assert {name for name in loaded if name.startswith("worker.")} == set()
    assert loaded & _LIBRARIES == set()


def test_the_import_of_the_publisher_leaves_the_brokers_library_as_it_is() -> None:
    assert run(_CODEC) is True
