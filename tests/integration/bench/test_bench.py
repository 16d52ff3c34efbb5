"""The benchmarks run, and write down what is promised. How fast anything is, is no test's business."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any, TypeAlias

import pytest

Figures: TypeAlias = dict[str, dict[str, Any]]

ROOT = Path(__file__).parents[3]

SINGLE_CALLER = {"query_1", "append_1", "append_5", "typical_1"}
OURS = SINGLE_CALLER | {
    "select_1",
    "commit_1",
    "typical_128",
    "typical_128.cpu",
    "hot_16",
    "typical_history_10",
    "typical_history_100000",
    "append_bare_peak",
    "append_conditional_peak",
    "append_100_4",
    "violations_16",
    "memory_128",
    "read_1000000_memory",
}
WORKER = {
    "consume_ack",
    "worker_e2e_untraced",
    "worker_e2e_traced_5",
    "worker_e2e_traced_100",
    "worker_e2e_2",
    "hot_book",
    "single.hot_book",
    "hot_book_4",
    "hot_books_affinity_4",
}
OF_BASELINES = SINGLE_CALLER | {"typical_128", "violations_16", "memory_128"}
EXPECTED = (
    OURS
    | {f"single.{name}" for name in OF_BASELINES | {"hot_16", "append_conditional_peak", "append_100_4"}}
    | {f"cte.{name}" for name in OF_BASELINES}
    | WORKER
    | {f"{name}.cpu" for name in WORKER}
    | {"hot_books_affinity_4.again"}
)


pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where both parts write."""
    return tmp_path_factory.mktemp("bench")


@pytest.fixture(scope="module")
def store_figures(folder: Path) -> Figures:
    """What a small run of the store's part wrote down, by name."""
    small = {"PART": "store", "SIZE": "2000", "HISTORY": "500", "REPEAT": "1", "SLICE": "0.02"}
    return figures_of_run(folder, small | {"SUBJECTS": "ours,single,cte"}, shows="typical_128")


@pytest.fixture(scope="module")
def figures(folder: Path, store_figures: Figures) -> Figures:
    """The same with what a small run of the worker's part added."""
    both = figures_of_run(folder, {"PART": "worker", "REPEAT": "1", "COMMANDS": "40"}, shows="worker_e2e_untraced")
    assert store_figures.items() <= both.items()
    return both


def figures_of_run(folder: Path, variables: dict[str, str], *, shows: str) -> Figures:
    done = subprocess.run(
        [sys.executable, "-m", "tests.bench"],
        cwd=folder,
        env=os.environ | variables | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert shows in done.stdout
    if "ours," in variables.get("SUBJECTS", ""):
        assert done.stderr.index("one caller of ours") < done.stderr.index("single: starting its server")
    written = json.loads((folder / ".bench" / "latest.json").read_text(encoding="utf-8"))
    return {figure["name"]: figure for figure in written}


def test_every_figure_is_there_once(figures: Figures) -> None:
    assert set(figures) == EXPECTED
    assert all(set(figure) == {"name", "value", "unit", "ratio_to", "ratio"} for figure in figures.values())


def test_every_figure_has_its_unit(figures: Figures) -> None:
    units = {name: figure["unit"] for name, figure in figures.items()}
    assert {units[name] for name in SINGLE_CALLER | {"select_1", "commit_1", "typical_history_10", "cte.query_1"}} == {
        "ms"
    }
    assert {units[name] for name in ("typical_128", "append_bare_peak", "hot_16", "single.typical_128")} == {"1/s"}
    assert units["typical_128.cpu"] == "µs"
    assert {units[name] for name in ("consume_ack", "worker_e2e_2", "single.hot_book")} == {"1/s"}
    assert {units[f"{name}.cpu"] for name in WORKER} == {"µs"}
    assert {units[name] for name in ("memory_128", "read_1000000_memory")} == {"MB"}


def test_ratios_are_to_figures_that_are_there(figures: Figures) -> None:
    assert figures["query_1"]["ratio_to"] == "select_1"
    assert figures["append_1"]["ratio_to"] == "commit_1"
    assert figures["append_conditional_peak"]["ratio_to"] == "append_bare_peak"
    assert figures["single.typical_128"]["ratio_to"] == "typical_128"
    assert figures["worker_e2e_untraced"]["ratio_to"] == "consume_ack"
    assert figures["worker_e2e_traced_5.cpu"]["ratio_to"] == "worker_e2e_untraced.cpu"
    assert figures["single.hot_book.cpu"]["ratio_to"] == "hot_book.cpu"
    for figure in figures.values():
        assert (figure["ratio_to"] is None) == (figure["ratio"] is None)
        assert figure["ratio_to"] is None or figure["ratio_to"] in figures


def test_nobody_but_the_racy_baseline_breaks_a_boundary(figures: Figures) -> None:
    assert figures["violations_16"]["value"] == 0
    assert figures["single.violations_16"]["value"] == 0
    assert figures["cte.violations_16"]["value"] > 0


def test_the_oracle_is_measured(tmp_path: Path) -> None:
    found = figures_of_run(tmp_path, {"PART": "oracle", "ROUNDS": "1", "SIZES": "1000"}, shows="oracle_1000")
    assert {name: figure["unit"] for name, figure in found.items()} == {"oracle_1000": "s", "oracle_1000_memory": "MB"}
