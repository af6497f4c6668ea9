"""What is asked of a case: the objective, the limits, the nodes and the ways to use them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import get_args

from planner.domain.layouts import WAYS, Way
from planner.domain.settings import NO_LIMITS, CutAt, Limits, Objective, Parallelism, Solver
from planner.errors import BadInputError

_ALLOWED: dict[str, tuple[str, ...]] = {
    "parallelism": get_args(Parallelism),
    "objective": get_args(Objective),
    "solver": get_args(Solver),
    "cut_at": get_args(CutAt),
}


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

    Raises
    ------
    BadInputError
        A word that is none of those above, or a number that cannot be.
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

    def __post_init__(self) -> None:
        """Refuse what nobody can mean: Python checks no types."""
        for name, allowed in _ALLOWED.items():
            _check(name, getattr(self, name), getattr(self, name) in allowed, ", ".join(allowed))
        _check("ways", self.ways, set(self.ways) <= set(WAYS), ", ".join(WAYS))
        _check("nodes", self.max_nodes, isinstance(self.max_nodes, int), "a whole number")
        sparsity = self.max_sparsity
        is_share = sparsity is None or 0.0 <= sparsity <= 1.0
        _check("max_sparsity", sparsity, is_share, "0 to 1")
        limit_s = self.time_limit_s
        _check("time_limit_s", limit_s, limit_s is None or limit_s >= 0.0, "0 or more, or None")

    @property
    def may_drop(self) -> bool:
        """Whether features may be dropped at all, so that the model must be trained."""
        limits = self.limits
        limited = limits.max_accuracy_drop is not None or limits.max_energy_loss is not None
        return limited or self.max_sparsity is not None


def _check(name: str, value: object, is_right: bool, allowed: str) -> None:
    if not is_right:
        raise BadInputError(f"{name}: found {value!r}, allowed: {allowed}")
