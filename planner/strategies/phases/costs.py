"""What every kind of block costs on every group in both phases, and handing over between groups.

Blocks that are alike are costed once (`planner.domain.language_model.LanguageModel.kinds`).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Literal, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from planner.case import Case
from planner.cost.handover import Transfers
from planner.cost.memory import stored_twice
from planner.cost.overlap import busy_s
from planner.cost.stage import StageCosts
from planner.domain.cluster import Cluster
from planner.domain.language_model import LanguageModel
from planner.domain.model_profile import ModelProfile
from planner.domain.owners import Ratios, speed_ratio
from planner.domain.settings import DEFAULT_SETTINGS, CostSettings, Shares
from planner.domain.workload import Workload
from planner.language import phases_of
from planner.solve.deadline import Deadline
from planner.strategies.costed import cost_stages
from planner.strategies.groups import Groups
from planner.strategies.phases.ways import (
    BY_TOKENS,
    TENSOR_PARALLEL,
    Manner,
    Variant,
    experts_of,
    lies_behind,
    rows_of_units,
    stage_of,
)

T = TypeVar("T")

Basis = str
"""By what a group's nodes share out: ``step``, ``prompt``, ``memory`` or ``equal``."""

BASES: tuple[Basis, ...] = ("step", "prompt", "memory", "equal")
Phase = Literal["prompt", "step", "chunk"]
PHASES: tuple[Phase, ...] = ("prompt", "step")
CHUNK: Phase = "chunk"
"""The phase beside them where a prompt is read in chunks: what a chunk before the last takes."""
PLACES = ("node", "host")
"""In whose memory a block's experts may lie."""


