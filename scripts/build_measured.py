"""Predict published times of several devices for docs/measured.md (``--check``: compare).

Nodes are calibrated by the one-device cells of `measured_rows` alone, with two unknowns at most:
memory bandwidth where those cells say it, and a time per operator. All else is the cost model's.
"""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from statistics import mean, median

import numpy as np
from documents import command, made, table
from measured_models import decoding
from measured_rows import SYSTEMS, Other, Row, System
from scipy.optimize import nnls

from planner.case import Case
from planner.domain.cluster import Cluster, Link, Node
from planner.domain.layouts import Conversion, Layout, Way
from planner.domain.model_profile import ModelProfile
from planner.domain.plan import LayerPlan, StagePlan
from planner.domain.settings import CostSettings
from planner.solve.deadline import Deadline
from planner.strategies.baselines import single_node
from planner.strategies.costed import predict
from planner.strategies.splits import split_plan, splits_of

APART = 2.0
"""One-device cells tell the memory bandwidth from the time per operator where the bytes of the
largest model are so many times those of the smallest."""

LINK_KEYS = ("bandwidth_bytes_per_s", "latency_s")


@cache
def profile_of(row: Row) -> ModelProfile:
    """The decoding of one token of a row's model."""
    return decoding(row)


@dataclass(frozen=True)
class Calibrated:
    """What the one-device cells of a system say of its nodes.

    Attributes
    ----------
    memory_bytes_per_s, layer_overhead_s : float
    fitted : bool
        Whether the memory bandwidth is theirs too.
    together_bytes_per_s : float or None
        What a fit of both gives, where there are two cells or more.
    cells : tuple of str
        The rows whose one-device cells were used.
    """

    memory_bytes_per_s: float
    layer_overhead_s: float
    fitted: bool
    together_bytes_per_s: float | None
    cells: tuple[str, ...]


def value(system: System, key: str, default: float | None = None) -> float | None:
    """A constant of a system by its key."""
    return next((each.value for each in system.constants if each.key == key), default)


def cluster_of(system: System, nodes: int, **of_node: float) -> Cluster:
    """So many nodes of a system, with some figures of each."""
    figures = {each.key: each.value for each in system.constants if each.key in Node.model_fields}
    link = {key: value(system, key, 0.0) for key in LINK_KEYS}
    return Cluster.model_validate(
        {
            "name": system.name,
            "nodes": [{"name": f"n{k}", **figures, **of_node} for k in range(nodes)],
            "link": link,
            "collective": "star" if system.plan == "star" else "direct",
        }
    )


def settings_of(system: System) -> CostSettings:
    """The width of messages, where it is not that of activations."""
    return CostSettings(message_bits=value(system, "message_bits"))


def one_device_s(system: System, row: Row, **of_node: float) -> float:
    """A model on one node of a system, by the cost model."""
    case = Case(profile_of(row), cluster_of(system, 1, **of_node))
    return single_node(case).predicted.latency_s


@cache
def calibrate(system: System) -> Calibrated:
    """Fit memory bandwidth and time per operator to the one-device cells, relative errors squared.

    Time is linear in one over the bandwidth and in the time per operator: the cost model gives both
    factors. Where the models are too alike, the bandwidth is the system's constant.
    """
    rows = [row for row in system.rows if 1 in row.measured_ms]
    measured = np.array([row.measured_ms[1] * 1e-3 for row in rows])
    probe = 1e9
    bytes_s = np.array(
        [one_device_s(system, row, memory_bytes_per_s=probe, layer_overhead_s=0.0) for row in rows]
    )
    with_one = [
        one_device_s(system, row, memory_bytes_per_s=probe, layer_overhead_s=1.0) for row in rows
    ]
    operators = np.array(with_one) - bytes_s
    known = value(system, "memory_bytes_per_s")
    cells = tuple(row.name for row in rows)
    together = None
    if len(rows) > 1:
        factors = np.stack([bytes_s * probe, operators], axis=1) / measured[:, None]
        (per_byte, overhead), _ = nnls(factors, np.ones(len(rows)))
        together = 1.0 / float(per_byte)
        if len(rows) > 2 and bytes_s.max() > APART * bytes_s.min():
            return Calibrated(together, float(overhead), True, together, cells)
    assert known is not None
    rest = (measured - bytes_s * probe / known) / measured
    factor = operators / measured
    overhead = float(factor @ rest / (factor @ factor))
    return Calibrated(known, max(overhead, 0.0), False, together, cells)


