"""Small scenarios for the tests."""

from __future__ import annotations

from typing import Any

import numpy as np

from planner.domain.cluster import Cluster, Link, Node
from planner.domain.layer_profile import LayerProfile, TensorSpec
from planner.domain.model_profile import ModelProfile, Provenance
from planner.simulation.arrivals import arrival_times
from planner.simulation.costing import network_of
from planner.simulation.network import Network
from planner.simulation.policies import Policy, rule_of
from planner.simulation.run import Record, run_once
from planner.simulation.scenario import Scenario

UNITS = 12
MACS = 1000  # of a unit
BYTES = 1000  # of every tensor


def even_model(units: int = UNITS) -> ModelProfile:
    """A chain of equal layers, so that shares are what they should be."""
    layers = tuple(
        LayerProfile(
            name=f"layer-{k}",
            op="linear",
            inputs=("x" if k == 0 else f"layer-{k - 1}",),
            feature_flow="mixing",
            macs=MACS,
            params=100,
            weight_params=100,
            param_bytes=400,
            in_features=10,
            out_features=10,
            elements_per_feature=25,
            output_elements_per_feature=25,
            input_bytes=BYTES,
            output_bytes=BYTES,
        )
        for k in range(units)
    )
    return ModelProfile(
        name="even",
        inputs=(TensorSpec(name="x", shape=(10, 25), bytes=BYTES, features=10),),
        outputs=(f"layer-{units - 1}",),
        layers=layers,
        provenance=Provenance(front_end="test", source="test"),
    )


def ring_cluster(
    whole_s: list[float], send_s: float, medium: str = "full_duplex", delay_s: float = 0.0
) -> Cluster:
    """Workers by the seconds of a whole even model, links by the seconds of a tensor."""
    return Cluster.model_validate(
        {
            "name": "ring",
            "nodes": [
                Node(name=f"n{k}", macs_per_s=UNITS * MACS / seconds)
                for k, seconds in enumerate(whole_s)
            ],
            "link": Link(bandwidth_bytes_per_s=BYTES / send_s, latency_s=delay_s),
            "medium": medium,
        }
    )


def poisson(node: int, rate: float, total: int) -> dict[str, Any]:
    return {
        "node": f"n{node}",
        "arrivals": {"kind": "poisson", "rate_per_s": rate, "total": total},
    }


def scenario_of(
    whole_s: list[float],
    send_s: float,
    sources: list[dict[str, Any]],
    *,
    medium: str = "full_duplex",
    delay_s: float = 0.0,
    **fields: Any,
) -> Scenario:
    given = {
        "name": "test",
        "model": even_model(),
        "cluster": ring_cluster(whole_s, send_s, medium, delay_s),
        "sources": sources,
    }
    return Scenario.model_validate(given | fields)


def run_policy(
    scenario: Scenario,
    policy: str | Policy,
    replication: int = 0,
    compiled: bool = False,
    network: Network | None = None,
) -> Record:
    """One run on the scenario's own arrivals, plain unless asked."""
    return run_once(
        scenario,
        network or network_of(scenario),
        rule_of(policy, scenario.ms_mdi),
        arrival_times(scenario, replication),
        replication,
        compiled,
    )


def check_everything_is_done_once(scenario: Scenario, record: Record) -> None:
    """Every input finishes, after it came; nothing is in the system at the end."""
    assert not np.isnan(record.finish_s).any()
    assert (record.finish_s >= record.arrival_s).all()
    assert len(record.finish_s) == sum(map(len, arrival_times(scenario)))
