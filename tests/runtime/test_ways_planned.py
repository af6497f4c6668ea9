"""The planner's own plans in every way run as they were costed."""

from __future__ import annotations

import pytest

from planner.case import Case
from planner.domain.cluster import Casting, Cluster, Link, Node
from planner.domain.request import Request
from planner.strategies.optimise import optimise
from tests.runtime.cases import check
from tests.runtime.test_ways import FAMILIES, model


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(
    ("casting", "speeds", "bandwidth_bytes_per_s"),
    [
        ("unicast", (1e6, 2e6, 1e6), 1e6),
        pytest.param("unicast", (1e6, 2e6, 1e6), 1e8, marks=pytest.mark.slow),
        pytest.param("broadcast", (1e7, 1e6, 3e6), 1e6, marks=pytest.mark.slow),
        ("broadcast", (1e7, 1e6, 3e6), 1e8),
    ],
)
def test_plans_of_the_planner_run(
    family: str, bandwidth_bytes_per_s: float, casting: Casting, speeds: tuple[float, ...]
) -> None:
    subject = model(family)
    cluster = Cluster(
        name="test",
        nodes=tuple(Node(name=f"n{i}", macs_per_s=s) for i, s in enumerate(speeds)),
        link=Link(bandwidth_bytes_per_s=bandwidth_bytes_per_s),
        casting=casting,
    )
    request = Request(max_nodes=len(speeds), exactly=True, alternatives=False)
    check(subject, optimise(Case(subject.profile, cluster), request))


def test_runs_of_fused_halos_that_the_planner_chooses_run() -> None:
    fused = []
    for family in FAMILIES:
        subject = model(family)
        nodes = tuple(Node(name=f"n{i}", macs_per_s=s) for i, s in enumerate((3e6, 2e6, 3e6)))
        link = Link(bandwidth_bytes_per_s=1e7, latency_s=1e-3)
        cluster = Cluster(name="delayed", nodes=nodes, link=link)
        request = Request(max_nodes=3, exactly=True, parallelism="within-layer")
        plan = optimise(Case(subject.profile, cluster), request)
        check(subject, plan)
        fused += [family for layer in plan.stages[0].layers if layer.until]
    assert len(set(fused)) >= 2, fused
