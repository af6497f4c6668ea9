"""The one problem of all solvers as bare arrays: stages, their groups, and an option per unit."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from planner.domain.arrays import BoolArray, FloatArray, Frozen, IntArray
from planner.domain.certificate import Certificate

Structure = tuple[tuple[int, ...], tuple[int, ...]]
"""First units and groups of the stages of a plan."""

NO_LIMIT = 2**62
"""Memory limit of a position that has none."""


class SecondSum(Frozen):
    """A sum over the units and cuts of a plan that is limited beside its loss."""

    of_units: FloatArray = Field(description="(G, U, K) 0 or more")
    of_transfers: FloatArray = Field(description="(G, G, U - 1)")
    most: float
    name: str
    unit: str


class Problem(Frozen):
    """Cut a chain of U units into stages, give each a group of nodes and each unit an option.

    G groups may run a stage, with K options per unit. Group g uses ``uses[g, y]`` nodes of type
    y, of which ``available[y]`` exist; stages never share a node, and ``follows`` says which
    group may run the stage behind which. A stage that ends with unit u on group g and goes on
    with group h hands over its live tensors in ``transfer_s[g, h, u]``, of which
    ``transfer_busy_s`` occupy a sender, a receiver or a link. The objective is the latency
    (units, transfers, ends) or the bottleneck (the busiest resource of a stage or transfer, the
    medium's occupation).

    The choice of sparsity is the case of one group and one stage, the allocation of layers that
    of groups of one node with one option. Costs are those of a unit by itself; options that cost
    by what the units before them chose are those of `planner.solve.layout_problem`.
    """

    objective: Literal["latency", "bottleneck"]
    group_names: tuple[str, ...] = Field(min_length=1)
    latency_s: FloatArray = Field(description="(G, U, K)")
    busy_s: FloatArray = Field(description="(R, G, U, K) what each resource of a stage does")
    medium_s: FloatArray = Field(description="(G, U, K) a shared medium's occupation, else 0")
    allowed: BoolArray = Field(description="(G, U, K)")
    loss: FloatArray = Field(description="(G, U, K) 0 or more, limited by max_loss")
    max_loss: float | None = None
    loss_name: str = "accuracy drop"
    loss_unit: str = "points"
    loss_exponent: int = Field(default=1, description="losses are powers of what the unit counts")
    weight_bytes: IntArray = Field(description="(G, U, K, P) by position in the group")
    live_bytes: IntArray = Field(description="(G, U, K, P)")
    memory_limit_bytes: IntArray = Field(description="(G, P), 2^62 where there is none")
    transfer_s: FloatArray = Field(description="(G, G, U - 1)")
    transfer_busy_s: FloatArray = Field(description="(G, G, U - 1)")
    transfer_medium_s: FloatArray = Field(description="(G, G, U - 1)")
    transfer_loss: FloatArray | None = Field(
        default=None,
        description="(G, G, U - 1) what of the limited sum a transfer takes; by default nothing",
    )
    second: SecondSum | None = None
    send_s: FloatArray | None = Field(
        default=None,
        description="(G, G, U - 1) for which the software of a transfer occupies the nodes of the "
        "stage before, the last of its resources; by default not at all",
    )
    receive_s: FloatArray | None = Field(
        default=None, description="(G, G, U - 1) the same of the stage behind"
    )
    cuttable: BoolArray = Field(description="(U - 1,) places where a stage may end")
    input_s: FloatArray = Field(description="(G,) if the first stage runs on group g")
    output_s: FloatArray = Field(description="(G,) if the last stage does")
    input_busy_s: FloatArray = Field(description="(G,) what of that occupies a node or a link")
    output_busy_s: FloatArray = Field(description="(G,)")
    input_medium_s: FloatArray = Field(description="(G,) what that occupies of a shared medium")
    output_medium_s: FloatArray = Field(description="(G,)")
    uses: IntArray = Field(description="(G, Y) nodes of each type")
    available: IntArray = Field(description="(Y,)")
    ring: IntArray | None = Field(
        default=None,
        description="(N,) type of every node in ring order from the source; "
        "by default the types one after another",
    )
    node_kinds: tuple[tuple[str, ...], ...] = Field(
        default=(),
        description="(G, P) what a reader calls the node at each position, alike for nodes that "
        "are alike; by default their types' numbers",
    )
    follows: BoolArray = Field(description="(G, G) g, then h")
    max_nodes: int
    all_nodes: bool = Field(default=False, description="exactly max_nodes work, none is unused")
    single_stage: bool = False
    max_latency_s: float | None = None
    max_bottleneck_s: float | None = None

    @model_validator(mode="after")
    def _shapes_agree(self) -> Self:
        groups, units, options = self.latency_s.shape
        positions = self.memory_limit_bytes.shape[1]
        wanted = {
            "medium_s": (groups, units, options),
            "allowed": (groups, units, options),
            "loss": (groups, units, options),
            "weight_bytes": (groups, units, options, positions),
            "live_bytes": (groups, units, options, positions),
            "memory_limit_bytes": (groups, positions),
            "transfer_s": (groups, groups, units - 1),
            "transfer_busy_s": (groups, groups, units - 1),
            "transfer_medium_s": (groups, groups, units - 1),
            "cuttable": (units - 1,),
            "input_s": (groups,),
            "output_s": (groups,),
            "input_busy_s": (groups,),
            "output_busy_s": (groups,),
            "input_medium_s": (groups,),
            "output_medium_s": (groups,),
            "uses": (groups, len(self.available)),
            "follows": (groups, groups),
        }
        for name, shape in wanted.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name}: shape {getattr(self, name).shape}, not {shape}")
        if self.busy_s.shape[1:] != (groups, units, options):
            raise ValueError(f"busy_s: shape {self.busy_s.shape}")
        if len(self.group_names) != groups:
            raise ValueError(f"group_names: {len(self.group_names)} for {groups} groups")
        if not self.allowed.any(axis=2).all():
            raise ValueError("allowed: a unit has no option")
        types = np.bincount(self.types_in_ring, minlength=len(self.available))
        if not np.array_equal(types, self.available):
            raise ValueError("ring: not the nodes that are available")
        return self

    @property
    def nodes(self) -> NDArray[np.int64]:
        """Nodes that each group uses, shape (G,)."""
        total: NDArray[np.int64] = self.uses.sum(axis=1)
        return total

    @property
    def types_in_ring(self) -> NDArray[np.int64]:
        """Type of every node in ring order, shape (N,)."""
        if self.ring is not None:
            return self.ring
        return np.repeat(np.arange(len(self.available)), self.available)

    @property
    def units(self) -> int:
        """How many there are, U."""
        return int(self.latency_s.shape[1])

    @property
    def most_bytes(self) -> int:
        """No node of any plan needs more."""
        stored = self.weight_bytes.max(axis=2).sum(axis=1).max(initial=0)
        return int(stored + self.live_bytes.max(initial=0))

    @property
    def lost_between(self) -> NDArray[np.float64]:
        """What of the limited sum transfers take, shape (G, G, U - 1)."""
        return np.zeros_like(self.transfer_s) if self.transfer_loss is None else self.transfer_loss

    def lost_at(self, starts: Sequence[int], groups: Sequence[int]) -> float:
        """The same of the changes of group of some stages."""
        if self.transfer_loss is None or len(starts) < 2:
            return 0.0
        cuts = np.array(starts[1:], dtype=np.int64) - 1
        return float(self.transfer_loss[list(groups[:-1]), list(groups[1:]), cuts].sum())

    @property
    def has_software(self) -> bool:
        """Whether transfers occupy the nodes of the stages that they join."""
        return self.send_s is not None or self.receive_s is not None

    def software_s(self, runs: Sequence[tuple[int, int, int]]) -> list[float]:
        """Seconds of transfers' software on every stage (first unit, last unit, group)."""
        found = [0.0] * len(runs)
        for at, ((_, last, group), (_, _, following)) in enumerate(itertools.pairwise(runs)):
            cut = group, following, last
            found[at] += 0.0 if self.send_s is None else float(self.send_s[cut])
            found[at + 1] += 0.0 if self.receive_s is None else float(self.receive_s[cut])
        return found

    def but(self, **changes: object) -> Self:
        """The same problem with some fields changed, which are taken as they are."""
        return self.model_copy(update=changes)

    def without_times(self) -> Self:
        """The question of whether anything fits, with the loss in place of the times."""
        least = self.loss if self.max_loss is not None else np.zeros_like(self.loss)
        return self.but(
            objective="latency",
            latency_s=least,
            busy_s=least[None],
            medium_s=np.zeros_like(self.medium_s),
            transfer_s=self.lost_between if self.max_loss is not None else 0.0 * self.transfer_s,
            transfer_loss=None,
            transfer_busy_s=np.zeros_like(self.transfer_s),
            transfer_medium_s=np.zeros_like(self.transfer_medium_s),
            send_s=None,
            receive_s=None,
            input_s=np.zeros_like(self.input_s),
            output_s=np.zeros_like(self.output_s),
            input_busy_s=np.zeros_like(self.input_s),
            output_busy_s=np.zeros_like(self.output_s),
            input_medium_s=np.zeros_like(self.input_s),
            output_medium_s=np.zeros_like(self.output_s),
            max_loss=None,
            max_latency_s=self.max_loss,
        )


class Choice(Frozen):
    """What a solver chose: stage i runs units ``starts[i]`` to the next start on ``groups[i]``."""

    starts: tuple[int, ...] = Field(min_length=1, description="rising, the first is 0")
    groups: tuple[int, ...]
    options: IntArray = Field(description="(U,)")

    def runs(self) -> list[tuple[int, int, int]]:
        """First unit, last unit and group of every stage."""
        stops = [*self.starts[1:], self.options.shape[-1]]
        return [
            (start, stop - 1, group)
            for start, stop, group in zip(self.starts, stops, self.groups, strict=True)
        ]


class Result(Frozen):
    """A solver's answer to a problem."""

    choice: Choice | None
    objective_s: float | None
    certificate: Certificate
    binding: str = Field(default="", description="when infeasible: which limit, by how much")


def infeasible(binding: str) -> Result:
    """The answer to a problem that no solver needs to look at."""
    certificate = Certificate(status="infeasible", solver="by inspection", runtime_s=0.0)
    return Result(choice=None, objective_s=None, certificate=certificate, binding=binding)
