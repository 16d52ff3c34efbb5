"""apt as an ordinary user: in a folder of its own, with the machine's sources, keys and proxies."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import StackError

__all__ = ["Apt", "Package", "missing", "planned", "unpack"]

_TOOLS = ("apt-get", "dpkg-query", "dpkg-deb")
# Inst erlang-base (1:25.2.3+dfsg-1 Debian:12.11/oldstable, Debian-Security:12/oldstable-security [amd64])
_PLANNED = re.compile(r"^Inst (\S+) .*?\((\S+) .*\[(\w+)\]\)", re.MULTILINE)
# What the machine does after an update of its own is not ours to do.
_CONFIGURATION = """\
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear APT::Update::Post-Invoke-Stats;
"""
_OPTIONS = (
    # Nothing that is not signed, whatever the machine's own apt is told to take.
    "APT::Get::AllowUnauthenticated=false",
    "Acquire::AllowInsecureRepositories=false",
    "Acquire::AllowDowngradeToInsecureRepositories=false",
    "APT::Install-Recommends=false",
    "APT::Install-Suggests=false",
    # The folder is private to this user, root included.
    "APT::Sandbox::User=",
    "Acquire::Languages=none",
    "Acquire::IndexTargets::deb::Contents-deb::DefaultEnabled=false",
    "Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false",
    # A network that swallows everything is told within a minute.
    "Acquire::Retries=1",
    "Acquire::http::Timeout=20",
    "Acquire::https::Timeout=20",
)


@dataclass(frozen=True, slots=True)
class Package:
    """A package of the machine's sources.

    Attributes:
        name: Its name.
        version: Its version, as Debian writes it.
        architecture: The machine's own, or ``all``.
    """

    name: str
    version: str
    architecture: str

    @property
    def numbers(self) -> tuple[int, ...]:
        """The version's numbers, up to the first part that is none: ``1:25.2.3+dfsg-1`` is 25, 2, 3."""
        upstream = self.version.partition(":")[2] or self.version
        found = re.match(r"\d+(?:\.\d+)*", upstream)
        return tuple(map(int, found[0].split("."))) if found else ()


class Apt:
    """apt with lists, cache and state of its own. For it nothing is installed, so what it plans is all that is needed.

    Whatever is fetched is checked against the signed lists, as for root.

    Args:
        folder: An empty one, which it fills.
        options: More options of apt's, as ``Name=value``.

    Raises:
        StackError: This machine has no apt.
    """

    def __init__(self, folder: Path, *, options: Iterable[str] = ()) -> None:
        if lacking := [tool for tool in _TOOLS if shutil.which(tool) is None]:
            raise StackError(f"this machine has no {lacking[0]}")
        for name in ("lists", "cache"):
            (folder / name / "partial").mkdir(parents=True)
        (folder / "cache" / "archives" / "partial").mkdir(parents=True)
        (folder / "status").touch()
        (folder / "apt.conf").write_text(_CONFIGURATION, encoding="utf-8")
        private = (
            f"Dir::State={folder}",
            f"Dir::State::lists={folder}/lists",
            f"Dir::State::status={folder}/status",
            f"Dir::Cache={folder}/cache",
            f"Dir::Cache::archives={folder}/cache/archives",
        )
        self._folder = folder
        self._options = [word for option in (*private, *_OPTIONS, *options) for word in ("--option", option)]

    def command(self, *words: str) -> list[str]:
        """Return the command line by which apt-get does something in this folder."""
        return ["apt-get", "--quiet", "--config-file", str(self._folder / "apt.conf"), *self._options, *words]

    def update(self) -> str:
        """Fetch the lists of packages.

        Returns:
            What went wrong with some of them, as apt says it; empty where nothing did. Others may still have come.
        """
        done = _run(self.command("update"), self._folder)
        return _complaint(done.stdout)

    def plan(self, package: str) -> list[Package]:
        """Return a package with all it depends on.

        Raises:
            StackError: The lists do not have it, or not all that it needs.
        """
        done = _run(self.command("--simulate", "install", package), self._folder)
        if done.returncode:
            raise StackError(_complaint(done.stdout) or f"apt-get ended with status {done.returncode}")
        return planned(done.stdout)

    def download(self, packages: Iterable[Package], folder: Path) -> None:
        """Fetch packages into a folder.

        Raises:
            StackError: One could not be fetched, or is not what the signed lists say.
        """
        wanted = [f"{package.name}={package.version}" for package in packages]
        done = _run(self.command("download", *wanted), folder)
        if done.returncode:
            raise StackError(_complaint(done.stdout) or f"apt-get ended with status {done.returncode}")


def planned(simulation: str) -> list[Package]:
    """Read what a simulated installation would install."""
    return [Package(*found) for found in _PLANNED.findall(simulation)]


def missing(packages: Iterable[Package], family: tuple[str, ...]) -> list[Package]:
    """Return those that are not installed on this machine, and all of a family."""
    installed = set(_installed())
    return [
        package
        for package in packages
        if package.name.startswith(family) or (package.name, package.architecture) not in installed
    ]


def unpack(archive: Path, folder: Path) -> None:
    """Unpack a package's files below a folder, without running anything of it.

    Raises:
        StackError: It could not be unpacked.
    """
    done = _run(["dpkg-deb", "--extract", str(archive), str(folder)], folder)
    if done.returncode:
        raise StackError(_complaint(done.stdout) or f"dpkg-deb ended with status {done.returncode}")


def _installed() -> Iterator[tuple[str, str]]:
    listing = ["dpkg-query", "--show", "--showformat", "${db:Status-Abbrev}\\t${Package}\\t${Architecture}\\n"]
    for line in _run(listing, Path("/")).stdout.splitlines():
        state, _, rest = line.partition("\t")
        name, _, architecture = rest.partition("\t")
        # The first letter is what is wanted, the second what is.
        if state[1:2] == "i":
            yield name, architecture


def _run(command: list[str], folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        command,
        cwd=folder,
        env=os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
        check=False,
    )


def _complaint(output: str) -> str:
    """Return the line by which apt or dpkg says best what is wrong: the first that names a cause."""
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    for mark in ("Err:", "E: Failed to fetch", "W: Failed to fetch", "E: ", "dpkg-deb: error", "W: "):
        for number, line in enumerate(lines):
            if line.startswith(mark):
                # The reason stands on the line below.
                cause = lines[number + 1] if mark == "Err:" and number + 1 < len(lines) else line
                return cause.removeprefix("E: ").removeprefix("W: ").rstrip(".")
    return ""
