"""What the image of PostgreSQL does with a service of ``compose.yaml``, done without a container.

It takes the service's command, environment and mounted files from ``compose.yaml``, and follows the image's documented
steps. Only addresses and folders differ.
"""

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from deploy.local.errors import StackError
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.reaper_client import ReaperClient, last_line
from tests.support.composition import ROOT

_WAIT_SECONDS = 60.0
_POLL_SECONDS = 0.02


class PostgresContainer:
    """A service of PostgreSQL, with a folder for its volume.

    Attributes:
        port: Where it listens.
        log: What it says.
        data: Its data folder.
        environment: The variables of the service, and where its programs and its data are.
    """

    def __init__(self, reaper: ReaperClient, programs: Path, name: str, service: dict[str, Any]) -> None:
        self._reaper = reaper
        self._programs = programs
        self._service = service
        self._pid: int | None = None
        self.port = free_port()
        self.log = reaper.folder / f"{name}.log"
        self.home = reaper.folder / name
        self.data = self.home / "18" / "docker"
        self.environment = {
            **{key: str(value) for key, value in service["environment"].items()},
            "PATH": f"{programs}:{os.defpath}",
            "PGDATA": str(self.data),
            "PGPORT": str(self.port),
        }
        self._run("mkdir", "-p", str(self.home))
        self._mounts = {target: self._mounted(source) for source, target in _files(service)}

    def initialise(self) -> None:
        """Make the database, as the image does on an empty volume, and run the mounted scripts."""
        password = self.home / "password"
        self._reaper.write(password, self.environment["POSTGRES_PASSWORD"])
        user, database = self.environment["POSTGRES_USER"], self.environment["POSTGRES_DB"]
        # The image's own locale is one of UTF-8.
        self._run("initdb", f"--username={user}", f"--pwfile={password}", "--encoding=UTF8", "--no-sync")
        # The image trusts its own loopback interface, from which nobody but itself comes there, and everybody here.
        rules = "local all all trust\nhost all all all scram-sha-256\n"
        (self.data / "pg_hba.conf").write_text(rules, encoding="utf-8")
        options = " ".join([*self._options(), "-c", "listen_addresses=''"])
        self._run("pg_ctl", f"--options={options}", "--wait", "start")
        # A program that is run here knows the server's socket as its image would: without being told.
        self.environment["PGHOST"] = str(self.home)
        self._run("createdb", f"--username={user}", database)
        for target, file in self._mounts.items():
            if target.startswith("/docker-entrypoint-initdb.d/"):
                self._run(str(file))
        self._run("pg_ctl", "--mode=fast", "--wait", "stop")
        del self.environment["PGHOST"]

    def start(self) -> None:
        """Start it with the service's entry point, if it has one of its own, and wait until it is healthy."""
        entry = [str(self._mounts[part]) for part in self._service.get("entrypoint", [])]
        command = [*entry, "postgres", *self._options(), "-c", f"listen_addresses={LOOPBACK}"]
        self._pid = self._reaper.start(
            ["env", "--", *command], env=self.environment, log=self.log, farewell=signal.SIGQUIT
        )
        self._wait_until_healthy()

    def stop(self) -> None:
        """Stop it by the signal that its image names, and wait until it is gone."""
        if self._pid is not None:
            self._reaper.signal(self._pid, signal.SIGINT)
            self._status(self._pid)

    def url(self, user: str, password: str) -> str:
        """Return the address of the database for a login."""
        return f"postgresql://{user}:{password}@{LOOPBACK}:{self.port}/dynamic_streams"

    def _options(self) -> list[str]:
        _, *options = self._service["command"]
        replaced = [option.replace(target, str(file)) for option in options for target, file in self._configuration()]
        return [*replaced, "-c", f"unix_socket_directories={self.home}"]

    def _configuration(self) -> list[tuple[str, Path]]:
        return [(target, file) for target, file in self._mounts.items() if target.endswith(".conf")]

    def _mounted(self, source: str) -> Path:
        # A clone may lie in a folder that the servers' account cannot enter.
        target = self.home / Path(source).name
        shutil.copy(ROOT / source, target)
        target.chmod(0o755 if target.suffix == ".sh" else 0o644)
        return target

    def _run(self, *argv: str) -> None:
        pid = self._reaper.start(["env", "--", *argv], env=self.environment, log=self.log)
        if code := self._status(pid):
            raise StackError(f"{argv[0]} failed with status {code}: {last_line(self.log)}")

    def _status(self, pid: int) -> int:
        deadline = time.monotonic() + _WAIT_SECONDS
        while (code := self._reaper.status(pid)) is None:
            if time.monotonic() > deadline:
                raise StackError(f"Process {pid} did not end: {last_line(self.log)}")
            time.sleep(_POLL_SECONDS)
        return code

    def _wait_until_healthy(self) -> None:
        deadline = time.monotonic() + _WAIT_SECONDS
        kind, program, *arguments = self._service["healthcheck"]["test"]
        check = [str(self._programs / program), *arguments]
        while subprocess.run(check, env=self.environment, check=False).returncode:
            if self._pid is None or self._reaper.status(self._pid) is not None or time.monotonic() > deadline:
                raise StackError(f"It did not become healthy ({kind}): {last_line(self.log)}")
            time.sleep(_POLL_SECONDS)


def _files(service: dict[str, Any]) -> list[tuple[str, str]]:
    mounts = [mount.split(":") for mount in service["volumes"]]
    return [(source, target) for source, target, *_ in mounts if source.startswith("./")]
