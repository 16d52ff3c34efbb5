"""The configuration of Prometheus for a single machine."""

from deploy.local.telemetry.prometheus import with_targets
from tests.support.composition import ROOT
from tests.support.yaml_documents import document

_TEXT = (ROOT / "deploy" / "prometheus" / "prometheus.yml").read_text(encoding="utf-8")
_ADDRESSES = {"rabbitmq:15692": "127.0.0.1:15001", "localhost:9090": "127.0.0.1:15002"}


def test_given_addresses_are_scraped_and_other_jobs_are_removed() -> None:
    moved, whole = document(with_targets(_TEXT, _ADDRESSES)), document(_TEXT)
    jobs = {job["job_name"]: job for job in moved["scrape_configs"]}
    assert {name: job["static_configs"] for name, job in jobs.items()} == {
        "rabbitmq": [{"targets": ["127.0.0.1:15001"]}],
        "rabbitmq-queues": [{"targets": ["127.0.0.1:15001"]}],
        "prometheus": [{"targets": ["127.0.0.1:15002"]}],
    }
    # A job's other settings and the global ones are unchanged.
    (queues,) = (job for job in whole["scrape_configs"] if job["job_name"] == "rabbitmq-queues")
    assert jobs["rabbitmq-queues"] == {**queues, "static_configs": [{"targets": ["127.0.0.1:15001"]}]}
    assert {**moved, "scrape_configs": []} == {**whole, "scrape_configs": []}


def test_every_job_can_be_given_an_address() -> None:
    whole = document(_TEXT)
    targets = [
        target for job in whole["scrape_configs"] for each in job["static_configs"] for target in each["targets"]
    ]
    assert document(with_targets(_TEXT, {target: target for target in targets})) == whole
