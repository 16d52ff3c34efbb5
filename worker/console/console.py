"""What the console's pages share: where they look, and how they are made."""

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

# Any program that may write there can make up reports, and domains in them.
_MOST_OTHERS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Console:
    """What pages are made of.

    Attributes:
        settings: The servers.
        domains: Those of WORKER_DOMAINS; none where it is not set.
        workers: Who has reported.
        receiver: Where reports come in.
        queues: Looks at queues.
        allow_actions: Whether a page can change something.
        token: What a page must know that asks for a change: another one in every process.
        renderer: Makes pages.
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
        """Return a console that has looked nowhere yet."""
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
