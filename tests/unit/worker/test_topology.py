from tests.support.domains.sharded import domain
from tests.support.domains.tally import domain as tally
from worker.topology import Address, Topology


def test_a_domain_without_affinity_has_one_work_queue() -> None:
    topology = Topology.of(tally)
    assert topology == Topology("tally")
    assert topology.work_queues == ("tally.commands",)
    assert topology.entrance == Address("", "tally.commands")


def test_a_domain_with_affinity_has_a_work_queue_per_shard() -> None:
    topology = Topology.of(domain)
    assert topology.work_queues == tuple(f"tally.commands.{n}" for n in range(8))
    assert topology.entrance == Address("commands.tally", "tally")


def test_the_retry_queue_depends_on_the_number_of_shards() -> None:
    ways = {dict(Topology("tally", n).queues())["tally.commands.retry"]["x-dead-letter-routing-key"] for n in (4, 8)}
    assert ways == {"tally/4", "tally/8"}
    # It is declared before any work queue: a refused declaration creates none.
    assert [name for name, _ in Topology("tally", 2).queues()] == [
        "tally.commands.dead",
        "tally.commands.retry",
        "tally.commands.0",
        "tally.commands.1",
    ]


def test_only_schedules_declare_the_schedule_queue() -> None:
    plain, topology = Topology("tally"), Topology("tally", has_schedule=True)
    assert topology.schedule_queue == plain.schedule_queue == "tally.schedule"
    assert topology.queues()[:-1] == plain.queues()
    name, arguments = topology.queues()[-1]
    assert name == "tally.schedule"
    work = dict(plain.queues())["tally.commands"]
    # As durable as the work queue, and ordered.
    assert arguments == {**work, "x-single-active-consumer": True}
