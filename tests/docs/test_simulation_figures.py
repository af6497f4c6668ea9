"""The figures of docs/simulation.md are those of the recorded benchmark."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
RECORDED = (ROOT / "benchmarks" / "simulation.txt").read_text(encoding="utf-8")
PAGE = (ROOT / "docs" / "simulation.md").read_text(encoding="utf-8")
SPEEDS = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
PRINTED = (
    r"{} / MS-MDI on 200 random scenarios.*\n"
    r"makespan: mean (?P<makespan>[\d.]+),.*worst (?P<worst>[\d.]+); less in (?P<less>\d+); "
    r"worse in (?P<more>\d+),.*\n"
    r"mean time per input: mean (?P<mean>[\d.]+),.*worst (?P<late>[\d.]+); worse in (?P<later>\d+)"
)


@pytest.mark.parametrize("policy", ["balance", "rehearsed"])
def test_the_table_is_the_recorded_one(policy: str) -> None:
    found = re.search(PRINTED.format(policy.upper()), RECORDED)
    assert found is not None
    worst = float(found["worst"])
    row = (
        f"| `{policy}` | {float(found['makespan']):.3f} | {found['less']} "
        f"| {found['more'] if int(found['more']) else '**0**'} "
        f"| {'equal' if worst == 1 else f'+{worst - 1:.1%}'.replace('%', ' %')} "
        f"| {float(found['mean']):.3f} | {found['later']} "
        f"| +{float(found['late']) - 1:.0%} |".replace("% |", " % |").replace("  %", " %")
    )
    assert row in PAGE


@pytest.mark.parametrize("send", ["overlapped", "blocking"])
def test_the_speeds_are_the_recorded_ones(send: str) -> None:
    found = re.search(rf"{send} sends: compiled (\S+) s .*SimPy (\S+) s: (\d+) times", RECORDED)
    assert found is not None
    assert f"| {send} | {' | '.join(found.groups())} |" in SPEEDS
    warm = re.search(r"policies: (\S+) s warm", RECORDED)
    assert warm is not None and f"take {warm[1]} s warm" in " ".join(SPEEDS.split())
