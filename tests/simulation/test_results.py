"""What a simulation reports: numbers, series, and the command that prints them."""

from __future__ import annotations

import csv
import io
import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from planner.simulation.result import SimulationResult, series_csv
from planner.simulation.scenario import POLICIES
from planner.simulation.study import simulate
from tests.app.command import one_line, planner
from tests.simulation.cases import poisson, run_policy, scenario_of
from tests.simulation.test_scenario import document

SMALL = scenario_of(
    [0.18, 0.21], 0.05, [poisson(0, 4.0, 80), poisson(1, 5.0, 120)], medium="shared", seed=3
)

REPO = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def result() -> SimulationResult:
    return simulate(SMALL, compiled=False)


def test_rows_are_those_of_the_runs(result: SimulationResult) -> None:
    assert [row.policy for row in result.policies] == list(POLICIES)
    for row in result.policies:
        record = run_policy(SMALL, row.follows or row.policy)
        assert (row.makespan_s, row.completed) == (record.finish_s.max(), 200)
        times = record.finish_s - record.arrival_s
        assert row.mean_s == pytest.approx(times.mean())
        quantiles = (row.p50_s, row.p95_s, row.p99_s)
        assert quantiles == pytest.approx(np.quantile(times, (0.5, 0.95, 0.99)))
        assert row.workers[0].computing == pytest.approx(record.busy_s[0] / record.end_s)
        assert row.medium_use == pytest.approx(record.sent_s.sum() / record.end_s)
        assert row.distributed_share == pytest.approx((~record.whole).mean())
        assert row.bound_ratio is not None and row.bound_ratio >= 1
        assert row.bound_ratio == pytest.approx(row.makespan_s / (result.limit.makespan_s or 0))


def test_series_are_what_is_plotted(result: SimulationResult) -> None:
    for row in result.policies:
        counts = row.completed_by.values[0]
        assert counts[0] == 0 and counts[-1] == row.completed
        assert all(a <= b for a, b in itertools.pairwise(counts))
        assert len(row.queues.names) == len(row.queues.values) == 2 + 2 + 2
        assert all(len(line) == len(row.queues.times_s) for line in row.queues.values)
        assert row.spread.times_s[-1] == pytest.approx(max(row.spread.times_s))
    for which in ("completed_by", "queues", "spread"):
        rows = list(csv.DictReader(io.StringIO(series_csv(result, which))))
        assert {row["policy"] for row in rows} == set(POLICIES)


def test_replications_give_intervals_that_shrink() -> None:
    few = simulate(SMALL, ["local"], 4, compiled=False).policies[0].interval
    many = simulate(SMALL, ["local"], 16, compiled=False).policies[0].interval
    assert few is not None and many is not None
    assert 0 < many.makespan_s < few.makespan_s


def test_progress_rises_and_ends_the_run_when_it_raises() -> None:
    told: list[float] = []
    simulate(SMALL, ["local", "ms-mdi"], compiled=False, progress=lambda s, _: told.append(s))
    assert told == sorted(told) and told[0] == 0.0 and told[-1] < 1.0

    class Cancelled(Exception):
        pass

    def cancel(share: float, policy: str) -> None:
        if share > 0.5:
            raise Cancelled

    with pytest.raises(Cancelled):
        simulate(SMALL, ["local", "ms-mdi", "ar-mdi"], compiled=False, progress=cancel)


@pytest.fixture
def scenario_file(tmp_path: Path) -> Path:
    path = tmp_path / "small.json"
    path.write_text(json.dumps(document()), encoding="utf-8")
    return path


def test_the_command_prints_json_with_its_keys(scenario_file: Path, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    done = planner("simulate", str(scenario_file), "--format", "json", "-o", str(out))
    assert done.code == 0
    found = json.loads(done.out)
    assert found["schema_version"] == 1
    for row in found["policies"]:
        keys = ("makespan_s", "mean_s", "p50_s", "p95_s", "p99_s", "completed", "bound_ratio")
        assert all(row[key] is not None for key in keys)
    assert json.loads(out.read_text(encoding="utf-8")) == found


def test_the_command_takes_policies_and_replications(scenario_file: Path) -> None:
    words = ["--policy", "ms-mdi", "--policy", "local", "--replications", "3", "--format", "csv"]
    done = planner("simulate", str(scenario_file), *words)
    rows = list(csv.DictReader(io.StringIO(done.out)))
    assert [row["policy"] for row in rows] == ["ms-mdi", "local"]
    assert float(rows[0]["± (s)"]) > 0
    table = planner("simulate", str(scenario_file)).out
    assert "20 inputs from n0 on 2 workers" in table and "balance" in table


def test_the_command_takes_a_policy_of_ones_own(
    scenario_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(REPO)
    words = ["--policy", "local", "--policy", "examples.policies:LeastBacklog", "--format", "json"]
    done = planner("simulate", str(scenario_file), *words)
    assert done.code == 0, done.err
    rows = json.loads(done.out)["policies"]
    assert [row["policy"] for row in rows] == ["local", "least-backlog"]
    assert [row["completed"] for row in rows] == [20, 20]


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nowhere_at_all:Mine", "No module named 'nowhere_at_all'"),
        ("examples.policies:Mine", "has no attribute 'Mine'"),
        (":Mine", "Empty module name"),
        ("json:loads", "loads is no class that derives from"),
        ("json:JSONDecoder", "JSONDecoder is no class that derives from"),
    ],
)
def test_what_is_no_policy_is_refused(
    scenario_file: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    monkeypatch.chdir(REPO)
    done = planner("simulate", str(scenario_file), "--policy", name)
    assert done.code == 2
    said = one_line(done)
    assert f"--policy {name!r}: " in said and words in said


def test_a_policy_that_needs_arguments_is_refused(
    scenario_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "with_arguments.py").write_text(
        "from planner.simulation.policies import Policy\n"
        "class Mine(Policy):\n    def __init__(self, limit): pass\n",
        encoding="utf-8",
    )
    done = planner("simulate", str(scenario_file), "--policy", "with_arguments:Mine")
    assert done.code == 2
    assert "made without arguments: " in one_line(done)


def test_the_command_says_what_is_wrong(scenario_file: Path, tmp_path: Path) -> None:
    done = planner("simulate", str(scenario_file), "--policy", "best")
    assert done.code == 2
    assert (
        "policy 'best': unknown; there are local, ddi, ar-mdi, ms-mdi, balance, rehearsed"
        in one_line(done)
    )
    done = planner("simulate", str(tmp_path / "none.json"))
    assert done.code == 2
    assert "no such file" in one_line(done)


def test_the_command_says_that_a_system_is_unstable(tmp_path: Path) -> None:
    sources = [{"node": "n0", "arrivals": {"kind": "poisson", "rate_per_s": 80.0}}]
    path = tmp_path / "endless.json"
    path.write_text(json.dumps(document(sources=sources, horizon_s=10)), encoding="utf-8")
    done = planner("simulate", str(path), "--policy", "local")
    assert done.code == 0
    said = " ".join(done.err.split())
    assert "unstable: the sources offer 80 inputs/s, no policy can carry more than" in said
    assert "local: stopped at the horizon with" in said
