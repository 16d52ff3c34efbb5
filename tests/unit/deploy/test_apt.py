"""The commands for apt, and the parsing of its output."""

import shutil
import subprocess
from itertools import pairwise
from pathlib import Path

import pytest

from deploy.local.packages.apt import Apt, Package, missing, planned

_SIMULATION = """\
NOTE: This is only a simulation!
Reading package lists...
The following NEW packages will be installed:
  erlang-base libsctp1 rabbitmq-server
Inst libsctp1 (1.0.19+dfsg-2 Debian:12.11/oldstable [amd64])
Inst erlang-base (1:25.2.3+dfsg-1+deb12u4 Debian:12.11/oldstable, Debian-Security:12/oldstable-security [amd64])
Inst libc6 [2.36-9] (2.36-9+deb12u10 Debian:12.11/oldstable [amd64]) []
Inst rabbitmq-server (3.10.8-1.1+deb12u1 Debian:12.11/oldstable [all])
Conf libsctp1 (1.0.19+dfsg-2 Debian:12.11/oldstable [amd64])
"""
_apt = pytest.mark.skipif(shutil.which("apt-get") is None, reason="apt is not installed")


def test_a_plan_is_read_with_versions_and_architectures() -> None:
    assert planned(_SIMULATION) == [
        Package("libsctp1", "1.0.19+dfsg-2", "amd64"),
        Package("erlang-base", "1:25.2.3+dfsg-1+deb12u4", "amd64"),
        Package("libc6", "2.36-9+deb12u10", "amd64"),
        Package("rabbitmq-server", "3.10.8-1.1+deb12u1", "all"),
    ]


@pytest.mark.parametrize(
    ("version", "numbers"),
    [
        ("3.10.8-1.1+deb12u1", (3, 10, 8)),
        ("1:25.2.3+dfsg-1", (25, 2, 3)),
        ("15+248+deb12u1", (15,)),
        ("4.0.5-6", (4, 0, 5)),
        ("snapshot-1", ()),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, numbers: tuple[int, ...]) -> None:
    assert Package("any", version, "all").numbers == numbers


@_apt
def test_installed_packages_are_fetched_only_if_they_belong_to_the_family() -> None:
    shown = ["dpkg-query", "--show", "--showformat", "${Architecture}", "dpkg"]
    architecture = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
    dpkg = Package("dpkg", "1", architecture)
    absent = Package("no-such-package-anywhere", "1", "all")
    assert missing([dpkg, absent], ("erlang-",)) == [absent]
    assert missing([dpkg, absent], ("dpkg",)) == [dpkg, absent]
    # A package of that name for another architecture does not count.
    foreign = Package("dpkg", "1", "vax")
    assert missing([foreign], ()) == [foreign]


@_apt
def test_apt_uses_its_own_folder_and_refuses_unsigned_packages(tmp_path: Path) -> None:
    command = Apt(tmp_path).command("update")
    assert (command[0], command[-1]) == ("apt-get", "update")
    options = dict(word.split("=", 1) for flag, word in pairwise(command) if flag == "--option")
    for name in ("Dir::State", "Dir::State::lists", "Dir::State::status", "Dir::Cache", "Dir::Cache::archives"):
        assert Path(options[name]).is_relative_to(tmp_path), name
    assert options["APT::Get::AllowUnauthenticated"] == "false"
    assert options["Acquire::AllowInsecureRepositories"] == "false"
