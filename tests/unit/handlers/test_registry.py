"""Every error in WORKER_DOMAINS is reported in a sentence with the entry and the reason."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from handlers import library
from handlers.errors import DomainNotFound, InvalidDomain
from handlers.registry import load_domains

LAMPS = "tests.unit.handlers.lamps:domain"
CLUB = "tests.support.domains.members:domain"

BROKEN = {
    "misspelt": "impotr this\n",
    "failing": "raise RuntimeError('no light\\ntoday')\n",
    "leaving": "raise SystemExit(0)\n",
    "shadowed": "from handlers.orders import place_order\n",
    "needy": "import a_package_that_nobody_has\n",
    "hollow": "from handlers import Domain\ndomain = Domain(name='Hollow', views=(), deciders=(), events=())\n",
    "foreign": "from handlers import DomainEvent\nclass Lamp:\n    pass\nclass Lit(DomainEvent):\n    lamp: Lamp\n",
    "plain": "domain = 'lamps'\n",
    "street": "from dataclasses import replace\nfrom handlers import DomainEvent\n"
    "from tests.unit.handlers.lamps import domain as lamps\n"
    "class Broke(DomainEvent):\n    pass\n"
    "domain = replace(lamps, name='street', events=(*lamps.events[:1], Broke))\n"
    "shared = replace(lamps, name='shared')\n",
    "clubs": "from dataclasses import replace\nfrom handlers import DomainEvent, Upcaster\n"
    "from tests.support.domains.members import NAME_BRANCH, SPLIT_NAME, domain as club\n"
    "class MemberSignedUp(DomainEvent):\n    pass\n"
    "same = replace(club, name='same')\n"
    "other = replace(club, name='other', upcasters=(SPLIT_NAME, replace(NAME_BRANCH, upcast=dict)))\n"
    "own = replace(club, name='own', views=(), events=(MemberSignedUp,), upcasters=())\n",
    "grouped": "from types import SimpleNamespace\n"
    "from tests.unit.handlers.lamps import domain as lamps\nall = SimpleNamespace(lamps=lamps)\n",
}


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    package = tmp_path / "lantern"
    package.mkdir()
    for name, text in BROKEN.items():
        (package / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "lantern"]:
        del sys.modules[name]


def test_domains_are_in_the_order_of_the_setting() -> None:
    loaded = load_domains(f" {LAMPS} , handlers.library:domain,")
    assert [domain.name for domain in loaded] == ["lamps", "library"]
    assert loaded[1] is library.domain


def test_an_attribute_may_be_nested() -> None:
    assert load_domains("lantern.grouped:all.lamps")[0].name == "lamps"


NO_DOMAIN = (
    "WORKER_DOMAINS names no domain; give it the form module:attribute, such as handlers.library:domain for the example"
)


@pytest.mark.parametrize(
    ("places", "sentence"),
    [
        ("", NO_DOMAIN),
        (" , ", NO_DOMAIN),
        (
            "handlers.orders:domain",
            (
                "WORKER_DOMAINS: handlers.orders cannot be imported: there is no module handlers.orders; handlers is a "
                "package of this program: if yours is meant, give it another name"
            ),
        ),
        (
            "lantern.shadowed:domain",
            (
                "WORKER_DOMAINS: lantern.shadowed cannot be imported: there is no module handlers.orders; handlers is "
                "a package of this program: if yours is meant, give it another name"
            ),
        ),
        (
            "worker:domain",
            (
                "WORKER_DOMAINS: worker has no attribute domain; worker is a package of this program: if yours is "
                "meant, give it another name"
            ),
        ),
        (
            "lantern.plain",
            "WORKER_DOMAINS: 'lantern.plain' must have the form module:attribute, such as lantern.plain:domain",
        ),
        (
            "lantern.domain",
            "WORKER_DOMAINS: 'lantern.domain' must have the form module:attribute, such as lantern:domain",
        ),
        ("lantern", "WORKER_DOMAINS: 'lantern' must have the form module:attribute, such as lantern:domain"),
        (":domain", "WORKER_DOMAINS: ':domain' must have the form module:attribute"),
        (
            "lantern:domain lamp:domain",
            "WORKER_DOMAINS: 'lantern:domain lamp:domain' has several colons; separate domains by commas",
        ),
        (
            "lantern.plain:",
            "WORKER_DOMAINS: 'lantern.plain:' must have the form module:attribute, such as lantern.plain:domain",
        ),
        (
            "lanterns.plain:domain",
            (
                "WORKER_DOMAINS: lanterns.plain cannot be imported: there is no module lanterns; "
                "run this in the folder that has it, install its package, or correct the name"
            ),
        ),
        (
            "lantern/plain.py:domain",
            (
                "WORKER_DOMAINS: lantern/plain.py cannot be imported: there is no module lantern/plain; "
                "a module is named as it is imported: lantern.plain:domain"
            ),
        ),
        (
            "lantern.plain.py:domain",
            (
                "WORKER_DOMAINS: lantern.plain.py cannot be imported: there is no module lantern.plain.py; "
                "a module is named as it is imported: lantern.plain:domain"
            ),
        ),
        (
            "lantern.plan:domain",
            (
                "WORKER_DOMAINS: lantern.plan cannot be imported: there is no module lantern.plan; "
                "install its package, or correct the name"
            ),
        ),
        (
            "lantern.needy:domain",
            (
                "WORKER_DOMAINS: lantern.needy cannot be imported: there is no module a_package_that_nobody_has; "
                "install its package, or correct the name"
            ),
        ),
        (
            "lantern.misspelt:domain",
            "WORKER_DOMAINS: lantern.misspelt cannot be imported ({folder}/misspelt.py:1): SyntaxError: invalid syntax",
        ),
        (
            "lantern.failing:domain",
            "WORKER_DOMAINS: lantern.failing cannot be imported ({folder}/failing.py:1): RuntimeError: no light\ntoday",
        ),
        (
            "lantern.leaving:domain",
            "WORKER_DOMAINS: lantern.leaving cannot be imported ({folder}/leaving.py:1): SystemExit: 0",
        ),
        (
            "lantern.hollow:domain",
            (
                "WORKER_DOMAINS: lantern.hollow ({folder}/hollow.py:2): "
                "a domain's name is up to 50 small letters, digits, _ and -, and begins with a letter; 'Hollow' is not"
            ),
        ),
        (
            "lantern.foreign:domain",
            (
                "WORKER_DOMAINS: lantern.foreign cannot be imported ({folder}/foreign.py:4): Unable to generate "
                "pydantic-core schema for <class 'lantern.foreign.Lamp'>; give its field a type that JSON has, or a "
                "model of such types"
            ),
        ),
        (".lantern:domain", "WORKER_DOMAINS: '.lantern:domain' must have the form module:attribute"),
        ("lantern.plain:lamps", "WORKER_DOMAINS: lantern.plain has no attribute lamps"),
        (
            "lantern.street:domains",
            "WORKER_DOMAINS: lantern.street has no attribute domains; did you mean domain or lamps or shared?",
        ),
        ("lantern.plain:domain", "WORKER_DOMAINS: lantern.plain:domain is no Domain, but a str"),
        (
            "tests.unit.handlers.lamps:Domain",
            "WORKER_DOMAINS: tests.unit.handlers.lamps:Domain is no Domain, but the class Domain; did you mean domain?",
        ),
        (f"{LAMPS},{LAMPS}", "WORKER_DOMAINS names two domains that are called lamps"),
    ],
)
def test_an_invalid_entry_is_reported_in_a_sentence(places: str, sentence: str, tmp_path: Path) -> None:
    with pytest.raises(DomainNotFound) as raised:
        load_domains(places)
    assert str(raised.value) == sentence.format(folder=tmp_path / "lantern")


def test_one_event_name_for_two_classes_is_refused() -> None:
    with pytest.raises(InvalidDomain) as raised:
        load_domains(f"{LAMPS},lantern.street:domain")
    assert str(raised.value) == (
        "the domains lamps and street each have an event Broke of their own, and would confuse the two; rename one, "
        "or let both use one class"
    )


def test_one_event_class_may_be_of_several_domains() -> None:
    assert len(load_domains(f"{LAMPS},lantern.street:shared")) == 2


def test_two_domains_upcast_a_shared_event_alike() -> None:
    assert len(load_domains(f"{CLUB},lantern.clubs:same")) == 2
    with pytest.raises(InvalidDomain) as raised:
        load_domains(f"{CLUB},lantern.clubs:other")
    assert str(raised.value) == (
        "the domains club and other have other upcasters for the event MemberJoined, and would read it differently; "
        "give both the same"
    )


def test_an_event_may_not_have_a_former_name_of_another_domains_event() -> None:
    with pytest.raises(InvalidDomain, match="the domains club and own each have an event MemberSignedUp of their own"):
        load_domains(f"{CLUB},lantern.clubs:own")