def star_stage(profile: ModelProfile, names: tuple[str, ...]) -> StagePlan:
    """Matrices of blocks divided by outputs; all else on the root, but between two matrices."""
    lies: dict[str, set[Layout]] = {spec.name: {"whole"} for spec in profile.inputs}
    plans = []
    for layer in profile.layers:
        matrix = layer.kind == "linear" and layer.name not in profile.outputs
        inside = ".mlp" in layer.name and all("features" in lies[name] for name in layer.inputs)
        way: Way = "outputs" if matrix else "features" if inside else "one-node"
        reads: Layout = "whole" if matrix else "features" if inside else "one-node"
        conversions = []
        for name in dict.fromkeys(layer.inputs):
            if reads not in lies[name] and "whole" not in lies[name]:
                source = next(iter(lies[name]))
                conversions.append(Conversion(tensor=name, source=source, target=reads))
                lies[name] = {"whole"} if reads == "whole" else {*lies[name], reads}
        makes: Layout = "one-node" if way == "one-node" else "features"
        lies[layer.name] = {makes}
        plans.append(
            LayerPlan(
                name=layer.name,
                nodes=len(names),
                way=way,
                layout=makes,
                conversions=tuple(conversions),
            )
        )
    return StagePlan(nodes=names, layers=tuple(plans))


def pipeline_stages(
    case: Case, names: tuple[str, ...], blocks: Sequence[int]
) -> tuple[StagePlan, ...]:
    """Runs of whole blocks; the last layer is a stage more."""
    profile = case.profile
    prefix = "model.layers."
    numbers = [
        int(layer.name.removeprefix(prefix).split(".")[0].split(":")[0])
        if layer.name.startswith(prefix)
        else None
        for layer in profile.layers
    ]
    first = [numbers.index(block) for block in np.cumsum(blocks)[:-1].tolist()]
    edges = [0, *first, case.units[-1].start, len(numbers)]
    return tuple(
        StagePlan(
            nodes=(name,),
            layers=tuple(
                LayerPlan(name=layer.name, nodes=1) for layer in profile.layers[start:stop]
            ),
        )
        for name, start, stop in zip(names, edges[:-1], edges[1:], strict=True)
    )


_PLANNED: dict[object, tuple[StagePlan, ...]] = {}


def stages_of(system: System, row: Row, nodes: int, case: Case) -> tuple[StagePlan, ...]:
    """How a system's runtime runs a row's model on so many nodes; one plan for all batches."""
    key = system.name, nodes, tuple(layer.name for layer in case.profile.layers)
    if key not in _PLANNED:
        _PLANNED[key] = _plan(system, row, nodes, case)
    return _PLANNED[key]


def _plan(system: System, row: Row, nodes: int, case: Case) -> tuple[StagePlan, ...]:
    names = case.names(len(case.cluster.nodes))
    if system.plan == "star":
        return (star_stage(case.profile, names),)
    if system.plan == "pipeline":
        return pipeline_stages(case, names, row.stages[nodes])
    (split,) = (each for each in splits_of(case) if each.name == system.plan)
    plan = split_plan(case, nodes, split, Deadline(600.0))
    assert plan is not None
    return plan.stages


def cost_ms(case: Case, system: System, stages: tuple[StagePlan, ...]) -> float:
    """A plan by the cost model: the latency of a token, or the busiest stage's time."""
    found = predict(case, stages)
    seconds = 1 / found.throughput_per_s if system.plan == "pipeline" else found.latency_s
    return seconds * 1e3


