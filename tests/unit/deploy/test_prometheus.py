"""Prometheus' scrape jobs, recording rules and alerts: well-formed, with existing series and documented advice."""

import re
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, ConfigDict, Field

from tests.support.composition import ROOT, composition, example_environment
from tests.unit.deploy.expressions import labels, named_labels, parsed, selectors
from tests.unit.deploy.instruments import PREFIXES, exported_series
from tests.unit.deploy.watching import DEPLOY, recorded, rules, series, yaml_of

_Duration = Annotated[str, Field(pattern=r"^(\d+(ms|[smhdwy]))+$")]
_SECONDS = {"s": 1, "m": 60, "h": 3600}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid")


class _Recording(_Strict):
    record: Annotated[str, Field(pattern=r"^\w+(:\w+)+$")]
    expr: str


class _Labels(_Strict):
    severity: Literal["critical", "warning"]


class _Annotations(_Strict):
    summary: Annotated[str, Field(min_length=10)]
    runbook: str


class _Alert(_Strict):
    alert: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z]+$")]
    expr: str
    for_: Annotated[_Duration | None, Field(alias="for")] = None
    labels: _Labels
    annotations: _Annotations


class _Group(_Strict):
    name: str
    rules: list[_Recording | _Alert]


class _Rules(_Strict):
    groups: list[_Group]


class _Static(_Strict):
    targets: list[Annotated[str, Field(pattern=r"^[\w-]+:\d+$")]]


class _Scrape(_Strict):
    job_name: str
    honor_labels: bool = False
    metrics_path: Annotated[str, Field(pattern="^/")] = "/metrics"
    params: dict[str, list[str]] = {}
    static_configs: list[_Static]


class _Global(_Strict):
    scrape_interval: _Duration
    evaluation_interval: _Duration


class _Configuration(_Strict):
    global_: Annotated[_Global, Field(alias="global")]
    rule_files: list[str]
    scrape_configs: list[_Scrape]


def _alerts() -> list[dict[str, Any]]:
    return rules("alerts")


def _configuration() -> _Configuration:
    return _Configuration.model_validate(yaml_of("prometheus/prometheus.yml"))


def _headings() -> Mapping[str, str]:
    """The sections of docs/operations.md by their GitHub anchors, each with its text."""
    parts = re.split(r"^#+ (.+)$", (ROOT / "docs" / "operations.md").read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", title).strip().lower().replace(" ", "-"): text
        for title, text in zip(parts[1::2], parts[2::2], strict=True)
    }


@pytest.mark.parametrize("name", ["recording", "alerts"])
def test_rules_are_well_formed(name: str) -> None:
    groups = _Rules.model_validate(yaml_of(f"prometheus/{name}.yml")).groups
    assert groups
    assert len(groups) == len({group.name for group in groups})
    assert all(group.rules for group in groups)


def test_every_rule_file_is_loaded() -> None:
    files = {path.name for path in (DEPLOY / "prometheus").glob("*.yml")} - {"prometheus.yml"}
    assert set(_configuration().rule_files) == files


def test_scrape_targets_are_services_of_the_composition() -> None:
    services = composition(example_environment())["services"]
    scrapes = _configuration().scrape_configs
    assert len(scrapes) == len({scrape.job_name for scrape in scrapes})
    for scrape in scrapes:
        for static in scrape.static_configs:
            for target in static.targets:
                assert target.split(":")[0] in {*services, "localhost"}, target


def test_workers_keep_their_own_job_and_instance() -> None:
    collector = yaml_of("otel/collector.yaml")
    port = collector["exporters"]["prometheus"]["endpoint"].rpartition(":")[2]
    (scrape,) = (
        scrape
        for scrape in _configuration().scrape_configs
        if scrape.static_configs[0].targets == [f"otel-collector:{port}"]
    )
    assert scrape.honor_labels


def test_the_broker_is_scraped_for_every_queue_metric_in_use() -> None:
    (scrape,) = (scrape for scrape in _configuration().scrape_configs if scrape.metrics_path == "/metrics/detailed")
    assert scrape.params == {"family": ["queue_coarse_metrics", "queue_consumer_count"]}


@pytest.mark.parametrize("rule", rules("recording"), ids=lambda rule: rule["record"])
def test_a_recorded_series_has_the_labels_in_its_name(rule: dict[str, Any]) -> None:
    assert labels(parsed(rule["expr"]), series()) == recorded()[rule["record"]]


@pytest.mark.parametrize("rule", _alerts(), ids=lambda rule: rule["alert"])
def test_alerts_use_existing_series_and_name_their_labels(rule: dict[str, Any]) -> None:
    found = labels(parsed(rule["expr"]), series())
    assert named_labels(rule["annotations"]["summary"]) <= found


@pytest.mark.parametrize("rule", [*_alerts(), *rules("recording")], ids=lambda rule: rule.get("alert", "recorded"))
def test_our_series_in_rules_are_exported_by_our_code(rule: dict[str, Any]) -> None:
    ours = {selector.name for selector in selectors(parsed(rule["expr"])) if (selector.name or "").startswith(PREFIXES)}
    assert ours <= set(exported_series())


@pytest.mark.parametrize("rule", _alerts(), ids=lambda rule: rule["alert"])
def test_every_alert_links_to_its_advice(rule: dict[str, Any]) -> None:
    page, _, anchor = rule["annotations"]["runbook"].partition("#")
    assert page == "docs/operations.md"
    # Each alert has its own section, longer than a line.
    assert anchor == re.sub(r"(?<!^)(?=[A-Z])", "-", rule["alert"]).lower()
    assert len(_headings()[anchor].split()) > 30


def test_every_section_of_advice_belongs_to_an_alert() -> None:
    text = (ROOT / "docs" / "operations.md").read_text(encoding="utf-8")
    section = text.split("\n## Alerts\n")[1].split("\n## ")[0]
    named = set(re.findall(r"^### (.+)$", section, re.MULTILINE))
    assert named == {re.sub(r"(?<!^)(?=[A-Z])", " ", rule["alert"]).capitalize() for rule in _alerts()}


def test_no_two_alerts_share_a_name() -> None:
    names = [rule["alert"] for rule in _alerts()]
    assert len(names) == len(set(names))


def test_alerts_fire_exactly_when_expected() -> None:
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed")
    cases = Path(__file__).with_name("alerts.promtool.yaml")
    done = subprocess.run([promtool, "test", "rules", str(cases)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_fires_in_some_test_case() -> None:
    cases = Path(__file__).with_name("alerts.promtool.yaml").read_text(encoding="utf-8")
    assert {rule["alert"] for rule in _alerts()} == set(re.findall(r'alertname="(\w+)"', cases))


def test_a_worker_that_ended_while_paused_raises_no_alert() -> None:
    # The collector exports a worker's last values until they expire.
    (alert,) = (rule for rule in _alerts() if rule["alert"] == "WorkersPaused")
    kept = yaml_of("otel/collector.yaml")["exporters"]["prometheus"]["metric_expiration"]
    assert _seconds(alert["for"]) > _seconds(kept)


def _seconds(duration: str) -> int:
    return int(duration[:-1]) * _SECONDS[duration[-1]]
