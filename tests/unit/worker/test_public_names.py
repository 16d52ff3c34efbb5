"""``import worker``: the public names, imported lazily."""

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
# Whether an import has changed the AMQP library, which would affect all its users in the process.
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
    """The JSON printed by a new Python."""
    done = subprocess.run([sys.executable, "-c", program], check=True, capture_output=True)
    return json.loads(done.stdout)


def test_the_public_names_can_be_imported() -> None:
    assert worker.Publisher is Publisher
    assert worker.ReadModels is ReadModels
    assert worker.Reply is Reply
    assert set(worker.__all__) == {"Publisher", "ReadModels", "Reply", "__version__"} <= set(dir(worker))


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="module 'worker' has no attribute 'Publsher'"):
        worker.Publsher  # type: ignore[attr-defined]  # noqa: B018  the access is the test


def test_the_package_alone_loads_nothing() -> None:
    loaded = set(run("import json, sys, worker; print(json.dumps(sorted(sys.modules)))"))
    assert {name for name in loaded if name.startswith("worker.")} == set()
    assert loaded & _LIBRARIES == set()


def test_importing_the_publisher_does_not_change_the_brokers_library() -> None:
    assert run(_CODEC) is True
