"""The sampler: which traces are recorded, by ``OTEL_TRACES_SAMPLER`` and its argument."""

from dataclasses import dataclass
from importlib.metadata import entry_points
from os import environ

from opentelemetry.sdk.environment_variables import OTEL_TRACES_SAMPLER, OTEL_TRACES_SAMPLER_ARG
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)

from worker.errors import SettingsError

__all__ = ["ChosenSampler", "sampler_from_environment"]

_GROUP = "opentelemetry_traces_sampler"
_DEFAULT = "parentbased_always_on"
_RATIOS = ("traceidratio", "parentbased_traceidratio")
_STANDARD = {
    "always_on": ALWAYS_ON,
    "always_off": ALWAYS_OFF,
    "parentbased_always_on": DEFAULT_ON,
    "parentbased_always_off": DEFAULT_OFF,
}
# One more than the largest number that is compared with it.
_EVERY_ROOT = 1 << 64


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenSampler:
    """A sampler, and what is known of its decisions without calling it.

    Attributes:
        sampler: The sampler of the SDK or of a package.
        is_standard: Whether it records every child of a span that it recorded in the same process, and roots by
            ``root_bound``.
        follows_parents: Whether it decides on every other span as was decided on its parent, also by another process.
        root_bound: A root is recorded if the lower 64 bits of its trace id are below this.
    """

    sampler: Sampler
    is_standard: bool = False
    follows_parents: bool = False
    root_bound: int = 0


def sampler_from_environment() -> ChosenSampler:
    """Return the sampler that the variables name.

    Raises:
        SettingsError: There is no such sampler, or its argument is wrong.
    """
    name = (environ.get(OTEL_TRACES_SAMPLER) or _DEFAULT).strip().lower()
    follows = name.startswith("parentbased_")
    if name in _RATIOS:
        ratio = _ratio()
        root = TraceIdRatioBased(ratio)
        return ChosenSampler(
            sampler=ParentBasedTraceIdRatio(ratio) if follows else root,
            is_standard=True,
            follows_parents=follows,
            root_bound=root.bound,
        )
    if (standard := _STANDARD.get(name)) is not None:
        bound = _EVERY_ROOT if name.endswith("always_on") else 0
        return ChosenSampler(sampler=standard, is_standard=True, follows_parents=follows, root_bound=bound)
    return ChosenSampler(sampler=_from_package(name))


def _ratio() -> float:
    given = environ.get(OTEL_TRACES_SAMPLER_ARG) or "1"
    try:
        ratio = float(given)
    except ValueError:
        ratio = -1.0
    if not 0 <= ratio <= 1:
        raise SettingsError(f"{OTEL_TRACES_SAMPLER_ARG} must be a number from 0 to 1, not {given!r}.")
    return ratio


def _from_package(name: str) -> Sampler:
    for found in entry_points(group=_GROUP, name=name):
        argument = environ.get(OTEL_TRACES_SAMPLER_ARG)
        try:
            sampler = found.load()(argument)
        except Exception as error:
            raise SettingsError(f"{OTEL_TRACES_SAMPLER}={name} does not work with {argument!r}: {error}.") from error
        if isinstance(sampler, Sampler):
            return sampler
    known = ", ".join(sorted((*_STANDARD, *_RATIOS)))
    raise SettingsError(f"{OTEL_TRACES_SAMPLER} must be one of {known}, or a package's, not {name!r}.")
