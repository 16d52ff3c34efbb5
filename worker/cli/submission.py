"""Submissions: commands to publish, checked before the first of them is sent."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from eventstore.counted import counted
from eventstore.jsontext import Unstorable, encode_object
from handlers.domain import Domain
from handlers.errors import HandlerError, InvalidCommand, UnknownCommand
from handlers.model import Command
from worker.failures import Mistake
from worker.message import BadMessage, read_body
from worker.owners import owner_of
from worker.settings import Settings

__all__ = ["Submission", "Submissions", "identity"]

_MOST_PROBLEMS = 10
_LINE_FIELDS = frozenset({"type", "body", "id"})
# A line of a file has the command's body inside an object of its own.
_ENVELOPE_LEVELS = 1
_ENVELOPE_BYTES = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """A command that its domain accepts as valid.

    Attributes:
        domain_name: Name of its domain.
        command_type: Its name.
        body: Its JSON object.
        command_id: Its id; None for a new one.
        affinity_key: Its affinity key; None if the domain has no affinity.
    """

    domain_name: str
    command_type: str
    body: Mapping[str, Any]
    command_id: UUID | None
    affinity_key: str | None = None


@dataclass(frozen=True, slots=True)
class Submissions:
    """Checks commands against the domains' definitions.

    Attributes:
        domains: The domains whose commands may be published.
        settings: The worker's settings, with the limits of messages.
    """

    domains: Sequence[Domain]
    settings: Settings

    def single(self, command_type: str, text: bytes, command_id: UUID | None) -> Submission:
        """Check one command.

        Args:
            command_type: The command's name.
            text: Its body, as JSON text in UTF-8.
            command_id: Its id; None for a new one.

        Raises:
            Mistake: No domain has it, the body is not JSON, or a field is wrong; the message names the field and the
                reason.
        """
        domain = self._domain_of(command_type)
        return self._checked(domain, command_type, self._read(text), command_id)

    def lines(self, lines: Iterable[bytes]) -> list[Submission]:
        """Check a file of commands, one JSON object a line: ``{"type": ..., "body": {...}, "id": optional}``.

        Raises:
            Mistake: Some lines are wrong; the message names the first ten, each with its number and reason.
        """
        good: list[Submission] = []
        problems: list[str] = []
        for number, line in enumerate(lines, start=1):
            if not line.strip():
                continue
            try:
                good.append(self._line(line))
            except Mistake as problem:
                problems.append(f"line {number}: {problem}")
        if problems:
            shown = problems[:_MOST_PROBLEMS]
            more = [f"and {counted(len(problems) - len(shown), 'more line')}"] if len(problems) > len(shown) else []
            raise Mistake("nothing was published:\n" + "\n".join(shown + more))
        if not good:
            raise Mistake("the file holds no command; write one JSON object a line.")
        return good

    def _line(self, line: bytes) -> Submission:
        envelope = self._read(line, more_bytes=_ENVELOPE_BYTES, more_levels=_ENVELOPE_LEVELS)
        if unknown := sorted(set(envelope) - _LINE_FIELDS):
            raise Mistake(f"a line has the fields type, body and id, not {', '.join(unknown)}.")
        command_type, body = envelope.get("type"), envelope.get("body")
        if not isinstance(command_type, str):
            raise Mistake("the field type must be the command's name.")
        if not isinstance(body, dict):
            raise Mistake("the field body must be the command's JSON object.")
        domain = self._domain_of(command_type)
        return self._checked(domain, command_type, body, identity(envelope.get("id")))

    def _domain_of(self, command_type: str) -> Domain:
        # Its decider may be missing in the domain's list.
        return owner_of("command", command_type, self.domains, _commands, by=", by the deciders that the domains list")

    def _read(self, text: bytes, *, more_bytes: int = 0, more_levels: int = 0) -> dict[str, Any]:
        try:
            return read_body(
                text,
                max_bytes=self.settings.worker_max_message_bytes + more_bytes,
                max_depth=self.settings.worker_max_json_depth + more_levels,
            )
        except BadMessage as bad:
            raise Mistake(f"{bad.text}.") from bad

    @staticmethod
    def _checked(domain: Domain, command_type: str, body: dict[str, Any], command_id: UUID | None) -> Submission:
        try:
            command = domain.parse(command_type, body, allow_unknown_fields=False)
            encode_object(body)
        except (UnknownCommand, InvalidCommand) as error:
            raise Mistake(f"{error}.") from error
        except Unstorable as error:
            raise Mistake(f"{command_type}: the body {error}.") from error
        return Submission(
            domain_name=domain.name,
            command_type=command_type,
            body=body,
            command_id=command_id,
            affinity_key=_affinity_key(domain, command),
        )


def _commands(domain: Domain) -> list[str]:
    return sorted(each.name for each in domain.deciders)


def _affinity_key(domain: Domain, command: Command) -> str | None:
    try:
        return domain.affinity_key(command)
    except HandlerError as error:
        raise Mistake(f"{error}.") from error
    except Exception as error:  # any error of a domain's function
        kind = type(error).__name__
        raise Mistake(f"the affinity of {domain.name} fails for {type(command).__name__}: {kind}: {error}.") from error


def identity(text: object) -> UUID | None:
    """Parse a command's id; None stays None.

    Raises:
        Mistake: The text is not a UUID.
    """
    if text is None:
        return None
    try:
        return UUID(str(text))
    except ValueError:
        raise Mistake(f"the id {text!r} is not a UUID.") from None
