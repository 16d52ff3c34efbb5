"""The benchmarks run, and write down what is promised. How fast anything is, is no test's business."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

SINGLE_CALLER = {"query_1", "append_1", "append_5", "typical_1"}
OURS = SINGLE_CALLER | {
    "select_1",
    "typical_128",
    "typical_history_10",
    "typical_history_100000",
    "append_bare_peak",
    "append_conditional_peak",
    "violations_16",
    "memory_128",
    "read_1000000_memory",
}
OF_BASELINES = SINGLE_CALLER | {"typical_128", "violations_16", "memory_128"}
EXPECTED = (
    OURS
    | {f"single.{name}" for name in OF_BASELINES | {"append_conditional_peak"}}
    | {f"cte.{name}" for name in OF_BASELINES}
)


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """What a small run wrote down, by name."""
    folder = tmp_path_factory.mktemp("bench")
    small = {"SIZE": "2000", "REPEAT": "1", "SLICE": "0.02", "PEERS": "no", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench"],
        cwd=folder,
        env=os.environ | small,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "typical_128" in done.stdout
    written = json.loads((folder / ".bench" / "latest.json").read_text(encoding="utf-8"))
    return {figure["name"]: figure for figure in written}


def test_every_figure_is_there_once(figures: dict[str, dict[str, Any]]) -> None:
    assert set(figures) == EXPECTED
    assert all(set(figure) == {"name", "value", "unit", "ratio_to", "ratio"} for figure in figures.values())


def test_every_figure_has_its_unit(figures: dict[str, dict[str, Any]]) -> None:
    units = {name: figure["unit"] for name, figure in figures.items()}
    assert {units[name] for name in SINGLE_CALLER | {"select_1", "typical_history_10", "cte.query_1"}} == {"ms"}
    assert {units[name] for name in ("typical_128", "append_bare_peak", "single.typical_128")} == {"1/s"}
    assert {units[name] for name in ("memory_128", "read_1000000_memory")} == {"MB"}


def test_ratios_are_to_figures_that_are_there(figures: dict[str, dict[str, Any]]) -> None:
    assert figures["query_1"]["ratio_to"] == "select_1"
    assert figures["append_conditional_peak"]["ratio_to"] == "append_bare_peak"
    assert figures["single.typical_128"]["ratio_to"] == "typical_128"
    for figure in figures.values():
        assert (figure["ratio_to"] is None) == (figure["ratio"] is None)
        assert figure["ratio_to"] is None or figure["ratio_to"] in figures


def test_nobody_but_the_racy_baseline_breaks_a_boundary(figures: dict[str, dict[str, Any]]) -> None:
    assert figures["violations_16"]["value"] == 0
    assert figures["single.violations_16"]["value"] == 0
    assert figures["cte.violations_16"]["value"] > 0
