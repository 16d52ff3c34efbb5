"""Which packages can be fetched, and what of them is run."""

from dataclasses import dataclass

__all__ = ["ERLANG", "POSTGRES", "RABBITMQ", "Recipe"]

ERLANG = "usr/lib/erlang"


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A package that is fetched with what it depends on, unpacked, and run where it lies.

    Attributes:
        name: What a person calls it.
        package: What apt calls it.
        family: How the names of the packages begin that find one another by their place. They are fetched also where
            they are installed; of the others only those that are missing.
        least: The lowest version that will do.
        programs: Patterns for the programs that are to be run, relative to the root of the unpacked files.
    """

    name: str
    package: str
    family: tuple[str, ...]
    least: tuple[int, ...]
    programs: tuple[str, ...]

    @property
    def least_version(self) -> str:
        """The lowest version that will do, for a person."""
        return ".".join(map(str, self.least))


RABBITMQ = Recipe(
    name="RabbitMQ",
    package="rabbitmq-server",
    family=("rabbitmq-server", "erlang-"),
    least=(3, 10),
    programs=(
        "usr/lib/rabbitmq/bin/rabbitmq-server",
        "usr/lib/rabbitmq/bin/rabbitmqctl",
        f"{ERLANG}/bin/epmd",
        f"{ERLANG}/bin/erl",
        f"{ERLANG}/bin/erl_call",
        f"{ERLANG}/bin/escript",
    ),
)
# With TLS and the contributed extensions, which the wheel lacks.
POSTGRES = Recipe(
    name="PostgreSQL",
    package="postgresql",
    family=("postgresql",),
    least=(15,),
    programs=("usr/lib/postgresql/*/bin/*",),
)
