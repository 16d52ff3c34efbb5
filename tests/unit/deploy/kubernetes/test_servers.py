"""The example's database, broker and autoscaler match the workers and each other."""

import re
from typing import Any
from urllib.parse import urlsplit

import pytest

from handlers.registry import load_domains
from tests.support.composition import ROOT
from tests.unit.deploy.kubernetes.kustomization import EXAMPLE, Manifest, build, named
from worker.reading.service import POOL_SIZE
from worker.settings import Settings
from worker.topology import Topology

# For migrations, checks and operators, and for superusers (superuser_reserved_connections).
_SPARE = 20
# The pools for the primary and the replicas: after a failover, both can connect to one server.
_POOLS = 2
# Of the isolation process, which decides poison messages while there are any.
_FOR_SUSPECTS = 1


@pytest.fixture(scope="module")
def example() -> list[Manifest]:
    return build(EXAMPLE)


@pytest.fixture
def settings(example: list[Manifest], monkeypatch: pytest.MonkeyPatch) -> Settings:
    for variable, value in named(example, "ConfigMap", "worker-settings")["data"].items():
        if not variable.endswith("_FILE"):
            monkeypatch.setenv(variable, value)
    return Settings.load(needs=())


@pytest.fixture
def database(example: list[Manifest]) -> Manifest:
    found: Manifest = named(example, "Cluster", "database")["spec"]
    return found


@pytest.fixture
def scaling(example: list[Manifest]) -> Manifest:
    found: Manifest = named(example, "ScaledObject", "worker")["spec"]
    return found


def mounted_secrets(manifest: Manifest) -> set[tuple[str, str]]:
    return {
        (source["secret"]["name"], item["key"])
        for volume in manifest["spec"]["template"]["spec"]["volumes"]
        for source in volume.get("projected", {}).get("sources", ())
        for item in source["secret"]["items"]
    }


def test_the_database_has_connections_for_all_processes(
    example: list[Manifest], settings: Settings, database: Manifest, scaling: Manifest
) -> None:
    _, of_workers = _workers(example, settings, scaling)
    _, of_followers = _followers(example, settings)
    (role,) = database["managed"]["roles"]
    assert of_workers + of_followers <= role["connectionLimit"]
    assert role["connectionLimit"] + _SPARE <= int(database["postgresql"]["parameters"]["max_connections"])


def test_the_sum_in_the_guide_is_this_one(
    example: list[Manifest], settings: Settings, database: Manifest, scaling: Manifest
) -> None:
    (workers, of_workers), (followers, of_followers) = (
        _workers(example, settings, scaling),
        _followers(example, settings),
    )
    (role,) = database["managed"]["roles"]
    text = (ROOT / "docs" / "scaling.md").read_text().replace("\N{MULTIPLICATION SIGN}", "*")
    assert f"{workers} = {of_workers}" in text
    assert f"{followers} = {of_followers}" in text
    limit, most = role["connectionLimit"], int(database["postgresql"]["parameters"]["max_connections"])
    assert f"{of_workers + of_followers}  \N{LESS-THAN OR EQUAL TO}  {limit}" in text
    assert f"{limit} + {most - limit}  =  {most}" in text


def _workers(example: list[Manifest], settings: Settings, scaling: Manifest) -> tuple[str, int]:
    """The most connections that workers open: the formula as written, and its value."""
    most, surge = scaling["maxReplicaCount"], _surge(example, "worker")
    written = f"({most} + {surge}) * ({settings.pool_size} * {_POOLS} + {_FOR_SUSPECTS})"
    return written, (most + surge) * (settings.pool_size * _POOLS + _FOR_SUSPECTS)


def _followers(example: list[Manifest], settings: Settings) -> tuple[str, int]:
    domains = load_domains(settings.worker_domains)
    followers = sum(len((*each.projections, *each.reactions, *each.relays)) for each in domains)
    most, surge = named(example, "Deployment", "follower")["spec"]["replicas"], _surge(example, "follower")
    written = f"({most} + {surge}) * ({POOL_SIZE} * {_POOLS} + 1 + {followers} + {len(domains)})"
    return written, (most + surge) * (POOL_SIZE * _POOLS + 1 + followers + len(domains))


def _surge(example: list[Manifest], name: str) -> int:
    return int(named(example, "Deployment", name)["spec"]["strategy"]["rollingUpdate"]["maxSurge"])


def test_the_guides_secret_is_mounted(example: list[Manifest], database: Manifest) -> None:
    text = (ROOT / "docs" / "deployment.md").read_text()
    command = re.search(r"kubectl --namespace (\S+) create secret generic (\S+) --type (\S+)(.*?)\n\$", text, re.DOTALL)
    assert command is not None
    namespace, secret, kind, rest = command.groups()
    (role,) = database["managed"]["roles"]
    assert namespace == named(example, "Cluster", "database")["metadata"]["namespace"]
    assert (secret, kind) == (role["passwordSecret"]["name"], "kubernetes.io/basic-auth")
    literals = dict(re.findall(r'--from-literal (\w+)="?([^" \n]+)', rest))
    mounted = mounted_secrets(named(example, "Deployment", "worker"))
    assert set(literals) == {"username", "password", *(key for name, key in mounted if name == secret)}
    assert literals["username"] == role["name"]
    for key, service in (("database_url", "rw"), ("database_replica_urls", "ro")):
        address = urlsplit(literals[key])
        of_database = named(example, "Cluster", "database")["metadata"]["name"]
        assert (address.username, address.hostname) == (role["name"], f"{of_database}-{service}")
        assert address.path == f"/{database['bootstrap']['initdb']['database']}"


