"""What is left: sentences about why dead letters are not replayed, and how to replay them."""

from eventstore.counted import counted
from worker.dead_letters.selection import Judgement, Rules
from worker.errors import MessageRefused
from worker.failures import sentence

__all__ = ["explained", "left_behind"]


def explained(judgement: Judgement, count: int, rules: Rules) -> str:
    """Return a sentence about letters that are left: why, and how to replay them all the same.

    Args:
        judgement: Why they are left.
        count: How many there are.
        rules: The rules of the replay.
    """
    letters_are = counted(count, "dead letter is", "dead letters are")
    match judgement:
        case Judgement.NO_OWN_ID:
            return (
                f"{letters_are} left: published without an id, so that a repetition would not be recognised. "
                "To make a command of each, pass --assign-id."
            )
        case Judgement.NO_ID:
            return f"{letters_are} left: without any id. Publish them again, then discard them."
        case Judgement.FORGOTTEN:
            return (
                f"{letters_are} left: first published before {_forgotten(rules)}, and receipts "
                "of that time were deleted, so that what was answered then would be decided once more. To replay them "
                "all the same, pass --even-if-forgotten."
            )
        case _:
            return f"{letters_are} left: {judgement.value}."


def _forgotten(rules: Rules) -> str:
    """Return the time from which on all receipts are kept; for each domain, if they differ."""
    moments = rules.receipts_since
    if len(set(moments.values())) == 1:
        return f"{min(moments.values()):%Y-%m-%d %H:%M} UTC"
    return " or ".join(f"{moment:%Y-%m-%d %H:%M} UTC ({domain})" for domain, moment in moments.items())


def left_behind(count: int, why: MessageRefused) -> str:
    """Return the sentence that the broker accepts no copy of some letters."""
    return f"{counted(count, 'dead letter is', 'dead letters are')} left: {sentence(why)}"
