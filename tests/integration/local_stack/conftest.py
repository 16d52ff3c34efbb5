import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.stack import LocalStack


@pytest.fixture
def base(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder of the test's own that state folders are made in; not below pytest's, which servers may not enter."""
    folder = Path(tempfile.mkdtemp(prefix="local-stack-test-", dir="/var/tmp"))
    folder.chmod(0o777)
    monkeypatch.setenv("TMPDIR", str(folder))
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def stack() -> Iterator[LocalStack]:
    """A stack that a module's tests may break and mend."""
    with LocalStack() as stack:
        yield stack
