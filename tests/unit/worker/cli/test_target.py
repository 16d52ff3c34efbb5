"""A file is checked for being writable beforehand, without changing anything."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from worker.cli.target import check_writable, save
from worker.failures import Mistake

_NOBODY = 65534


@contextmanager
def unprivileged() -> Iterator[None]:
    """Become a user to whom permissions apply."""
    privileged = os.geteuid() == 0
    if privileged:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        if privileged:
            os.seteuid(0)


def test_an_existing_file_keeps_its_content(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    file.write_text("of the run before")
    check_writable(file)
    assert file.read_text() == "of the run before"


def test_a_new_file_is_not_left_behind(tmp_path: Path) -> None:
    check_writable(tmp_path / "a.json")
    assert list(tmp_path.iterdir()) == []


def test_a_broken_link_is_kept(tmp_path: Path) -> None:
    (tmp_path / "latest.json").symlink_to("a.json")
    check_writable(tmp_path / "latest.json")
    assert [path.name for path in tmp_path.iterdir()] == ["latest.json"]
    save(tmp_path / "latest.json", "{}")
    assert (tmp_path / "a.json").read_text() == "{}"


def test_a_pipe_is_not_opened(tmp_path: Path) -> None:
    """Opening it would wait for a reader."""
    os.mkfifo(tmp_path / "figures")
    check_writable(tmp_path / "figures")


@pytest.mark.parametrize("name", ["a.json", "new.json"])
def test_missing_permissions_are_reported(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.json").touch(mode=0o444)
    tmp_path.chmod(0o555)
    try:
        with unprivileged(), pytest.raises(Mistake, match=rf"{name} cannot be written: Permission denied\.$"):
            check_writable(tmp_path / name)
    finally:
        tmp_path.chmod(0o755)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        (".", "it is a folder"),
        ("nowhere/a.json", "there is no such folder"),
        ("a" * 300, "File name too long"),
        ("ends/nowhere.json", "No such file or directory"),
    ],
)
def test_impossible_targets_are_reported(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "ends").mkdir()
    (tmp_path / "ends" / "nowhere.json").symlink_to("/nowhere/a.json")
    with pytest.raises(Mistake) as raised:
        check_writable(tmp_path / name)
    assert str(raised.value) == f"{tmp_path / name} cannot be written: {reason}."
    assert [path.name for path in tmp_path.iterdir()] == ["ends"]


def test_a_failure_to_save_is_reported(tmp_path: Path) -> None:
    with pytest.raises(Mistake, match=r"cannot be written: Is a directory\.$"):
        save(tmp_path, "{}")
