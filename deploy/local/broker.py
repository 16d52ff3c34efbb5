"""The RabbitMQ server, with its management interface."""

import base64
import http.client
import secrets
import urllib.error
import urllib.request
from typing import ClassVar
from urllib.parse import quote

from deploy.local.binaries import epmd, rabbitmq_server
from deploy.local.ports import LOOPBACK, free_port
from deploy.local.postgres import Login
from deploy.local.reaper_client import ReaperClient
from deploy.local.server import Server

__all__ = ["RabbitServer"]

_ASK_SECONDS = 2.0
_METRICS_PLUGIN = "rabbitmq_prometheus"


class RabbitServer(Server):
    """A RabbitMQ server in the foreground, straight from the package's own programs, as the servers' account.

    Its port mapper (epmd) is a process of the stack too: a shared one would be started by, and outlive, the first
    RabbitMQ of the machine.

    Attributes:
        plugins: What is enabled besides the server itself.
        login: The one user, an administrator; the default virtual host is ``/``.
        port: The AMQP port on the loopback interface; the same after a restart.
        management_port: The management interface's.
        metrics_port: Where Prometheus finds its metrics, if they are wanted.

    Args:
        reaper: Runs it.
        login: The user to create.
        metrics: Whether it serves metrics for Prometheus.
    """

    plugins: ClassVar[tuple[str, ...]] = ("rabbitmq_management", "rabbitmq_consistent_hash_exchange")
    port: int
    management_port: int
    metrics_port: int

    def __init__(self, reaper: ReaperClient, *, login: Login, metrics: bool = False) -> None:
        self._with_metrics = metrics
        super().__init__(reaper, "rabbitmq")
        self._program = rabbitmq_server()
        self._mapper_program = epmd(self._program)
        self._mapper: int | None = None
        self._home = reaper.folder / self.name
        self._node = f"stack-{secrets.token_hex(4)}@localhost"
        self.login = login

    @property
    def url(self) -> str:
        """The AMQP address of the default virtual host."""
        return self.vhost_url("/")

    @property
    def management_url(self) -> str:
        """The address of the management interface, with the login in it."""
        return f"http://{self.login.user}:{self.login.password}@{LOOPBACK}:{self.management_port}"

    def vhost_url(self, vhost: str) -> str:
        """Return the AMQP address of a virtual host."""
        return f"amqp://{self.login.user}:{self.login.password}@{LOOPBACK}:{self.port}/{quote(vhost, safe='')}"

    def control(self, *arguments: str) -> None:
        """Tell the running server something, as ``rabbitmqctl`` does.

        Raises:
            StackError: It refused.
        """
        environment = {
            "HOME": str(self._home),
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            "RABBITMQ_CONF_ENV_FILE": f"{self._home}/rabbitmq-env.conf",
        }
        program = self._program.with_name("rabbitmqctl")
        log = self._reaper.folder / "rabbitmqctl.log"
        self._reaper.run([str(program), "--node", self._node, *arguments], env=environment, log=log)

    def _choose_ports(self) -> None:
        self.port, self.management_port = free_port(), free_port()
        self._distribution_port, self._mapper_port, self.metrics_port = free_port(), free_port(), free_port()

    def _ports(self) -> tuple[int, ...]:
        # The port mapper itself listens on its port.
        mapper = () if self._mapper_runs() else (self._mapper_port,)
        metrics = (self.metrics_port,) if self._with_metrics else ()
        return (self.port, self.management_port, self._distribution_port, *metrics, *mapper)

    def _mapper_runs(self) -> bool:
        return self._mapper is not None and self._reaper.status(self._mapper) is None

    def _launch_mapper(self) -> None:
        if not self._mapper_runs():
            self._mapper = self._reaper.start(
                [str(self._mapper_program), "-port", str(self._mapper_port), "-address", LOOPBACK],
                log=self._reaper.folder / "epmd.log",
            )

    def _launch(self) -> int:
        self._launch_mapper()
        home = str(self._home)
        self._reaper.run(["mkdir", "-p", home], log=self.log)
        self._reaper.write(self._home / "rabbitmq.conf", self._configuration())
        plugins = (*self.plugins, *((_METRICS_PLUGIN,) if self._with_metrics else ()))
        self._reaper.write(self._home / "enabled_plugins", f"[{','.join(plugins)}].\n")
        environment = {
            "HOME": home,
            "LANG": "C.UTF-8",
            "ERL_EPMD_PORT": str(self._mapper_port),
            "ERL_EPMD_ADDRESS": LOOPBACK,
            # The server's script then becomes the server, instead of staying its parent and its signals' interpreter.
            "RUNNING_UNDER_SYSTEMD": "true",
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_NODE_IP_ADDRESS": LOOPBACK,
            "RABBITMQ_NODE_PORT": str(self.port),
            "RABBITMQ_DIST_PORT": str(self._distribution_port),
            "RABBITMQ_MNESIA_BASE": f"{home}/data",
            "RABBITMQ_LOG_BASE": f"{home}/log",
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_PID_FILE": f"{home}/pid",
            "RABBITMQ_PLUGINS_EXPAND_DIR": f"{home}/plugins",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/enabled_plugins",
            "RABBITMQ_CONFIG_FILE": f"{home}/rabbitmq.conf",
            # Files of the system's own RabbitMQ, which is not this one.
            "RABBITMQ_ADVANCED_CONFIG_FILE": f"{home}/advanced.config",
            "RABBITMQ_CONF_ENV_FILE": f"{home}/rabbitmq-env.conf",
            # Erlang's schedulers would busy-wait for work, on cores that everyone here shares.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none "
            "-kernel inet_dist_use_interface {127,0,0,1}",
        }
        return self._reaper.start([str(self._program)], env=environment, log=self.log)

    def _configuration(self) -> str:
        # A setting of a plugin that is not enabled keeps the server from starting.
        metrics = [f"prometheus.tcp.ip = {LOOPBACK}", f"prometheus.tcp.port = {self.metrics_port}"]
        return "\n".join(
            [
                f"default_user = {self.login.user}",
                f"default_pass = {self.login.password}",
                "loopback_users = none",
                f"management.tcp.ip = {LOOPBACK}",
                f"management.tcp.port = {self.management_port}",
                *(metrics if self._with_metrics else ()),
                "log.console.level = warning",
                "",
            ]
        )

    def _is_ready(self) -> bool:
        token = base64.b64encode(f"{self.login.user}:{self.login.password}".encode()).decode()
        request = urllib.request.Request(
            f"http://{LOOPBACK}:{self.management_port}/api/health/checks/port-listener/{self.port}",
            headers={"Authorization": f"Basic {token}"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_ASK_SECONDS) as response:  # noqa: S310  a fixed scheme
                return bool(response.status == http.HTTPStatus.OK)
        except urllib.error.HTTPError as error:
            error.close()
            return False
        except (OSError, http.client.HTTPException):
            return False
