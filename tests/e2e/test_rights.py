"""Each role works with the rights that docs/broker.md gives it, and a missing one is named."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest

from tests.e2e.conftest import Serving
from tests.e2e.letters import listed, put_dead_letter
from tests.e2e.program import Ended, Worker
from tests.support.amqp_client import AmqpClient
from tests.support.fixtures.databases import Database
from tests.support.fixtures.vhosts import Management

READER = '{"ReaderID": "ada", "Name": "Ada Lovelace"}'
NONE = "^$"
PUBLISHER = {"configure": NONE, "write": r"^commands$", "read": NONE}
ASKING = {"configure": r"^replies\..*", "write": r"^(commands|replies\..*)$", "read": r"^replies\..*"}
WORKER = {
    "configure": NONE,
    "write": r"^(amq\.default|library\.commands(\..*)?)$",
    "read": r"^(commands|library\.commands(\..*)?)$",
}

SHARDS = {
    "configure": r"^tally\.workers\..*",
    "write": r"^(amq\.default|commands\.tally.*|tally\..*)$",
    "read": r"^(commands.*|tally\..*)$",
}
SCHEDULE = {"configure": NONE, "write": r"^(amq\.default|commands)$", "read": r"^library\.schedule$"}
LETTERS = {
    "configure": NONE,
    "write": r"^(amq\.default|commands\.library)$",
    "read": r"^library\.commands\.dead$",
}

As = Callable[[dict[str, str]], str]


@pytest.fixture
def known_as(vhost: str, management: Management) -> Iterator[As]:
    """Returns the address of the virtual host for a user of its own, who has the rights that are named."""
    parts = urlsplit(vhost)
    name = parts.path[1:]
    users: list[str] = []

    def log_in(rights: dict[str, str]) -> str:
        user = f"{name}-{len(users)}"
        management.request("PUT", f"/api/users/{user}", {"password": "of-this-test", "tags": ""})
        users.append(user)
        management.request("PUT", f"/api/permissions/{name}/{user}", rights)
        return parts._replace(netloc=f"{user}:of-this-test@{parts.hostname}:{parts.port}").geturl()

    yield log_in
    for user in users:
        management.request("DELETE", f"/api/users/{user}")


@pytest.mark.usefixtures("queues")
async def test_who_may_write_to_the_exchange_can_publish(worker: Worker, known_as: As, client: AmqpClient) -> None:
    ended = await worker.having(AMQP_URL=known_as(PUBLISHER))("publish", "RegisterReader", READER)
    assert (ended.status, ended.complaint) == (0, "")
    assert await client.ready("library.commands") == 1


@pytest.mark.usefixtures("queues")
async def test_a_publisher_without_the_right_is_told_which(worker: Worker, known_as: As) -> None:
    nobody = worker.having(AMQP_URL=known_as({"configure": NONE, "write": NONE, "read": NONE}))
    ended = await nobody("publish", "RegisterReader", READER)
    assert "access to exchange 'commands'" in ended.mistake()


async def test_a_worker_with_the_rights_to_read_and_write_serves_once_the_topology_stands(
    worker: Worker, known_as: As, serving: Serving
) -> None:
    limited = worker.having(AMQP_URL=known_as(WORKER))
    refused = (await limited("run")).mistake()
    assert "cannot be made" in refused
    assert "run `worker topology declare` once, as a user that may configure them" in refused
    missing = await worker("topology", "declare", "--dry-run")
    assert (missing.status, missing.output.startswith("library: missing commands, ")) == (1, True)
    made = await worker("topology", "declare")
    assert (made.status, made.output.startswith("library: made commands, ")) == (0, True)
    again = await worker("topology", "declare", "--dry-run")
    assert (again.status, again.output) == (0, "library: nothing is missing.\n")
    async with serving(limited):
        asking = worker.having(AMQP_URL=known_as(ASKING))
        answer = await asking("publish", "RegisterReader", READER, "--wait")
        assert (answer.status, "accepted" in answer.output) == (0, True), answer
        # What is put aside goes where it belongs, too.
        assert (await worker("publish", "RegisterReader", READER, "--wait")).status == 0
    checked = await limited("check", "--json")
    (queue,) = (each for each in checked.document() if each["part"] == "queue library.commands")
    assert queue["good"], queue


async def test_what_is_sent_later_needs_no_other_right_of_its_publisher_and_few_of_who_sends_it(
    worker: Worker, known_as: As, client: AmqpClient
) -> None:
    assert (await worker("topology", "declare")).status == 0
    publisher = worker.having(AMQP_URL=known_as(PUBLISHER))
    command_id = (await publisher("publish", "RegisterReader", READER, "--at", "2020-01-01T00:00:00Z")).output.strip()
    async with worker.having(AMQP_URL=known_as(SCHEDULE)).started("schedule", "run"):
        assert (await client.take("library.commands", seconds=60)).message_id == command_id


async def test_a_worker_of_shards_serves_with_its_rights(worker: Worker, known_as: As, serving: Serving) -> None:
    sharded = worker.having(WORKER_DOMAINS="tests.support.domains.sharded:domain")
    made = await sharded("topology", "declare")
    assert (made.status, "tally: made commands, commands.tally, commands.tally.workers" in made.output) == (0, True)
    limited = sharded.having(AMQP_URL=known_as(SHARDS))
    async with serving(limited):
        answer = await sharded("publish", "Count", '{"Key": "a"}', "--wait")
        assert (answer.status, "accepted" in answer.output) == (0, True), answer
    checked = await limited("check", "--json")
    (queue,) = (each for each in checked.document() if each["part"] == "queue tally.commands")
    assert queue["good"], queue
    checked = await sharded.having(AMQP_URL=known_as({**SHARDS, "configure": NONE}))("check", "--json")
    (queue,) = (each for each in checked.document() if each["part"] == "queue tally.commands")
    assert not queue["good"]
    assert "configure tally.workers.* (how workers of shards find each other)" in queue["text"]


@pytest.mark.usefixtures("queues")
async def test_who_looks_after_dead_letters_needs_no_other_right(
    worker: Worker, known_as: As, client: AmqpClient
) -> None:
    letter = await put_dead_letter(client)
    limited = worker.having(AMQP_URL=known_as(LETTERS))
    assert listed(await limited("dead-letters", "list", "--json")) == [letter]
    replayed = await limited("dead-letters", "replay", letter)
    assert (replayed.status, replayed.output) == (0, "1 dead letter was replayed.\n"), replayed
    assert (await client.take("library.commands")).message_id == letter


@pytest.mark.usefixtures("queues")
async def test_a_check_names_the_right_that_is_missing(worker: Worker, known_as: As, client: AmqpClient) -> None:
    await client.put(b"{}", routing_key="library")
    for lacking, named in (
        ({**WORKER, "read": NONE}, "read library.commands"),
        ({**WORKER, "write": NONE}, "write amq.default"),
    ):
        checked = await worker.having(AMQP_URL=known_as(lacking))("check", "--json")
        (queue,) = (each for each in checked.document() if each["part"] == "queue library.commands")
        assert not queue["good"]
        assert named in queue["text"]
    # Nothing was taken or stored for that.
    assert await client.ready("library.commands") == 1


async def test_a_check_names_what_followers_and_schedules_lack(
    worker: Worker, known_as: As, database: Database
) -> None:
    absent = await worker("check", "--followers", "--json")
    assert absent.status == 2
    assert _followers(absent)["text"] == (
        "not declared yet: library.events, library.schedule; `worker topology declare` declares what is missing, and "
        "so does the first `worker follow` that may."
    )
    assert (await worker("topology", "declare")).status == 0
    assert _followers(await worker("check", "--followers", "--json")) == {
        "part": "followers and schedule of library",
        "good": True,
        "text": "may be run",
        "note": False,
    }
    admin = await asyncpg.connect(database.admin_url)
    await admin.execute("REVOKE USAGE ON SCHEMA schedule FROM eventstore_projections")
    await admin.close()
    limited = worker.having(AMQP_URL=known_as(WORKER))
    # Of who only serves, nothing is missing.
    told = _followers(await limited("check", "--json"))
    assert told["good"]
    assert told["text"].startswith("`worker follow` cannot run here: ")
    for lacking in (
        "the role eventstore_projections lacks USAGE ON SCHEMA schedule",
        "write commands (reactions and scheduled commands)",
        "write library.events (relays)",
        "read library.schedule (scheduled commands)",
    ):
        assert lacking in told["text"]


def _followers(checked: Ended) -> dict[str, Any]:
    (found,) = (each for each in checked.document() if each["part"].startswith("followers"))
    assert isinstance(found, dict)
    return found


@pytest.mark.usefixtures("queues")
async def test_a_check_names_the_policies_by_which_something_can_be_lost(
    worker: Worker, vhost: str, management: Management
) -> None:
    folder = urlsplit(vhost).path
    checking = worker.having(RABBITMQ_MANAGEMENT_URL=management.address)

    async def told() -> list[tuple[bool, str]]:
        found = (await checking("check", "--json")).document()
        # The page to open is named beside them, without who may look.
        assert [urlsplit(each["text"]).username for each in found if each["part"] == "page of RabbitMQ"] == [None]
        return [(each["good"], each["text"]) for each in found if each["part"].startswith("policies")]

    assert await told() == [(True, "none that can lose messages")]
    everything = {"message-ttl": 1000, "expires": 60_000, "delivery-limit": 20, "max-length": 3}
    for name, kind, definition in (
        ("all", "policies", everything),
        ("strict", "operator-policies", {"expires": 50_000}),
    ):
        body = {"pattern": r"\.commands", "definition": definition, "apply-to": "queues"}
        management.request("PUT", f"/api/{kind}{folder}/{name}", body)
    way = "docs/broker.md, Policies, says which policy may match which queue."
    gone = "with all that is in it, when it is not used for 50,000 ms"
    assert sorted(await told()) == sorted(
        (False, f"{text}: {way}")
        for text in (
            f"the policy strict deletes library.commands, {gone}",
            f"the policy strict deletes library.commands.retry, {gone}",
            f"the policy strict deletes library.commands.dead, {gone}",
            "the policy all makes a dead letter of each command that has waited in library.commands for 1,000 ms",
            "the policy all makes a dead letter of a command that was delivered 20 times (library.commands)",
            "the policy all deletes messages that have been in library.commands.dead for 1,000 ms",
            "the policy all drops a letter that was read 20 times (library.commands.dead)",
        )
    )
    for name, kind in (("all", "policies"), ("strict", "operator-policies")):
        management.request("DELETE", f"/api/{kind}{folder}/{name}")
    body = {"pattern": r"\.schedule$", "definition": {"message-ttl": 1000}, "apply-to": "queues"}
    management.request("PUT", f"/api/policies{folder}/brief", body)
    assert await told() == [(True, "none that can lose messages")]
    assert (await worker("topology", "declare")).status == 0
    text = "the policy brief makes a dead letter of each command that has waited in library.schedule for 1,000 ms"
    assert await told() == [(False, f"{text}: {way}")]


@pytest.mark.usefixtures("queues")
async def test_a_check_notes_that_commands_nobody_takes_are_stored_elsewhere(
    worker: Worker, vhost: str, management: Management, client: AmqpClient
) -> None:
    elsewhere = await client.channel.declare_queue("elsewhere", durable=True)
    await elsewhere.bind("amq.fanout")
    body = {"pattern": "^commands", "definition": {"alternate-exchange": "amq.fanout"}, "apply-to": "exchanges"}
    management.request("PUT", f"/api/policies{urlsplit(vhost).path}/catch", body)
    checked = await worker.having(RABBITMQ_MANAGEMENT_URL=management.address)("check", "--json")
    assert checked.status == 0, checked
    (found,) = (each for each in checked.document() if each["part"] == "exchange commands")
    assert (found["good"], found["note"]) == (True, True)
    assert found["text"].startswith(
        "the policy catch sends what no queue takes to the exchange amq.fanout: a publisher"
    )


async def test_a_dead_queue_of_an_older_version_serves_and_is_told(
    worker: Worker, vhost: str, management: Management, client: AmqpClient, serving: Serving
) -> None:
    folder = urlsplit(vhost).path
    older: dict[str, Any] = {"x-queue-type": "quorum", "x-delivery-limit": 1_000_000_000}
    await client.channel.declare_queue("library.commands.dead", durable=True, arguments=older)
    async with serving(worker):
        answer = await worker("publish", "RegisterReader", READER, "--wait")
        assert (answer.status, "accepted" in answer.output) == (0, True), answer
    declared = await worker("topology", "declare")
    assert "library.commands.dead was declared by an older version, and works as it is" in declared.output
    checking = worker.having(RABBITMQ_MANAGEMENT_URL=management.address)

    async def told() -> tuple[bool, str]:
        found = (await checking("check", "--json")).document()
        (each,) = (each for each in found if each["part"].startswith("policies"))
        return each["good"], each["text"]

    good, text = await told()
    assert good
    assert "library.commands.dead, made by an older version, would drop letters under a length policy" in text
    body = {"pattern": r"\.dead$", "definition": {"max-length": 3}, "apply-to": "queues"}
    management.request("PUT", f"/api/policies{folder}/bound", body)
    good, text = await told()
    assert not good
    assert text.startswith("the policy bound drops the oldest letters of library.commands.dead above max-length 3")
    # The way that the document shows.
    body["definition"] = {"max-length": 3, "overflow": "reject-publish"}
    management.request("PUT", f"/api/policies{folder}/bound", body)
    assert await told() == (True, "none that can lose messages")
