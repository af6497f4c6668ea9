"""Scenario files: what is refused and how, what is resolved, and what ships."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from app.scenarios import read_scenario
from planner.errors import BadInputError
from planner.simulation.arrivals import arrival_times
from planner.simulation.costing import network_of
from planner.simulation.scenario import Scenario
from tests.simulation.cases import even_model, ring_cluster, scenario_of

EXAMPLES = sorted((Path(__file__).parents[2] / "examples" / "scenarios").glob("*.json"))


def document(**fields: Any) -> dict[str, Any]:
    """A small scenario as a file holds it; a field may be a function of what it was."""
    found: dict[str, Any] = {
        "schema_version": 1,
        "name": "small",
        "model": even_model().model_dump(mode="json"),
        "cluster": ring_cluster([0.2, 0.2], 0.05).model_dump(mode="json"),
        "sources": [
            {"node": "n0", "arrivals": {"kind": "poisson", "rate_per_s": 4.0, "total": 20}}
        ],
    }
    return found | fields


def source(node: str = "n0", **arrivals: Any) -> dict[str, Any]:
    return {"node": node, "arrivals": {"kind": "fixed", "rate_per_s": 1.0, "total": 5} | arrivals}


def trace(**fields: Any) -> list[dict[str, Any]]:
    return [{"node": "n0", "arrivals": {"kind": "trace"} | fields}]


BAD: list[tuple[dict[str, Any], str]] = [
    ({"sources": [source("n7")]}, "sources[0].node: 'n7' is no worker of the ring"),
    ({"ring": ["n0", "n9"]}, "ring: 'n9' is no node of ring"),
    ({"ring": ["n0", "n0"]}, "ring: 'n0' is there twice"),
    ({"sources": [source("n1")], "ring": ["n0"]}, "'n1' is no worker of the ring; workers are n0"),
    ({"sources": []}, "sources"),
    ({"sources": [source(), source()]}, "sources: two are at node 'n0'"),
    ({"sources": [source(rate_per_s=0.0)]}, "rate_per_s: found 0"),
    ({"sources": [source(rate_per_s=-3.0)]}, "rate_per_s: found -3"),
    ({"sources": [source(total=0)]}, "total: found 0"),
    ({"sources": [source(total=None)]}, "sources[0].arrivals.total: is null, so that inputs come"),
    ({"sources": [source(kind="weekly")]}, "sources[0].arrivals: found"),
    ({"sources": trace(times_s=[1.0, 3.0, 2.0])}, "out of order: 2 s at place 3 comes after 3 s"),
    ({"sources": trace(times_s=[-1.0, 2.0])}, "found -1"),
    ({"sources": trace(times_s=[])}, "times_s: holds no time"),
    ({"sources": trace()}, "give times_s or file, one of them"),
    ({"sources": trace(file="none.csv")}, "found 'none.csv'; no such file beside the scenario"),
    ({"churn": [{"node": "n1", "leaves_s": -2.0}]}, "churn[0].leaves_s: found -2"),
    ({"churn": [{"node": "x", "leaves_s": 2.0}]}, "churn[0].node: 'x' is no worker"),
    (
        {"churn": [{"node": "n1", "leaves_s": 5.0, "rejoins_s": 4.0}]},
        "rejoins_s: found 4; it must be after it leaves, at 5 s",
    ),
    (
        {
            "churn": [
                {"node": "n1", "leaves_s": 1.0, "rejoins_s": 4.0},
                {"node": "n1", "leaves_s": 3.0},
            ]
        },
        "churn: 'n1' leaves at 3 s while it is away already",
    ),
    ({"churn": [{"node": "n0", "leaves_s": 0.0}]}, "source 'n0' leaves at 0 s"),
    ({"drift": [{"at_s": 1.0, "node": "y"}]}, "drift[0].node: 'y' is no worker"),
    ({"drift": [{"at_s": 1.0, "compute_factor": 0.0}]}, "drift[0].compute_factor: found 0"),
    ({"gamma_s_per_param": {"z": 1.0}}, "gamma_s_per_param: 'z' is no worker"),
    ({"policies": ["local", "local"]}, "policies: one is there twice"),
    ({"policies": ["fastest"]}, "policies[0]: found 'fastest'"),
    ({"ms_mdi": {"draw": 0}}, "draw"),
    ({"ms_mdi": {"slot_s": 0.0}}, "ms_mdi.slot_s: found 0"),
    ({"horizon_s": -1.0}, "horizon_s: found -1"),
    ({"medium": "ether"}, "medium: found 'ether'"),
    ({"model": "no-such-model"}, "no-such-model"),
    (
        {"cluster": "no-such-cluster"},
        "cluster: found 'no-such-cluster'; no cluster of the catalogue",
    ),
    ({"schema_version": 2}, "schema_version: found 2; this planner reads up to 1"),
    ({"sourcs": []}, "sourcs: no such field; did you mean 'sources'?"),
]


@pytest.mark.parametrize(("fields", "message"), BAD, ids=[message[:40] for _, message in BAD])
def test_a_bad_scenario_is_one_plain_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: dict[str, Any], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(document(**fields)), encoding="utf-8")
    with pytest.raises(BadInputError) as caught:
        network_of(read_scenario(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1\n2\nthree\n", "line 3: is no time in seconds"),
        ("1\n0.5\n", "line 2: out of order: 0.5 s comes after 1 s"),
        ("-1\n", "line 1: is no time in seconds"),
        ("nan\n", "line 1: is no time in seconds"),
        ("# nothing\n\n", "holds no time"),
    ],
)
def test_a_bad_trace_names_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "times.csv").write_text(text, encoding="utf-8")
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(document(sources=trace(file="times.csv"))), encoding="utf-8")
    with pytest.raises(BadInputError) as caught:
        read_scenario(path)
    assert message in str(caught.value)


def test_a_trace_file_stands_for_its_times(tmp_path: Path) -> None:
    (tmp_path / "times.csv").write_text("# s\n0.5\n\n1 # late\n1\n", encoding="utf-8")
    path = tmp_path / "scenario.json"
    path.write_text(json.dumps(document(sources=trace(file="times.csv"))), encoding="utf-8")
    assert [times.tolist() for times in arrival_times(read_scenario(path))] == [[0.5, 1.0, 1.0]]


@pytest.mark.parametrize("path", EXAMPLES, ids=[path.stem for path in EXAMPLES])
def test_every_example_is_a_scenario(path: Path) -> None:
    scenario = read_scenario(path)
    assert scenario.name == path.stem
    network = network_of(scenario)
    assert (network.whole_s() > 0).all()
    again = Scenario.model_validate_json(scenario.model_dump_json())
    assert again == scenario


def test_arrivals_are_what_they_are_called() -> None:
    regular = scenario_of([0.2], 0.1, [source(rate_per_s=4.0, total=3)])
    assert arrival_times(regular)[0].tolist() == [0.25, 0.5, 0.75]
    many = scenario_of([0.2], 0.1, [source(kind="poisson", rate_per_s=4.0, total=20_000)], seed=2)
    gaps = np.diff(arrival_times(many)[0])
    assert gaps.mean() == pytest.approx(0.25, rel=0.03)
    assert gaps.std() == pytest.approx(0.25, rel=0.03)
    late = [source(rate_per_s=4.0, total=None) | {"start_s": 9.0}]
    endless = scenario_of([0.2], 0.1, late, horizon_s=10.0)
    assert arrival_times(endless)[0].tolist() == [9.25, 9.5, 9.75, 10.0]


def test_replications_differ_and_policies_see_the_same_inputs() -> None:
    scenario = scenario_of([0.2], 0.1, [source(kind="poisson", total=50)])
    first, again = arrival_times(scenario, 0)[0], arrival_times(scenario, 0)[0]
    assert np.array_equal(first, again)
    assert not np.array_equal(first, arrival_times(scenario, 1)[0])
