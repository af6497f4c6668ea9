"""The papers' baselines as plans, by the names that `planner compare` has for them."""

from __future__ import annotations

from planner.case import Case
from planner.domain.plan import Plan
from planner.errors import BadInputError
from planner.strategies.baselines import (
    dense,
    independent_branches,
    split_baseline,
    split_boundaries,
    uniform,
)

_WHOLE = {"dense": dense, "independent-branches": independent_branches}
_UNIFORM = ("disco-uniform", "random")
_SPLITS = ("dense-then-split", "split-then-aggregate")


def baseline_plan(case: Case, nodes: int, strategy: str, sparsity: float | None = None) -> Plan:
    """A baseline on the first nodes of a case's cluster, for a `Pruner` to train.

    Parameters
    ----------
    case : Case
        ``Case(profile, cluster)``, with ``split_points`` where block groups are to end elsewhere.
    nodes : int
    strategy : str
        ``dense``, ``disco-uniform``, ``random`` (the same plan; the pruner's ``selection`` makes
        the difference), ``independent-branches``, ``dense-then-split@k`` or
        ``split-then-aggregate@k``, where k block groups are independent: the last or the first.
    sparsity : float, optional
        S_comm of every layer, from 0 to 1; of the two uniform ones alone.

    Raises
    ------
    BadInputError
        No such baseline, or not of this model and these nodes.
    """
    if not 2 <= nodes <= len(case.cluster.nodes):
        raise BadInputError(
            f"nodes {nodes}: {case.cluster.name} has {len(case.cluster.nodes)}; a baseline "
            "exchanges features between two or more"
        )
    if (sparsity is not None) != (strategy in _UNIFORM):
        raise BadInputError(f"sparsity {sparsity}: {' and '.join(_UNIFORM)} take one, from 0 to 1")
    if sparsity is not None:
        if not 0.0 <= sparsity <= 1.0:
            raise BadInputError(f"sparsity {sparsity}: a number from 0 to 1 is needed")
        return uniform(case, nodes, sparsity, strategy)
    if strategy in _WHOLE:
        return _WHOLE[strategy](case, nodes)
    name, _, groups = strategy.partition("@")
    allowed = [str(count) for count in split_boundaries(case, nodes)]
    if name not in _SPLITS:
        known = [*_WHOLE, *_UNIFORM, *(f"{split}@k" for split in _SPLITS)]
        raise BadInputError(f"baseline {strategy[:60]!r}: one of {', '.join(known)} is needed")
    if groups not in allowed:
        raise BadInputError(
            f"baseline {strategy[:60]!r}: {case.profile.name} has "
            f"{name}@k for k in {', '.join(allowed) or 'no number, for lack of block groups'}"
        )
    return split_baseline(case, nodes, name, int(groups))
