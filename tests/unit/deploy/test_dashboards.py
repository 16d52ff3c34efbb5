"""Grafana's dashboards: their series exist, their panels are described, their datasources are provisioned."""

import json
import re
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from eventstore import errors
from tests.support.composition import ROOT, composition, example_environment
from tests.unit.deploy.expressions import labels, named_labels, parsed, selectors
from tests.unit.deploy.instruments import PREFIXES, exported, exported_series
from tests.unit.deploy.watching import DASHBOARDS, dashboard, series, yaml_of

_PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}
# Grafana's unit for each unit of a metric.
_UNITS = {"s", "ops", "short", "percentunit"}


def _panels(path: Path) -> list[dict[str, Any]]:
    return [panel for panel in dashboard(path)["panels"] if panel["type"] != "row"]


def _named(panels: list[tuple[Path, dict[str, Any]]]) -> list[Any]:
    return [pytest.param(panel, id=f"{path.stem}-{panel['title'].replace(' ', '-')}") for path, panel in panels]


_PAIRS = [(path, panel) for path in DASHBOARDS for panel in _panels(path)]
_ALL = _named(_PAIRS)
_LINKED = _named([(path, panel) for path, panel in _PAIRS if "links" in panel])
_DATASOURCES = {
    source["uid"]: source for source in yaml_of("grafana/provisioning/datasources/datasources.yaml")["datasources"]
}


def test_there_are_two_dashboards() -> None:
    boards = [dashboard(path) for path in DASHBOARDS]
    assert {board["uid"] for board in boards} == {"dynamic-streams-commands", "dynamic-streams-event-store"}
    # The id belongs to Grafana's database and differs between installations.
    assert not [board["title"] for board in boards if "id" in board]
    assert all(board["description"] for board in boards)


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_dashboards_use_the_chosen_datasources(path: Path) -> None:
    board = dashboard(path)
    variables = {variable["name"]: variable for variable in board["templating"]["list"]}
    assert {name for name, variable in variables.items() if variable["type"] == "datasource"} == {
        "datasource",
        "jaeger",
    }
    for name in re.findall(r"\$\{?([a-z]\w*)", path.read_text(encoding="utf-8")):
        assert name in variables, name
    assert variables["job"]["datasource"] == _PROMETHEUS
    query = re.fullmatch(r"label_values\((\w+), (\w+)\)", variables["job"]["query"]["query"])
    assert query is not None
    assert query[2] in exported_series()[query[1]]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_panels_do_not_overlap_and_have_unique_ids(path: Path) -> None:
    panels = dashboard(path)["panels"]
    assert len(panels) == len({panel["id"] for panel in panels})
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells


@pytest.mark.parametrize("panel", _ALL)
def test_a_panel_has_a_description_and_a_unit(panel: dict[str, Any]) -> None:
    assert len(panel["description"]) > 20
    assert panel["fieldConfig"]["defaults"]["unit"] in _UNITS
    assert panel["datasource"] == _PROMETHEUS
    assert [target["datasource"] for target in panel["targets"]] == [_PROMETHEUS] * len(panel["targets"])


@pytest.mark.parametrize("panel", _ALL)
def test_panels_query_existing_series_and_labels(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    for target in panel["targets"]:
        expression = parsed(target["expr"])
        assert named_labels(target["legendFormat"]) <= labels(expression, series())
        for selector in selectors(expression):
            assert selector.name in series()
            # One service at a time: Jaeger is queried by its name, too.
            if (selector.name or "").startswith(PREFIXES):
                assert [matcher.value for matcher in selector.matchers.matchers if matcher.name == "job"] == ["$job"]


@pytest.mark.parametrize("panel", _ALL)
def test_seconds_are_shown_as_seconds(panel: dict[str, Any]) -> None:
    is_time = [bool(re.search(r"_seconds(_(bucket|sum))?\b|:seconds\b", target["expr"])) for target in panel["targets"]]
    assert is_time == [panel["fieldConfig"]["defaults"]["unit"] == "s"] * len(is_time)


def test_every_metric_is_in_a_panel_or_an_alert() -> None:
    asked = {
        selector.name
        for path in DASHBOARDS
        for panel in _panels(path)
        for target in panel["targets"]
        for selector in selectors(parsed(target["expr"]))
    }
    unseen = [name for name, instrument in exported().items() if not asked & set(instrument.series())]
    assert unseen == []


def test_panels_of_durations_link_to_traces() -> None:
    for path in DASHBOARDS:
        for panel in _panels(path):
            if "_duration_seconds_bucket" in json.dumps(panel["targets"]):
                assert panel.get("links"), panel["title"]


@pytest.mark.parametrize("panel", _LINKED)
def test_links_to_jaeger_name_existing_services_and_tags(panel: dict[str, Any]) -> None:
    for link in panel["links"]:
        parts = urlsplit(link["url"])
        assert parts.path == "/explore"
        (pane,) = json.loads(parse_qs(parts.query)["panes"][0]).values()
        (query,) = pane["queries"]
        assert pane["datasource"] == query["datasource"]["uid"] == "${jaeger}"
        assert (query["queryType"], query["service"]) == ("search", "${job}")
        assert pane["range"] == {"from": "${__from}", "to": "${__to}"}
        if operation := query.get("operation"):
            assert f'"{operation}"' in (ROOT / "eventstore" / "telemetry.py").read_text(encoding="utf-8")
        name, _, value = query.get("tags", "error=true").partition("=")
        assert name == "error" or (name == "eventstore.conflict" and hasattr(errors, value))


def test_datasources_are_services_of_the_composition() -> None:
    services = composition(example_environment())["services"]
    assert {uid: source["type"] for uid, source in _DATASOURCES.items()} == {
        "prometheus": "prometheus",
        "jaeger": "jaeger",
    }
    for source in _DATASOURCES.values():
        assert urlsplit(source["url"]).hostname in services
    assert [source["uid"] for source in _DATASOURCES.values() if source.get("isDefault")] == ["prometheus"]


def test_the_scrape_interval_is_the_export_interval() -> None:
    worker = composition(example_environment())["services"]["worker"]
    seconds = int(worker["environment"]["OTEL_METRIC_EXPORT_INTERVAL"]) // 1000
    assert _DATASOURCES["prometheus"]["jsonData"]["timeInterval"] == f"{seconds}s"
    assert yaml_of("prometheus/prometheus.yml")["global"]["scrape_interval"] == f"{seconds}s"


def test_the_vendors_dashboards_match_the_versions_in_use() -> None:
    services = composition(example_environment())["services"]
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    fetched = dict(re.findall(r"^\w+ := https://\S+/([\w-]+)/v([\d.]+)/\S+\.json$", makefile, re.MULTILINE))
    running = {
        "rabbitmq-server": services["rabbitmq"]["image"],
        "postgres_exporter": services["postgres-exporter"]["image"],
    }
    assert fetched == {
        name: image.rpartition(":")[2].removeprefix("v").removesuffix("-management") for name, image in running.items()
    }
    assert (ROOT / ".gitignore").read_text(encoding="utf-8").count("deploy/grafana/dashboards/vendors/") == 1


def test_grafana_reads_the_folders_that_are_mounted() -> None:
    mounts = [mount.split(":") for mount in composition(example_environment())["services"]["grafana"]["volumes"]]
    targets = {target: source for source, target, *_ in mounts}
    (provider,) = yaml_of("grafana/provisioning/dashboards/dashboards.yaml")["providers"]
    assert targets[provider["options"]["path"]] == "./deploy/grafana/dashboards"
    assert targets["/etc/grafana/provisioning"] == "./deploy/grafana/provisioning"