def cell_of(system: System, row: Row, nodes: int, *, plain: bool) -> Cell:
    """Predict a cell by the recipe; if ``plain``, the same plan with less known of the devices."""
    case = Case(profile_of(row), recipe_cluster(system, nodes), settings_of(system))
    stages = stages_of(system, row, nodes, case)
    cases = [case]
    if plain:
        cases += [case.on(plain_cluster(system, row, nodes, in_series=s)) for s in (False, True)]
    times = [cost_ms(each, system, stages) for each in cases]
    return Cell(system.name, row.name, nodes, row.measured_ms[nodes], *times)


def held_nodes(system: System, nodes: int) -> int:
    """Nodes of the cluster: a pipeline's first board is there twice."""
    return nodes + (system.plan == "pipeline")


@dataclass(frozen=True)
class Cell:
    """A published time of several devices, and what was predicted.

    Attributes
    ----------
    alone_ms, in_series_ms : float, optional
        By bytes / B + MACs / C alone, and with n - 1 delays in series.
    """

    system: str
    row: str
    nodes: int
    measured_ms: float
    predicted_ms: float
    alone_ms: float | None = None
    in_series_ms: float | None = None

    def error(self, which: str = "predicted_ms") -> float | None:
        """Relative, signed; None where that was not asked for."""
        ms: float | None = getattr(self, which)
        return None if ms is None else ms / self.measured_ms - 1


def recipe_cluster(system: System, nodes: int) -> Cluster:
    """A system's nodes, as its one-device cells calibrate them."""
    found = calibrate(system)
    return cluster_of(
        system,
        held_nodes(system, nodes),
        memory_bytes_per_s=found.memory_bytes_per_s,
        layer_overhead_s=found.layer_overhead_s,
    )


def plain_cluster(system: System, row: Row, nodes: int, *, in_series: bool) -> Cluster:
    """B and one C, from the row's own one-device cell or the first of the system."""
    of = row if 1 in row.measured_ms else next(r for r in system.rows if 1 in r.measured_ms)
    rate = profile_of(of).totals.macs / (of.measured_ms[1] * 1e-3)
    link = Link(
        bandwidth_bytes_per_s=value(system, "bandwidth_bytes_per_s") or 1.0,
        latency_s=(value(system, "latency_s") or 0.0) if in_series else 0.0,
    )
    nodes_of = tuple(Node(name=f"n{k}", macs_per_s=rate) for k in range(held_nodes(system, nodes)))
    collective = "in-series" if in_series else "direct"
    return Cluster(name=system.name, nodes=nodes_of, link=link, collective=collective)


def cells_of(system: System, rows: Sequence[Row], *, plain: bool = False) -> tuple[Cell, ...]:
    """Every published time of several devices in some rows of a system."""
    return tuple(
        cell_of(system, row, nodes, plain=plain)
        for row in rows
        for nodes in row.measured_ms
        if nodes > 1
    )


@cache
def cells() -> tuple[Cell, ...]:
    """Those of all systems' rows, which the headline counts."""
    return tuple(cell for system in SYSTEMS for cell in cells_of(system, system.rows, plain=True))


@cache
def checks() -> tuple[Cell, ...]:
    """Those that were costed when all constants stood."""
    return tuple(cell for system in SYSTEMS for cell in cells_of(system, system.checks))


def with_other(system: System, other: Other) -> System:
    """A system with constants from another source; its nodes are calibrated anew."""
    constants = tuple(
        replace(each, value=other.values.get(each.key, each.value)) for each in system.constants
    )
    return replace(system, constants=constants)


def errors_of(some: Sequence[Cell], which: str = "predicted_ms") -> list[float]:
    """Absolute relative errors."""
    return [abs(error) for cell in some if (error := cell.error(which)) is not None]


def mean_error(some: Sequence[Cell], which: str = "predicted_ms") -> float:
    """Their mean."""
    return mean(errors_of(some, which))


def _filled(text: str) -> str:
    return textwrap.fill(text, 100, break_long_words=False, break_on_hyphens=False)


def percent(share: float) -> str:
    """A share in percent with one decimal."""
    return f"{share * 100:.1f}"


def signed(share: float | None) -> str:
    """The same with its sign; nothing where there is none."""
    return "" if share is None else f"{share * 100:+.1f}".replace("-0.0", "+0.0")