def test_a_commit_is_on_two_instances_and_survives_a_failover(database: Manifest) -> None:
    assert database["instances"] == 3
    assert database["postgresql"]["synchronous"] == {
        "method": "any",
        "number": 1,
        "dataDurability": "required",
        "failoverQuorum": True,
    }
    # The store refuses to append with a lower setting.
    assert database["postgresql"]["parameters"]["synchronous_commit"] in {"on", "remote_apply"}
    assert not {"fsync", "full_page_writes"} & set(database["postgresql"]["parameters"])


def test_the_group_role_is_created_before_its_member_and_the_migration(database: Manifest) -> None:
    initdb = database["bootstrap"]["initdb"]
    assert initdb["postInitSQL"] == [
        "CREATE ROLE eventstore_runtime NOLOGIN",
        "CREATE ROLE eventstore_projections NOLOGIN ROLE admin",
    ]
    (role,) = database["managed"]["roles"]
    assert role["inRoles"] == ["eventstore_runtime", "eventstore_projections"]
    assert role["name"] != initdb["owner"]
    assert not {"superuser", "createdb", "createrole", "replication", "bypassrls"} & set(role)


def test_secrets_are_created_by_the_operators_or_the_guide(example: list[Manifest]) -> None:
    database = named(example, "Cluster", "database")
    broker = named(example, "RabbitmqCluster", "broker")["metadata"]["name"]
    (role,) = database["spec"]["managed"]["roles"]
    of_database = database["metadata"]["name"]
    assert mounted_secrets(named(example, "Deployment", "worker")) == {
        (role["passwordSecret"]["name"], "database_url"),
        (role["passwordSecret"]["name"], "database_replica_urls"),
        (f"{of_database}-ca", "ca.crt"),
        (f"{broker}-default-user", "connection_string"),
    }
    assert mounted_secrets(named(example, "Job", "worker-migrate")) == {
        (f"{of_database}-app", "uri"),
        (f"{of_database}-ca", "ca.crt"),
    }
    (target,) = named(example, "TriggerAuthentication", "broker")["spec"]["secretTargetRef"]
    assert target == {"parameter": "host", "name": f"{broker}-default-user", "key": "connection_string"}


def test_the_network_policies_allow_connections_to_the_servers(example: list[Manifest]) -> None:
    destinations = [
        peer["podSelector"]["matchLabels"]
        for manifest in example
        if manifest["kind"] == "NetworkPolicy"
        for rule in manifest["spec"]["egress"]
        for peer in rule["to"]
    ]
    database = named(example, "Cluster", "database")["metadata"]["name"]
    broker = named(example, "RabbitmqCluster", "broker")["metadata"]["name"]
    assert {"cnpg.io/cluster": database} in destinations
    assert {"app.kubernetes.io/name": broker} in destinations


def test_broker_nodes_are_on_different_hosts_and_one_may_fail(example: list[Manifest]) -> None:
    broker = named(example, "RabbitmqCluster", "broker")["spec"]
    assert broker["replicas"] == 3
    ((term,),) = (rules for rules in broker["affinity"]["podAntiAffinity"].values())
    budget = named(example, "PodDisruptionBudget", "broker")["spec"]
    assert term["labelSelector"] == budget["selector"] == {"matchLabels": {"app.kubernetes.io/name": "broker"}}
    assert term["topologyKey"] == "kubernetes.io/hostname"
    assert budget["maxUnavailable"] == 1
    assert f"target_group_size = {broker['replicas']}" in broker["rabbitmq"]["additionalConfig"]


def test_the_broker_can_spread_commands_over_shards(example: list[Manifest]) -> None:
    broker = named(example, "RabbitmqCluster", "broker")["spec"]
    assert broker["rabbitmq"]["additionalPlugins"] == ["rabbitmq_consistent_hash_exchange"]


def test_the_autoscaler_watches_the_queue_that_workers_consume(
    example: list[Manifest], settings: Settings, scaling: Manifest
) -> None:
    assert scaling["scaleTargetRef"] == {"name": named(example, "Deployment", "worker")["metadata"]["name"]}
    assert "replicas" not in named(example, "Deployment", "worker")["spec"]
    domains = load_domains(settings.worker_domains)
    queues = [queue for domain in domains for queue in Topology.of(domain).work_queues]
    assert [trigger["metadata"]["queueName"] for trigger in scaling["triggers"]] == queues
    for trigger in scaling["triggers"]:
        assert trigger["authenticationRef"] == {"name": "broker"}
        # Prefetched messages do not count as ready, so they must be few compared with the target.
        assert int(trigger["metadata"]["value"]) >= 5 * settings.prefetch


def test_workers_are_removed_one_at_a_time_after_a_drain(
    example: list[Manifest], settings: Settings, scaling: Manifest
) -> None:
    down: dict[str, Any] = scaling["advanced"]["horizontalPodAutoscalerConfig"]["behavior"]["scaleDown"]
    (policy,) = down["policies"]
    assert (policy["type"], policy["value"]) == ("Pods", 1)
    assert policy["periodSeconds"] > settings.worker_drain_deadline
    assert down["stabilizationWindowSeconds"] >= 300
    # Workers declare the queue: with no worker, it may not exist and cannot be measured.
    assert 2 <= scaling["minReplicaCount"] < scaling["maxReplicaCount"]
    # Otherwise the loss of a node could end all of them.
    assert named(example, "PodDisruptionBudget", "worker")["spec"]["maxUnavailable"] < scaling["minReplicaCount"]
