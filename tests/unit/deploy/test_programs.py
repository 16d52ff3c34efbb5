"""Programs that run from the folder that they were unpacked into. Stand-ins record how they were called."""

import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from deploy.local.errors import StackError
from deploy.local.packages.programs import write_programs
from deploy.local.packages.recipe import ERLANG, RABBITMQ


def _program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)


def test_erlang_finds_its_root_folder_also_when_its_own_script_starts_it(tmp_path: Path) -> None:
    root = tmp_path / "files" / ERLANG
    _program(root / "erts-15.2" / "bin" / "erlexec", 'echo "$ROOTDIR $BINDIR $*"')
    # As built: it contains another root folder.
    _program(root / "bin" / "erl", "exit 1")
    _program(root / "bin" / "escript", 'exec "$ESCRIPT_EMULATOR" -escript "$@"')
    write_programs(replace(RABBITMQ, programs=(f"{ERLANG}/bin/erl", f"{ERLANG}/bin/escript")), tmp_path)
    said = subprocess.run([tmp_path / "bin" / "escript", "a b"], capture_output=True, text=True, check=True).stdout
    assert said == f"{root} {root}/erts-15.2/bin -escript a b\n"


def test_bundled_libraries_and_programs_by_name_are_found(tmp_path: Path) -> None:
    libraries = tmp_path / "files" / "usr" / "lib" / "x86_64-linux-gnu"
    libraries.mkdir(parents=True)
    (libraries / "libfew.so.1").touch()
    _program(tmp_path / "files" / "usr" / "bin" / "one", "exec two")
    _program(tmp_path / "files" / "usr" / "bin" / "two", 'echo "$LD_LIBRARY_PATH"')
    write_programs(replace(RABBITMQ, programs=("usr/bin/*",)), tmp_path)
    environment = {"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": "/before"}
    one = subprocess.run([tmp_path / "bin" / "one"], env=environment, capture_output=True, text=True, check=True)
    assert one.stdout.split(":")[0] == str(libraries)
    assert one.stdout.rstrip().endswith(":/before")


def test_a_missing_program_is_reported(tmp_path: Path) -> None:
    (tmp_path / "files").mkdir()
    with pytest.raises(
        StackError, match=r"the package rabbitmq-server brought no usr/lib/rabbitmq/bin/rabbitmq-server"
    ):
        write_programs(RABBITMQ, tmp_path)