HEADER = (
    "model | devices | measured (ms) | predicted (ms) | error (%) | B and C alone (%) | "
    "and n − 1 delays (%)"
)


def times(system: System, rows: Sequence[Row], some: Sequence[Cell]) -> str:
    """Published and predicted times; one-device cells as the calibration leaves them."""
    lines: list[tuple[object, ...]] = []
    for row in rows:
        if 1 in row.measured_ms:
            measured, found = row.measured_ms[1], calibrate(system)
            figures = {
                "memory_bytes_per_s": found.memory_bytes_per_s,
                "layer_overhead_s": found.layer_overhead_s,
            }
            ms = one_device_s(system, row, **figures) * 1e3
            used = "calibrates" if row.name in found.cells else "checks"
            error = f"{signed(ms / measured - 1)} ({used})"
            lines.append((row.name, 1, f"{measured:.2f}", f"{ms:.2f}", error, "", ""))
        for cell in some:
            if (cell.system, cell.row) == (system.name, row.name):
                lines.append(
                    (
                        row.name,
                        cell.nodes,
                        f"{cell.measured_ms:.2f}",
                        f"{cell.predicted_ms:.2f}",
                        f"**{signed(cell.error())}**",
                        signed(cell.error("alone_ms")),
                        signed(cell.error("in_series_ms")),
                    )
                )
    return table(HEADER, lines)


def figures(system: System) -> str:
    """Every constant of a system with its source."""
    found = calibrate(system)
    named = ", ".join(found.cells)
    first = f"one-device cells: {named}"
    lines = [(f"`{each.key}`", each.shown, each.source) for each in system.constants]
    if found.fitted:
        shown = f"{found.memory_bytes_per_s / 1e9:.1f} GB/s"
        lines.insert(1, ("`memory_bytes_per_s`", shown, first))
    overhead = f"{found.layer_overhead_s * 1e6:.0f} µs"
    lines.append(("`layer_overhead_s`", overhead, first))
    parts = [table("figure | value | source", lines)]
    if found.together_bytes_per_s and not found.fitted:
        parts.append(
            _filled(
                "These cells are of models too alike to be asked for M; fitted together with the "
                f"time per operator it would be {found.together_bytes_per_s / 1e12:.2f} TB/s."
            )
        )
    return "\n\n".join(parts)


def system_part(system: System) -> str:
    """A system's section."""
    mine = [cell for cell in cells() if cell.system == system.name]
    errors = errors_of(mine)
    return "\n\n".join(
        [
            f"## {system.name}",
            _filled(f"{system.source}."),
            _filled(system.about),
            times(system, system.rows, mine),
            f"Mean error {percent(mean(errors))} %, median {percent(median(errors))} %.",
            figures(system),
        ]
    )


def summary() -> str:
    """How far off it is, by system and together."""
    groups: list[tuple[str, list[Cell]]] = [
        (system.name, [cell for cell in cells() if cell.system == system.name])
        for system in SYSTEMS
    ]
    groups.append(("**all**", list(cells())))
    groups.append(("kept for checking", list(checks())))
    lines = []
    for name, some in groups:
        errors = errors_of(some)
        plain = [
            percent(mean(found)) if (found := errors_of(some, which)) else ""
            for which in ("alone_ms", "in_series_ms")
        ]
        own = (percent(of(errors)) for of in (mean, median, max))
        lines.append((name, len(some), *own, *plain))
    return table(
        "rows | cells | mean error (%) | median (%) | largest (%) | B and C alone (%) | "
        "and n − 1 delays (%)",
        lines,
    )


def others() -> str:
    """What other sources' constants would give."""
    lines = []
    for system in SYSTEMS:
        mine = [cell for cell in cells() if cell.system == system.name]
        for other in system.others:
            changed = cells_of(with_other(system, other), system.rows)
            errors = (percent(mean_error(mine)), percent(mean_error(changed)))
            lines.append((system.name, other.words, *errors))
    return table("rows | instead | mean error (%) | then (%)", lines)


