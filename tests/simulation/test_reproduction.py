"""MS-MDI's table: the first reading of the reference, and the page that holds all of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.simulation.cases import poisson, run_policy, scenario_of

ROOT = Path(__file__).parents[2]
WHOLE_S = 0.18


@pytest.mark.parametrize(("workers", "local", "ar"), [(2, 1.10, 1.13), (3, 1.23, 1.14)])
def test_the_first_simulation_of_the_reference(workers: int, local: float, ar: float) -> None:
    """T = 0.18 s, c = 0.36 T, one input a decision, ties distributed; a fifth as long."""
    scenario = scenario_of(
        [WHOLE_S] * workers,
        0.36 * WHOLE_S,
        [poisson(0, 5.0, 2_000), poisson(1, 10.0, 6_000)],
        send="blocking",
        seed=2023,
    )
    mine = run_policy(scenario, "ms-mdi").makespan_s
    assert run_policy(scenario, "local").makespan_s / mine == pytest.approx(local, abs=0.03)
    assert run_policy(scenario, "ar-mdi").makespan_s / mine == pytest.approx(ar, abs=0.03)


@pytest.mark.slow
def test_the_page_is_fresh() -> None:
    command = [sys.executable, str(ROOT / "scripts" / "build_ms_mdi.py"), "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stdout + done.stderr
