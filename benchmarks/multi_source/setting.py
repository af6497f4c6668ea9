"""What is run: the sources and workers of the testbed, and the scenario that the simulator has."""

from __future__ import annotations

from dataclasses import dataclass

from planner.domain.cluster import Cluster, Link, Node
from planner.domain.model_profile import ModelProfile
from planner.simulation.scenario import Poisson, RuleName, Scenario, SourceSpec


@dataclass(frozen=True)
class Setting:
    """One experiment.

    Attributes
    ----------
    factors : tuple of float
        By how much each worker is slower than this machine, in ring order.
    sources : tuple of (int, float, int)
        The worker that each is at, the inputs that come while that runs one whole model, and how
        many come in all.
    bandwidth_bytes_per_s, delay_s : float
        Of every link, as the testbed sets them.
    policies : tuple of str
    repeats : int
        Of every policy, in turns.
    seed : int
        Of the arrivals, which are those of the simulator.
    """

    factors: tuple[float, ...] = (8.0, 16.0, 8.0, 16.0)
    sources: tuple[tuple[int, float, int], ...] = ((0, 0.9, 40), (2, 1.8, 80))
    bandwidth_bytes_per_s: float = 5e6
    delay_s: float = 1e-3
    policies: tuple[RuleName, ...] = ("local", "ar-mdi", "ms-mdi")
    repeats: int = 4
    seed: int = 1

    @property
    def names(self) -> tuple[str, ...]:
        """Of the workers."""
        return tuple(f"n{rank}" for rank in range(len(self.factors)))


def scenario_of(setting: Setting, profile: ModelProfile, whole_s: float) -> Scenario:
    """The simulator's scenario of a setting.

    Parameters
    ----------
    setting : Setting
    profile : ModelProfile
    whole_s : float
        Of the whole model on this machine; rates and each worker's γ follow from it. What pieces
        take in the prediction is measured apart.
    """
    totals = profile.totals
    nodes = tuple(
        Node(name=name, macs_per_s=totals.macs / (whole_s * factor))
        for name, factor in zip(setting.names, setting.factors, strict=True)
    )
    link = Link(bandwidth_bytes_per_s=setting.bandwidth_bytes_per_s, latency_s=setting.delay_s)
    return Scenario(
        name="multi-source",
        model=profile,
        cluster=Cluster(name="testbed", nodes=nodes, link=link),
        sources=tuple(
            SourceSpec(
                node=setting.names[rank],
                arrivals=Poisson(
                    kind="poisson",
                    rate_per_s=load / (whole_s * setting.factors[rank]),
                    total=total,
                ),
            )
            for rank, load, total in setting.sources
        ),
        policies=setting.policies,
        split="macs",
        send="overlapped",
        medium="full_duplex",
        seed=setting.seed,
    )