INTRODUCTION = """# Held against published times

Times of several devices that others measured and published, predicted by the planner's own cost
model. Everything on this page is recomputed by `python scripts/build_measured.py`; a test holds
the page against a fresh run."""

RECIPE = """## The recipe

One for all rows.

1. **Model**: traced from its configuration (`profiles/from_hf`), one step of decoding behind a
   cache of as many tokens as the timed ones had in the mean; weights of as many bits as they have
   (`planner/quantise.py`). Attention reads the cache once.
2. **Plan**: who computes what and what is sent, as the runtime's code or guide says.
3. **Node**: every layer takes max(MACs/C, bytes touched/M) and a time per operator that does not
   shrink with its share ([eq. 8](model.md#computation)). The time per operator, and M where three
   or more one-device cells are of models whose bytes differ twofold, are fitted to the one-device
   cells of the system (relative errors squared). Else M is known from elsewhere. No cell of
   several devices calibrates anything.
4. **Messages**: bytes, delay and software time per message of each exchange
   ([eq. 3 to 5](model.md#communication)), with constants of sources that are none of these rows."""

LIMITS = """## What is not modelled

- **Larger batches on several GPUs** take longer than predicted, most on two: the time per operator
  is one number, and that of an all-reduce does not grow with the batch beyond its bytes.
- **Waiting for the slowest**: devices are alike and in step. On four cloud machines 13B takes 5 %
  longer than predicted; the published times of transfers there grow more than those of 7B and 70B.
- **The root's own work** in distributed-llama (one thread does attention, norms and residuals; the
  last layer uses a slower kernel) is part of the time per operator, which all nodes are charged.
- **Rings that wait**: with as many samples as boards a board waits for what is under way. The
  software of messages, which occupies both boards, stands for it; NanoLlama on two boards is
  charged too much.
- **Congestion**: eight Raspberry Pi at one gigabit switch spend half of their time on transfers
  (distributed-llama's README); nothing here would say so. Their one-device cell is a single one,
  of a processor whose arithmetic binds: C and the time per operator cannot be told apart.
- Sampling, tokenising, and clocks that fall as boards get warm."""

ADDING = """## How to add a row

In `scripts/measured_rows.py`: a `Row` with the model's configuration, the tokens in its cache, the
batch, the bits of a weight and the published times by number of devices (1 calibrates). A new
runtime or device is a `System`: how the runtime divides the work (`star`, `tensor-parallel`,
`pipeline`), and each constant with its source. It needs one-device times: of three models that
differ in size, or of one where the memory bandwidth is known and binds. Constants fitted to a time
of several devices do not belong there. Then `python scripts/build_measured.py`."""


def page() -> str:
    """The whole page."""
    errors = errors_of(cells())
    headline = (
        f"**Mean error {percent(mean(errors))} %, median {percent(median(errors))} %** over "
        f"{len(errors)} times of 2 to 8 devices. Bytes/B + MACs/C alone (C from the row's own "
        f"one-device time) misses the same plans by {percent(mean_error(cells(), 'alone_ms'))} %, "
        "with n − 1 delays in series for each exchange by "
        f"{percent(mean_error(cells(), 'in_series_ms'))} %."
    )
    checked = (
        "The predicted times were known while sources of constants were looked for. These rows of "
        "the same published table were costed when all constants stood; they calibrate nothing: "
        f"mean error {percent(mean_error(checks()))} %."
    )
    parts = [INTRODUCTION, _filled(headline), summary(), RECIPE]
    parts += [system_part(system) for system in SYSTEMS]
    parts += ["## Rows kept for checking", _filled(checked)]
    parts += [times(system, system.checks, checks()) for system in SYSTEMS if system.checks]
    parts += [
        "## What other sources would give",
        _filled(
            "How much hangs on a constant: what others that were found would give, the rest "
            "unchanged and the nodes calibrated anew."
        ),
        others(),
        LIMITS,
        ADDING,
    ]
    return "\n\n".join(parts) + "\n"


def main() -> int:
    """Write or check; 1 where the page is stale."""
    return made({"measured.md": page()}, command(__doc__).parse_args().check)


if __name__ == "__main__":
    sys.exit(main())
