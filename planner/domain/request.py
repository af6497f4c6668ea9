"""What is asked of a case: the objective, the limits, the nodes and the ways to use them."""

from __future__ import annotations

from dataclasses import dataclass

from planner.domain.layouts import WAYS, Way
from planner.domain.settings import NO_LIMITS, CutAt, Limits, Objective, Parallelism


@dataclass(frozen=True)
class Request:
    """What the best plan must respect and how it is looked for.

    Attributes
    ----------
    max_nodes : int
        Nodes that may be used, any of the cluster's.
    parallelism : Parallelism
    objective : Objective
    limits : Limits
    exactly : bool
        So many nodes must work (``--nodes``), not at most so many.
    solver : {"auto", "ilp", "exhaustive"}
    time_limit_s : float, optional
        For the whole call, the making of costs included; the best plan so far is the answer then.
    ways : tuple of Way
        In which a layer may run on several nodes; *features* alone is DISCO. A layer that can run
        in none of them gathers features; where they do not join, any layer may.
    max_sparsity : float, optional
        S_comm that layers may have without any limit on a loss (``--sparsity``). Without it,
        features are dropped only where a limit on a loss is given.
    cut_at : {"layers", "blocks"}
        Where a stage may end: between any two units of layers, or where no block of the model is
        parted (``--cut-at``), as runtimes have it that load whole blocks.
    alternatives : bool
        Whether the best plans of other shapes, and why they are not the answer, are asked for.
    """

    max_nodes: int
    parallelism: Parallelism = "hybrid"
    objective: Objective = "latency"
    limits: Limits = NO_LIMITS
    exactly: bool = False
    solver: str = "auto"
    time_limit_s: float | None = None
    ways: tuple[Way, ...] = WAYS
    max_sparsity: float | None = None
    cut_at: CutAt = "layers"
    alternatives: bool = True

    @property
    def may_drop(self) -> bool:
        """Whether features may be dropped at all, so that the model must be trained."""
        limits = self.limits
        limited = limits.max_accuracy_drop is not None or limits.max_energy_loss is not None
        return limited or self.max_sparsity is not None
