"""What the console's pages share: the sources of their data, and their renderer."""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass

from handlers.domain import Domain
from worker.amqp.report_receiver import ReportReceiver
from worker.console.known_workers import KnownWorkers
from worker.console.queues import Queues
from worker.console.rendering import Renderer
from worker.settings import Settings
from worker.topology import Topology

__all__ = ["Console"]

# Any program that may publish reports can invent domains.
_MOST_OTHERS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """What the console's pages share.

    Attributes:
        settings: The worker's settings.
        domains: The domains of WORKER_DOMAINS; empty if that is not set.
        workers: The workers that have reported.
        receiver: Receives the reports.
        queues: Reads the queues.
        allow_actions: Whether pages can change something.
        token: A secret that a request for a change must contain; a new one in every process.
        renderer: Renders the pages.
    """

    settings: Settings
    domains: Sequence[Domain]
    workers: KnownWorkers
    receiver: ReportReceiver
    queues: Queues
    allow_actions: bool
    token: str
    renderer: Renderer

    @classmethod
    def of(cls, settings: Settings, domains: Sequence[Domain], *, allow_actions: bool) -> "Console":
        """Return a console that has read nothing yet."""
        workers = KnownWorkers()
        token = secrets.token_urlsafe(32)
        return cls(
            settings=settings,
            domains=domains,
            workers=workers,
            receiver=ReportReceiver(settings.amqp_url, workers.take),
            queues=Queues(settings),
            allow_actions=allow_actions,
            token=token,
            renderer=Renderer({"allow_actions": allow_actions, "token": token}),
        )

    def topologies(self) -> list[Topology]:
        """Return the queues of all domains: those of the settings, and others that workers serve."""
        own = {domain.name: Topology.of(domain) for domain in self.domains}
        others = {name: Topology(name, shards) for name, shards in self.workers.domains().items() if name not in own}
        return [*own.values(), *(others[name] for name in sorted(others)[:_MOST_OTHERS])]
