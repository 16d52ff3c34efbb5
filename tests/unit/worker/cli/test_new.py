"""``worker new``: the created folder is complete and works, and an error changes nothing."""

import importlib
import json
import os
import re
import runpy
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from tests.support import tutorial
from tests.support.yaml_documents import document
from worker.cli.main import main
from worker.settings import Settings

SCHEMA = Path(__file__).parents[2] / "deploy" / "compose-spec.json"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield
    for module in ("corner_shop.orders", "corner_shop"):
        sys.modules.pop(module, None)


def run(monkeypatch: pytest.MonkeyPatch, name: str) -> Any:
    monkeypatch.setattr(sys, "argv", ["worker", "new", name])
    with pytest.raises(SystemExit) as raised:
        main()
    return raised.value.code


@pytest.fixture
def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    assert run(monkeypatch, "corner_shop") == 0
    assert "cd corner_shop" in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["corner_shop"]
    return tmp_path / "corner_shop"


def test_the_package_passes_its_own_test(made: Path) -> None:
    sys.path.insert(0, str(made))
    names = runpy.run_path(str(made / "tests" / "test_orders.py"))
    tests = [each for name, each in names.items() if name.startswith("test_")]
    assert tests
    for test in tests:
        test()


@pytest.mark.parametrize(("line", "status"), [(".then(accepted(PLACED))", 0), ("", 1)])
def test_a_forgotten_then_fails_its_tests_and_a_warning_of_another_package_does_not(
    line: str, status: int, made: Path
) -> None:
    """pytest-asyncio, for one, warns of a setting when pytest starts."""
    decision = f"given(StockAdded(product='tea', pieces=5)).when(ORDER){line}"
    with (made / "tests" / "test_orders.py").open("a", encoding="utf-8") as more:
        more.write(f"\n\ndef test_more() -> None:\n    warnings.warn('other')\n    {decision}\n\n\nimport warnings\n")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    ran = subprocess.run(
        [sys.executable, "-W", "default", "-m", "pytest", "-p", "no:cacheprovider"],
        cwd=made,
        env=environment,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert ran.returncode == status, ran.stdout + ran.stderr
    assert ("when(PlaceOrder(…)) checks nothing: add .then(…)" in ran.stdout) == bool(status)


def test_its_settings_are_valid_and_name_its_servers(made: Path) -> None:
    sys.path.insert(0, str(made))
    variables = dict(re.findall(r"^export (\w+)=(\S+)$", (made / ".env").read_text(), re.MULTILINE))
    assert {name.lower() for name in variables} <= set(Settings.described())
    module, _, attribute = variables["WORKER_DOMAINS"].partition(":")
    assert getattr(importlib.import_module(module), attribute).name == "orders"
    composition = document((made / "compose.yaml").read_text())
    jsonschema.Draft202012Validator(json.loads(SCHEMA.read_text())).validate(composition)
    postgres, rabbitmq = composition["services"]["postgres"], composition["services"]["rabbitmq"]
    login = postgres["environment"]
    address = f"@127.0.0.1:5432/{login['POSTGRES_DB']}"
    assert variables["DATABASE_ADMIN_URL"].endswith(f"//{login['POSTGRES_USER']}:{login['POSTGRES_PASSWORD']}{address}")
    assert "CREATE ROLE worker LOGIN PASSWORD 'development'" in composition["configs"]["roles"]["content"]
    assert variables["DATABASE_URL"].endswith(f"//worker:development{address}")
    user = rabbitmq["environment"]
    assert f"//{user['RABBITMQ_DEFAULT_USER']}:{user['RABBITMQ_DEFAULT_PASS']}@127.0.0.1:5672" in variables["AMQP_URL"]


def test_no_placeholder_is_left_and_the_secrets_are_ignored(made: Path) -> None:
    texts = {path: path.read_text() for path in made.rglob("*") if path.is_file()}
    assert len(texts) == 8
    assert not [path for path, text in texts.items() if "@name@" in text or "@name@" in path.name]
    assert ".env" in texts[made / ".gitignore"].splitlines()
    assert tomllib.loads(texts[made / "pyproject.toml"])["project"]["name"] == "corner_shop"


def test_it_equals_the_end_of_the_tutorial(made: Path) -> None:
    files = tutorial.files()
    assert (made / "corner_shop" / "orders.py").read_text().endswith(files["shop.py"])
    test = files["test_shop.py"].replace("from shop import", "from corner_shop.orders import")
    assert (made / "tests" / "test_orders.py").read_text() == test


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        ("Corner-Shop", "'Corner-Shop' cannot be the name of a Python package: use lower-case letters"),
        ("class", "class is a word of Python's own, so no package can be called that; choose another name."),
        ("../shop", "'../shop' cannot be the name of a Python package"),
        ("handlers", "the name handlers is taken by another Python package; choose another one."),
        ("json", "the name json is taken"),
        ("here", "here is here already; choose another name, or remove it."),
    ],
)
def test_an_error_is_one_sentence(
    name: str, sentence: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "here").mkdir()
    assert run(monkeypatch, name) == 2
    told = capsys.readouterr().err
    assert sentence in told
    assert told.count("\n") == 1
    assert [path.name for path in tmp_path.rglob("*")] == ["here"]


def test_a_folder_that_cannot_be_written_is_reported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    # Root may write anywhere.
    monkeypatch.setattr("worker.cli.new.TemporaryDirectory", refuse)
    assert run(monkeypatch, "shop") == 2
    assert capsys.readouterr().err == "worker: shop cannot be made here: Permission denied.\n"
    assert list(tmp_path.iterdir()) == []
