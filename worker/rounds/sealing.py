"""Sealing: personal values of decided events are encrypted before they are recorded."""

from collections.abc import Sequence

from eventstore import Event, Subject
from handlers.domain import Domain
from handlers.erasure.forgetting import sealer
from handlers.erasure.master_key import DataKey
from worker.rounds.job import Job
from worker.rounds.overlay import NotKnown
from worker.rounds.part_states import PartStates
from worker.rounds.round import Round

__all__ = ["sealed_events"]


def sealed_events(
    domain: Domain, states: PartStates, round_: Round, job: Job, events: Sequence[Event]
) -> Sequence[Event]:
    """Return a command's events as they are recorded: with their personal values sealed.

    The key of each value becomes a part of the command and of its append's boundary. If its subject is forgotten before
    that, the append is refused: no event is ever recorded that is sealed with a deleted key.

    Args:
        domain: The domain of the events.
        states: The cached states of parts.
        round_: The round that the command is decided in.
        job: The command.
        events: The events that it decided.

    Raises:
        NotKnown: A key has to be read first.
        InvalidEvent: A personal value has no subject.
    """
    subjects = domain.sensitive.subjects(events) if domain.sensitive else ()
    if not subjects:
        return events
    parts = {subject: sealer.at(*subject) for subject in subjects}
    known = {entry.part for entry in job.entries}
    if missing := [part for part in parts.values() if part not in known]:
        job.entries = [*job.entries, *states.use(missing)]
    found = round_.states_for(job)
    keys: dict[Subject, DataKey] = {}
    for subject, part in parts.items():
        key = found[part].key
        if key is None:
            states.distrust(entry for entry in job.entries if entry.part == part)
            raise NotKnown
        keys[subject] = key
    return domain.sensitive.sealed(events, keys)