@dataclass(frozen=True)
class LanguageCase:
    """What is costed: a language model, a cluster, a workload, the conventions.

    Attributes
    ----------
    model : LanguageModel
    cluster : Cluster
    workload : Workload
    settings : CostSettings
    """

    model: LanguageModel
    cluster: Cluster
    workload: Workload
    settings: CostSettings = DEFAULT_SETTINGS
    _made: dict[Hashable, object] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def once(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was made under a key, or what ``make`` makes now."""
        if key not in self._made:
            self._made[key] = make()
        return cast(T, self._made[key])

    @cached_property
    def active_params(self) -> int:
        """Parameters that one token meets, a row of the embedding among them."""
        total = self.model.hidden
        step = self.cases_of((), 1)["step"].profile
        for layer in step.layers[1:]:
            total += layer.macs if layer.flow.mixes else layer.params
        return total

    @property
    def may_use_hosts(self) -> bool:
        """Whether experts may lie in the memory of a node's host."""
        return self.model.has_experts and any(node.host for node in self.cluster.nodes)

    @cached_property
    def small(self) -> LanguageModel:
        """Every kind of block once: all that is costed."""
        return self.model.distinct

    @cached_property
    def unit_of_small(self) -> NDArray[np.int64]:
        """For every unit of the model the unit of the small one that is like it."""
        end = len(self.model.kinds) + 1
        return np.array([0, *(1 + kind for kind in self.model.order), end, end + 1])

    @cached_property
    def cuttable(self) -> NDArray[np.bool_]:
        """Where a stage may end: behind a block, and in front of the head."""
        units = len(self.unit_of_small)
        may = np.ones(units - 1, dtype=np.bool_)
        may[0] = may[-2] = False
        return may

    def cases(self, batch: int, basis: Basis) -> dict[str, Case]:
        """The case of each phase of the small model, whose groups share out by one basis."""
        return self.once(("cases", batch, basis), lambda: self._cases(batch, basis, whole=False))

    def cases_of(
        self, placed: tuple[tuple[tuple[str, ...], Basis], ...], batch: int
    ) -> dict[str, Case]:
        """The cases of the whole model where every group shares out by a basis of its own."""
        several = tuple((names, basis) for names, basis in placed if len(names) > 1)

        def make() -> dict[str, Case]:
            cases = self._cases(batch, "step", whole=True)
            for names, basis in several:
                self.share_out(cases, basis, names, whole=True)
            return cases

        return self.once(("cases", batch, several), make)

    def _cases(self, batch: int, basis: Basis, whole: bool) -> dict[str, Case]:
        model = self.model if whole else self.small
        phases = self.once(("phases", batch, whole), lambda: phases_of(model, self.workload, batch))
        shares: Shares = "equal" if basis == "equal" else "by-time"
        settings = self.settings.model_copy(update={"shares": shares})
        return {
            name: Case(getattr(phases, name), self.cluster, settings, rings=True)
            for name in self.phases
        }

    @property
    def phases(self) -> tuple[Phase, ...]:
        """Those that are costed."""
        return (*PHASES, CHUNK) if self.workload.chunks > 1 else PHASES

    def share_out(
        self, cases: dict[str, Case], basis: Basis, names: tuple[str, ...], whole: bool = False
    ) -> None:
        """Let both phases of some cases share out alike on a group, as the small model does."""
        small = self.cases(1, basis)
        if basis in PHASES:
            ratios = small[basis].ratios(names)
        elif basis == "memory":
            nodes = {node.name: node for node in self.cluster.nodes}
            ratios = Ratios(speed_ratio(nodes[name].memory_bytes or 1 for name in names))
        else:
            ratios = Ratios((1,) * len(names))
        for case in cases.values():
            case.share_out(names, self._spread(ratios) if whole else ratios)

    def _spread(self, ratios: Ratios) -> Ratios:
        """The ratios of the small model's layers for those of the whole one."""
        by_layer = ratios.by_layer
        if not by_layer:
            return ratios
        rows = rows_of_units(self.cases(1, "step")["step"].profile)
        spread = [by_layer[row] for unit in self.unit_of_small for row in rows[unit]]
        return replace(ratios, by_layer=tuple(spread))


@dataclass(frozen=True, eq=False)
class Option:
    """A group of nodes, how it runs in each phase, and in which ratio it shares out.

    Attributes
    ----------
    group : int
        Of the family.
    variant : Variant
    basis : str
    alone : bool
        The whole model is one stage: a head that is the embedding is stored once.
    """

    group: int
    variant: Variant
    basis: Basis
    alone: bool = False


@dataclass(frozen=True, eq=False)
class PhaseCosts:
    """Costs of O options over U units of the small model, by phase.

    K places where a unit's experts may lie: one, or `PLACES` where any node has a host. Positions
    of a group are P nodes, and behind them their hosts if there are any.

    Attributes
    ----------
    options : list of Option
    names : list of tuples of str
        Nodes of every option's group.
    latency_s, medium_s : dict of float array, shape (O, U, K)
    busy_s : dict of float array, shape (R, O, U, K)
    allowed : bool array, shape (O, U, K)
    weight_bytes, live_bytes : int array, shape (O, U, K, P or 2P)
    tied_bytes : int array, shape (O, P or 2P)
        Of the head, what a node stores for the embedding already.
    transfers : dict of (Transfers, Transfers, Transfers)
        Shape (O, O): behind a block; in front of the head; and there in a ring, from the last stage
        back to the first.
    """

    options: list[Option]
    names: list[tuple[str, ...]]
    latency_s: dict[str, NDArray[np.float64]]
    busy_s: dict[str, NDArray[np.float64]]
    medium_s: dict[str, NDArray[np.float64]]
    allowed: NDArray[np.bool_]
    weight_bytes: NDArray[np.int64]
    live_bytes: NDArray[np.int64]
    tied_bytes: NDArray[np.int64]
    transfers: dict[str, tuple[Transfers, Transfers, Transfers]]


def options_of(
    case: LanguageCase,
    names: list[tuple[str, ...]],
    variants: tuple[Variant, ...],
    bases: tuple[Basis, ...] = BASES,
) -> Iterator[Option]:
    """All options of some groups that differ."""
    tied = case.model.head is None
    for group, members in enumerate(names):
        several = len(members) > 1
        seen: set[Ratios] = set()
        for basis in bases_of(case, members, bases) if several else ("equal",):
            if several:
                small = case.cases(1, basis)
                case.share_out(small, basis, members)
                ratios = small["step"].ratios(members)
                if ratios in seen:
                    continue
                seen.add(ratios)
            for variant in variants if several else (TENSOR_PARALLEL,):
                yield Option(group, variant, basis)
                if tied:
                    yield Option(group, variant, basis, alone=True)


def bases_of(
    case: LanguageCase, names: tuple[str, ...], among: tuple[Basis, ...] = BASES
) -> tuple[Basis, ...]:
    """By what the nodes of a group may share out, as far as these differ."""
    nodes = [node for node in case.cluster.nodes if node.name in names]
    found: list[Basis] = []
    if case.settings.shares != "equal" and len({node.rates for node in nodes}) > 1:
        found += PHASES[::-1]
    sizes = [node.memory_bytes for node in nodes]
    if case.settings.shares == "either" and all(sizes) and len(set(sizes)) > 1:
        found.append("memory")
    if case.settings.shares != "by-time" or not found:
        found.append("equal")
    chosen = tuple(basis for basis in found if basis in among)
    return chosen or tuple(found[:1])


def cost_options(
    case: LanguageCase,
    groups: Groups,
    options: list[Option],
    names: list[tuple[str, ...]],
    batch: int,
    deadline: Deadline,
) -> PhaseCosts:
    """Cost every unit of the small model on every option, and every change of option."""
    members = [names[option.group] for option in options]
    width = max(map(len, members))
    places = PLACES if case.may_use_hosts else PLACES[:1]
    hosted = {node.name for node in case.cluster.nodes if node.host}
    found: dict[str, list[list[_Stage]]] = {phase: [] for phase in case.phases}
    for option, group in zip(options, members, strict=True):
        # where a node has no host the experts lie with it: that option is not allowed
        usable = [place == "host" and hosted.issuperset(group) for place in places]
        for phase in case.phases:
            manner = option.variant.manner(phase)
            found[phase].append(
                [_stage(case, option, group, phase, manner, batch, use) for use in usable]
            )
        deadline.check()
    rows = found["step"][0][0].rows
    experts = _units_with_experts(case)
    shape = len(options), len(rows), len(places)
    allowed = np.ones(shape, dtype=np.bool_)
    weights = np.zeros((*shape, width * len(places)), dtype=np.int64)
    live = np.zeros_like(weights)
    tied = np.zeros((len(options), weights.shape[3]), dtype=np.int64)
    for at, group in enumerate(members):
        profile = case.cases(batch, options[at].basis)["step"].profile
        mine = slice(0, len(group))
        for k in range(len(places)):
            one, other = (found[phase][at][k] for phase in PHASES)
            stored = stored_for_both(profile, one.stored, other.stored)
            twice = stored_twice(profile, stored[:, None])[:, 0]
            tied[at, mine] = twice[-1]
            if options[at].alone:
                stored = stored - twice
            if k:
                allowed[at, :, k] = experts & hosted.issuperset(group)
                away = np.zeros_like(stored)
                routed = experts_of(profile, range(len(stored)))
                away[routed] = stored[routed]
                stored = stored - away
                weights[at, :, k, width : width + len(group)] = one.units(away)
            weights[at, :, k, mine] = one.units(stored)
            live[at, :, k, mine] = np.max([found[p][at][k].live_bytes for p in found], axis=0)

    def stacked(phase: str, column: str) -> NDArray[np.float64]:
        values = np.array([[getattr(s, column) for s in each] for each in found[phase]])
        if phase == CHUNK:
            values[..., -1] = 0.0  # the head runs behind the last chunk alone
        return values

    return PhaseCosts(
        options=options,
        names=members,
        latency_s={phase: stacked(phase, "latency_s").swapaxes(1, 2) for phase in found},
        busy_s={phase: stacked(phase, "busy_s").transpose(2, 0, 3, 1) for phase in found},
        medium_s={phase: stacked(phase, "medium_s").swapaxes(1, 2) for phase in found},
        allowed=allowed,
        weight_bytes=weights,
        live_bytes=live,
        tied_bytes=tied,
        transfers={
            phase: _transfers(case, groups, options, members, phase, batch, deadline)
            for phase in found
        },
    )


@dataclass(frozen=True, eq=False)
class _Stage:
    """An option's costs in one phase, by unit of the small model."""

    rows: list[range]
    latency_s: NDArray[np.float64]
    busy_s: NDArray[np.float64]
    medium_s: NDArray[np.float64]
    stored: NDArray[np.int64]
    live_bytes: NDArray[np.int64]

    def units(self, values: NDArray[np.int64]) -> NDArray[np.int64]:
        """Sums over the layers of every unit, shape (U, n)."""
        return np.stack([values[unit.start : unit.stop].sum(axis=0) for unit in self.rows])


def _stage(
    case: LanguageCase,
    option: Option,
    names: tuple[str, ...],
    phase: str,
    manner: Manner,
    batch: int,
    on_host: bool,
) -> _Stage:
    cases = case.cases(batch, option.basis)

    def make() -> _Stage:
        if len(names) > 1:
            case.share_out(cases, option.basis, names)
        return _costed(cases[phase], names, manner, on_host)

    return case.once(("stage", names, option.basis, phase, manner, batch, on_host), make)


def _units_with_experts(case: LanguageCase) -> NDArray[np.bool_]:
    """Units of the small model that chosen experts are in, shape (U,)."""
    profile = case.cases(1, "step")["step"].profile
    return np.array([bool(experts_of(profile, unit)) for unit in rows_of_units(profile)])


def _costed(case: Case, names: tuple[str, ...], manner: Manner, on_host: bool) -> _Stage:
    profile = case.profile
    everything = range(len(profile.layers))
    hosted = experts_of(profile, everything) if on_host else []
    costed = cost_stages(case, (stage_of(profile, names, manner, everything, hosted),))
    (stage,) = costed.stages
    table, rows = stage.table, rows_of_units(profile)
    occupied = busy_s(
        table.wire_s[:, 0], table.software_s[:, 0], table.compute_s[:, 0], case.settings.overlap
    )
    starts = [unit.start for unit in rows]
    return _Stage(
        rows=rows,
        latency_s=np.add.reduceat(table.latency_s[:, 0], starts),
        busy_s=np.add.reduceat(occupied, starts, axis=1),
        medium_s=np.add.reduceat(table.medium_s[:, 0], starts),
        stored=table.weight_bytes[:, 0],
        live_bytes=np.maximum.reduceat(table.live_bytes[:, 0], starts, axis=0),
    )


def stored_for_both(
    profile: ModelProfile, prompt: NDArray[np.int64], step: NDArray[np.int64]
) -> NDArray[np.int64]:
    """Bytes that nodes store of every layer for both phases (eq. 46), shape (L, n).

    What one phase needs of a layer is in what the other does: the same share, or all of it. Keys
    and values lie where a step reads them: whoever reads a prompt by tokens keeps its heads.
    """
    kept = np.array([layer.cache_bytes for layer in profile.layers], dtype=np.int64)
    stored: NDArray[np.int64] = np.maximum(prompt - kept[:, None], step)
    return stored


def weights_of(
    prompt: StageCosts, step: StageCosts, first: tuple[StageCosts, StageCosts] | None = None
) -> NDArray[np.int64]:
    """The same of a plan's stage, where what layers share is stored once, shape (l, n).

    Parameters
    ----------
    prompt, step : StageCosts
        The stage in each phase.
    first : (StageCosts, StageCosts), optional
        The first stage of a ring whose last this is: what its nodes store is not stored again.
    """

    def both(*stage: StageCosts) -> NDArray[np.int64]:
        one, other = (each.table.weight_bytes[:, 0] for each in stage)
        return stored_for_both(step.profile, one, other)[:, None]

    weights, rows = both(prompt, step), step.indices
    if first is not None:
        before = first[1].indices
        weights[before] = both(*first)[before]
        rows = [*before, *rows]
    stored: NDArray[np.int64] = (weights - stored_twice(step.profile, weights, rows))[step.rows, 0]
    return stored


def _transfers(
    case: LanguageCase,
    groups: Groups,
    options: list[Option],
    names: list[tuple[str, ...]],
    phase: str,
    batch: int,
    deadline: Deadline,
) -> tuple[Transfers, Transfers, Transfers]:
    """Handing the hidden numbers over behind a block, in front of the head, and back, (O, O)."""
    follows = groups.may_follow()
    block, head, back = (Transfers.none((len(options),) * 2) for _ in range(3))
    hand_over = _Handing(case, phase, batch)
    sides = [hand_over.side(option, group) for option, group in zip(options, names, strict=True)]
    for i, one in enumerate(options):
        deadline.check()
        for j, other in enumerate(options):
            ahead, again = follows[one.group, other.group], follows[other.group, one.group]
            if one.alone or other.alone or not (ahead or again):
                continue
            sender, receiver = sides[i], sides[j]
            if not groups.runs and not sender.members.isdisjoint(receiver.members):
                first, second = groups.members((one.group, other.group))  # of one type: others
                sender, receiver = hand_over.side(one, first), hand_over.side(other, second)
            behind_block, before_head = hand_over(sender, receiver)
            found = [(block, behind_block)] if ahead else []
            if phase != CHUNK:  # the head runs behind the last chunk alone
                found += [(head, before_head)] if ahead else []
                found += [(back, before_head)] if again else []
            for into, columns in found:
                for column, value in zip(into.columns, columns, strict=True):
                    column[i, j] = value
    return block, head, back


_Figures = tuple[tuple[float, ...], tuple[float, ...]]


@dataclass(frozen=True, eq=False)
class _Side:
    """Who sends or receives: an option on some nodes, and the number of all that are alike."""

    option: Option
    names: tuple[str, ...]
    members: frozenset[str]
    number: int


class _Handing:
    """Changes of group in one phase; those of pairs that are alike are timed once."""

    def __init__(self, case: LanguageCase, phase: str, batch: int) -> None:
        self._case, self._phase, self._batch = case, phase, batch
        self._known: dict[tuple[int, int], _Figures] = {}
        self._numbers: dict[Hashable, int] = {}
        special = {name for pair in case.cluster.pair_links for name in pair.between}
        self._kind = {
            node.name: (
                node.name if node.name in special else "",
                node.interface_bytes_per_s,
                node.message_send_s,
                node.message_receive_s,
                node.message_bytes_per_s,
            )
            for node in case.cluster.nodes
        }

    def side(self, option: Option, names: tuple[str, ...]) -> _Side:
        """An option on some nodes."""
        kinds = tuple(self._kind[name] for name in names), *self._lying(option, names)
        number = self._numbers.setdefault(kinds, len(self._numbers))
        return _Side(option, names, frozenset(names), number)

    def __call__(self, one: _Side, other: _Side) -> _Figures:
        pair = one.number, other.number
        if pair not in self._known:
            self._known[pair] = self._timed(one.option, other.option, one.names, other.names)
        return self._known[pair]

    def _lying(self, option: Option, names: tuple[str, ...]) -> tuple[Hashable, ...]:
        manner = option.variant.manner(self._phase)
        if manner not in BY_TOKENS:
            return (manner,)
        return manner, self._cases(option)[self._phase].ratios(names)

    def _cases(self, option: Option) -> dict[str, Case]:
        return self._case.cases(self._batch, option.basis)

    def _timed(
        self, one: Option, other: Option, senders: tuple[str, ...], receivers: tuple[str, ...]
    ) -> _Figures:
        case = self._cases(one)[self._phase]
        laid = case.laid(senders), self._cases(other)[self._phase].laid(receivers)
        rows, layers = rows_of_units(case.profile), case.profile.layers
        found = []
        for unit in (rows[1], rows[-2]):
            tensor = layers[unit.stop - 1]
            lies, arrives = (
                "whole"
                if len(names) == 1
                else lies_behind(tensor, option.variant.manner(self._phase))
                for option, names in ((one, senders), (other, receivers))
            )
            moved = case.handover_laid(*laid, [(tensor.name, lies, arrives)])
            found.append(tuple(float(column) for column in moved.columns))
        return found[0], found[1]
