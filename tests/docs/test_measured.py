"""docs/measured.md: its figures against each other, and what its predictions may know."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from statistics import mean, median
from types import ModuleType

import pytest

from planner.strategies.costed import cost_stages

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "measured.md").read_text(encoding="utf-8")
MOST = 0.05
MOST_OF_CHECKS = 0.08


@pytest.fixture
def rows(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(ROOT / "scripts")
    import measured_rows

    return measured_rows


@pytest.fixture
def built(rows: ModuleType) -> ModuleType:
    import build_measured

    return build_measured


def cells_of(text: str) -> list[tuple[str, int, float, float, float]]:
    """Model, devices, measured, predicted and error of every cell of several devices."""
    lines = re.findall(r"^\| (.+?) \| (\d) \| (\S+) \| (\S+) \| \*\*(\S+)\*\* \|", text, re.M)
    return [(name, int(n), float(a), float(b), float(c) / 100) for name, n, a, b, c in lines]


def test_the_mean_error_is_that_of_the_cells_and_below_the_bound() -> None:
    main, checks = PAGE.split("## Rows kept for checking")
    found = cells_of(main)
    assert len(found) == 16
    for *_, measured, predicted, error in found:
        assert predicted / measured - 1 == pytest.approx(error, abs=1.5e-3)
    errors = [abs(predicted / measured - 1) for *_, measured, predicted, _ in found]
    said = re.search(r"Mean error ([\d.]+) %, median\s+([\d.]+) %\*\* over\s+16 times", main)
    assert said
    assert float(said[1]) == pytest.approx(mean(errors) * 100, abs=0.1)
    assert float(said[2]) == pytest.approx(median(errors) * 100, abs=0.1)
    assert mean(errors) < MOST
    others = [abs(error) for *_, error in cells_of(checks)]
    assert len(others) == 12
    assert mean(others) < MOST_OF_CHECKS


def test_every_published_cell_of_several_devices_is_on_the_page(rows: ModuleType) -> None:
    published = {
        (row.name, nodes, measured)
        for system in rows.SYSTEMS
        for row in (*system.rows, *system.checks)
        for nodes, measured in row.measured_ms.items()
        if nodes > 1
    }
    assert {(name, nodes, measured) for name, nodes, measured, *_ in cells_of(PAGE)} == published


def test_every_constant_has_a_source_and_is_used(rows: ModuleType) -> None:
    for system in rows.SYSTEMS:
        for constant in system.constants:
            assert constant.source and constant.shown
            assert f"| `{constant.key}` | {constant.shown} | {constant.source} |" in PAGE
        for other in system.others:
            assert other.values.keys() <= {constant.key for constant in system.constants}


def test_nodes_are_calibrated_by_one_device_cells_alone(built: ModuleType) -> None:
    for system in built.SYSTEMS:
        kept = [
            replace(row, measured_ms={1: row.measured_ms[1]})
            for row in system.rows
            if 1 in row.measured_ms
        ]
        first_column = replace(system, rows=tuple(kept), checks=())
        found = built.calibrate(first_column)
        assert found == built.calibrate(system)
        assert set(found.cells) == {row.name for row in kept}
        for row in kept:
            figures = {
                "memory_bytes_per_s": found.memory_bytes_per_s,
                "layer_overhead_s": found.layer_overhead_s,
            }
            seconds = built.one_device_s(system, row, **figures)
            assert seconds * 1e3 == pytest.approx(row.measured_ms[1], rel=0.01)


def test_a_repeated_block_is_the_traced_network(built: ModuleType) -> None:
    import measured_models

    (row,) = (row for row in built.SYSTEMS[-1].rows if row.name.startswith("Nano"))
    whole = measured_models.trace(row.config, row)
    three = measured_models.trace({**row.config, "num_hidden_layers": 3}, row)
    assert measured_models.deepened(three, 12).layers == whole.layers
    assert whole.totals.params == pytest.approx(304e6, rel=0.01)


def test_a_cache_is_read_once(built: ModuleType) -> None:
    system = built.SYSTEMS[-1]
    row = system.rows[0]
    profile = built.profile_of(row)
    attention = [layer for layer in profile.layers if layer.kind == "attention"]
    size = 2 * row.past_tokens * row.config["num_key_value_heads"] * 64 * 2
    assert [layer.param_bytes for layer in attention] == [size] * 12


def test_a_ring_gives_its_first_board_no_more_than_the_others(built: ModuleType) -> None:
    system = built.SYSTEMS[-1]
    for row in system.rows:
        for nodes in row.stages:
            case = built.Case(built.profile_of(row), built.recipe_cluster(system, nodes))
            stages = built.stages_of(system, row, nodes, case)
            costed = cost_stages(case, stages)
            own = [stage.sum_of(stage.table.compute_s) for stage in costed.stages]
            assert own[0] + own[-1] < max(own[1:-1])


def test_a_star_sends_eight_times_a_block(built: ModuleType) -> None:
    system = built.SYSTEMS[0]
    row = system.rows[0]
    only_delays = built.cluster_of(system, 4, layer_overhead_s=0.0, memory_bytes_per_s=None)
    nodes = tuple(
        node.model_copy(update={"message_send_s": 0.0, "message_receive_s": 0.0})
        for node in only_delays.nodes
    )
    link = only_delays.link.model_copy(update={"bandwidth_bytes_per_s": 1e29, "latency_s": 1.0})
    cluster = only_delays.model_copy(update={"nodes": nodes, "link": link})
    case = built.Case(built.profile_of(row), cluster)
    assert built.predict(case, built.stages_of(system, row, 4, case)).comm_s == pytest.approx(
        8 * 32
    )
