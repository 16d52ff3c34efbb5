"""Packages that are fetched by an ordinary user: real apt and dpkg, and a source of packages that is a folder.

What the machine's own sources have, ``make release-check`` fetches and starts.
"""

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from deploy.local.errors import StackError
from deploy.local.packages.recipe import Recipe
from deploy.local.packages.unpacked import Unpacked

pytestmark = pytest.mark.skipif(shutil.which("apt-get") is None, reason="this machine has no apt")

_CLONE = Path(__file__).parents[3]
_GREETER = Recipe(
    name="Greeter", package="test-greeter", family=("test-greeter",), least=(2, 1), programs=("usr/lib/greeter/greet",)
)
_GREET = """\
#!/bin/sh
cat "${0%/*}/../../share/greeting/words"
"""
_FETCH = """
import sys
from collections.abc import Iterator
from pathlib import Path
from deploy.local.packages.unpacked import Unpacked
from tests.integration.local_stack.test_packages import _GREETER
print(Unpacked(Path(sys.argv[1]), options=sys.argv[2:]).programs(_GREETER), flush=True)
sys.stdin.read()
"""


class Source:
    """A folder of packages with their list, as a source of apt's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._list = folder / "sources.list"
        self.trust(trusted=True)

    @property
    def options(self) -> tuple[str, ...]:
        return (f"Dir::Etc::sourcelist={self._list}", "Dir::Etc::sourceparts=/dev/null")

    def trust(self, *, trusted: bool) -> None:
        self._list.write_text(f"deb {'[trusted=yes] ' if trusted else ''}file:{self.folder} ./\n")

    def add(
        self, name: str, version: str, files: dict[str, str], *, depends: str = "", architecture: str = "all"
    ) -> Path:
        """Make a package and list it; return its archive."""
        tree = self.folder / "trees" / name
        for path, text in files.items():
            file = tree / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            file.chmod(0o755)
        fields = {
            "Package": name,
            "Version": version,
            "Architecture": architecture,
            "Maintainer": "tests <tests@example.org>",
            "Description": "of the tests",
            **({"Depends": depends} if depends else {}),
        }
        control = "".join(f"{field}: {value}\n" for field, value in fields.items())
        (tree / "DEBIAN").mkdir(parents=True)
        (tree / "DEBIAN" / "control").write_text(control)
        archive = self.folder / f"{name}.deb"
        subprocess.run(["dpkg-deb", "--root-owner-group", "--build", tree, archive], check=True, capture_output=True)  # noqa: S607
        content = archive.read_bytes()
        with (self.folder / "Packages").open("a") as packages:
            digest = hashlib.sha256(content).hexdigest()
            packages.write(f"{control}Filename: ./{archive.name}\nSize: {len(content)}\nSHA256: {digest}\n\n")
        self._release()
        return archive

    def _release(self) -> None:
        """List the list, as a source must; what would be signed is this."""
        content = (self.folder / "Packages").read_bytes()
        listed = f"{hashlib.sha256(content).hexdigest()} {len(content)} Packages"
        (self.folder / "Release").write_text(f"Date: Wed, 01 Jan 2025 00:00:00 UTC\nSHA256:\n {listed}\n")


@pytest.fixture
def source(tmp_path: Path) -> Source:
    folder = tmp_path / "source"
    folder.mkdir()
    source = Source(folder)
    # Installed on every Debian and Ubuntu, so it is not to be fetched.
    shown = ["dpkg-query", "--show", "--showformat", "${Architecture}", "base-files"]
    native = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    source.add("base-files", "99", {"usr/share/marker": "not this one\n"}, architecture=native)
    source.add("test-greeting", "1.0-1", {"usr/share/greeting/words": "good morning\n"})
    source.add("test-greeter", "2.1-1", {"usr/lib/greeter/greet": _GREET}, depends="test-greeting, base-files")
    return source


@pytest.fixture
def place(tmp_path: Path) -> Path:
    return tmp_path / "packages"


def test_a_package_is_fetched_with_what_is_missing_and_runs_where_it_lies(source: Source, place: Path) -> None:
    programs = Unpacked(place, options=source.options).programs(_GREETER)
    assert [path.name for path in programs.iterdir()] == ["greet"]
    moved = place.with_name("moved")
    shutil.copytree(programs.parent, moved / "test-greeter")
    for greet in (programs / "greet", moved / "test-greeter" / "bin" / "greet"):
        assert subprocess.run([greet], capture_output=True, text=True, check=True).stdout == "good morning\n"
    assert not (programs.parent / "files" / "usr" / "share" / "marker").exists()
    assert [path.name for path in place.iterdir()] == ["test-greeter"]


def test_what_lies_there_is_used_without_any_source(source: Source, place: Path) -> None:
    first = Unpacked(place, options=source.options).programs(_GREETER)
    shutil.rmtree(source.folder)
    assert Unpacked(place, options=source.options).programs(_GREETER) == first


def test_an_archive_that_is_not_the_one_of_the_list_is_refused(source: Source, place: Path) -> None:
    archive = source.folder / "test-greeter.deb"
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    with pytest.raises(
        StackError, match=r"^Greeter is not installed, and its packages cannot be fetched \(.*Hash Sum mismatch"
    ):
        Unpacked(place, options=source.options).programs(_GREETER)
    assert list(place.iterdir()) == []


def test_a_source_that_nobody_signed_is_refused(source: Source, place: Path) -> None:
    source.trust(trusted=False)
    with pytest.raises(StackError, match=r"cannot be fetched \(.*(not signed|Release file).*\): connect this machine"):
        Unpacked(place, options=source.options).programs(_GREETER)


def test_a_source_that_cannot_be_reached_is_told_in_one_sentence(source: Source, place: Path) -> None:
    (source.folder / "sources.list").write_text("deb http://127.0.0.1:1/debian ./\n")
    with pytest.raises(StackError) as raised:
        Unpacked(place, options=source.options).programs(_GREETER)
    assert "127.0.0.1" in str(raised.value)
    assert str(raised.value).endswith("or have test-greeter installed (apt-get install test-greeter).")
    assert len(str(raised.value).splitlines()) == 1


def test_a_version_that_is_too_old_is_not_fetched(source: Source, place: Path) -> None:
    (source.folder / "Packages").unlink()
    shutil.rmtree(source.folder / "trees")
    source.add("test-greeter", "1:2.0.9-1", {"usr/lib/greeter/greet": _GREET})
    with pytest.raises(StackError, match=r"this machine's sources have 1:2\.0\.9-1, and 2\.1 is needed"):
        Unpacked(place, options=source.options).programs(_GREETER)


def test_two_processes_fetch_once_and_nothing_is_removed_while_one_uses_it(source: Source, place: Path) -> None:
    command = [sys.executable, "-c", _FETCH, str(place), *source.options]
    processes = [
        subprocess.Popen(command, cwd=_CLONE, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    try:
        said = [list(_until_fetched(process, place)) for process in processes]
        assert sum(len(lines) - 1 for lines in said) == 1, said
        assert not Unpacked(place).remove()
        assert (place / "test-greeter" / "bin" / "greet").exists()
    finally:
        for process in processes:
            process.communicate()
    assert Unpacked(place).remove()
    assert not place.exists()


def _until_fetched(process: "subprocess.Popen[str]", place: Path) -> Iterator[str]:
    """Yield what a process says, up to the folder that it was given."""
    assert process.stdout is not None
    for line in process.stdout:
        yield line
        if line.startswith(str(place)):
            return
