"""Small random language models and clusters, and every placement of one on the other."""

from __future__ import annotations

import itertools
import random
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction

from planner.domain.cluster import Cluster, Link, Node
from planner.domain.language_model import (
    Attention,
    Block,
    Experts,
    LanguageModel,
    Matrix,
    Mlp,
    Table,
)
from planner.domain.model_profile import Provenance
from planner.domain.settings import CostSettings
from planner.domain.workload import Workload
from planner.strategies.costed import CostedStages, cost_stages
from planner.strategies.phases.costs import LanguageCase, Option, bases_of, weights_of
from planner.strategies.phases.ways import (
    EXPERT_VARIANTS,
    TENSOR_PARALLEL,
    VARIANTS,
    rows_of_units,
    stage_of,
)

BITS = Fraction(16)


def mlp(hidden: int, inner: int, gated: bool) -> Mlp:
    up = Matrix.of(hidden, inner, BITS)
    return Mlp(gate=up if gated else None, up=up, down=Matrix.of(inner, hidden, BITS))


def block(chance: random.Random, hidden: int) -> Block:
    heads, size = chance.choice([(4, 16), (6, 8), (2, 32)])
    kv_heads = chance.choice([n for n in (1, 2, heads) if heads % n == 0])
    attention = Attention(
        heads=heads,
        kv_heads=kv_heads,
        key_size=size,
        value_size=size,
        window=chance.choice([None, None, 20]),
        query=(Matrix.of(hidden, heads * size, BITS),),
        key=Matrix.of(hidden, kv_heads * size, BITS),
        value=Matrix.of(hidden, kv_heads * size, BITS),
        output=Matrix.of(heads * size, hidden, BITS),
    )
    inner = chance.choice([96, 160])
    network: Mlp | Experts = mlp(hidden, inner, chance.random() < 0.7)
    if chance.random() < 0.3:
        network = Experts(
            count=4,
            active=2,
            shared=chance.choice([0, 1]),
            router=Matrix.of(hidden, 4, BITS),
            each=mlp(hidden, 48, gated=True),
        )
    return Block(
        attention=attention,
        mlp=network,
        before_attention=hidden,
        before_mlp=hidden,
        parallel=chance.random() < 0.2,
    )


def language_model(chance: random.Random, blocks: int) -> LanguageModel:
    hidden, rows = 64, chance.choice([128, 512])
    kinds = tuple(block(chance, hidden) for _ in range(chance.choice([1, 2])))
    table = Table(rows=rows, columns=hidden, bytes=2 * rows * hidden)
    return LanguageModel(
        name="random",
        hidden=hidden,
        embedding=table,
        kinds=kinds,
        order=tuple(chance.randrange(len(kinds)) for _ in range(blocks)),
        last_norm=hidden,
        head=None if chance.random() < 0.5 else Matrix.of(hidden, rows, BITS),
        provenance=Provenance(front_end="made", source="tests"),
    )


def cluster(chance: random.Random, nodes: int, memory: int | None) -> Cluster:
    """Nodes that differ, links that cost; memory that may bind."""

    def node(number: int) -> Node:
        return Node(
            name=f"n{number}",
            macs_per_s=chance.choice([1e8, 3e8, 1e9]),
            memory_bytes=None if memory is None else int(memory * chance.uniform(0.6, 1.5)),
            memory_bytes_per_s=chance.choice([None, 2e7, 1e8]),
            layer_overhead_s=chance.choice([0.0, 1e-5]),
            message_send_s=chance.choice([0.0, 2e-6]),
        )

    return Cluster(
        name="random",
        nodes=tuple(node(number) for number in range(nodes)),
        link=Link(bandwidth_bytes_per_s=chance.choice([1e6, 1e8]), latency_s=1e-5),
        medium=chance.choice(["full_duplex", "half_duplex", "shared"]),
    )


def language_case(seed: int, nodes: int, blocks: int, workload: Workload) -> LanguageCase:
    chance = random.Random(seed)
    model = language_model(chance, blocks)
    free = LanguageCase(model, cluster(chance, nodes, None), workload)
    size = free.cases_of((), 1)["step"].profile.totals.param_bytes
    memory = chance.choice([None, size, size * 3 // 4])
    settings = CostSettings(overlap=chance.random() < 0.3)
    return LanguageCase(model, cluster(chance, nodes, memory), workload, settings)


Structure = tuple[tuple[tuple[str, ...], ...], tuple[Option, ...], tuple[int, ...]]


def placements(case: LanguageCase, most: int) -> Iterator[Structure]:
    """Groups in any order, how each runs, and the units at which they begin.

    With the head on the last group, and in a ring on the first one once more.
    """
    names = [node.name for node in case.cluster.nodes]
    groups = [g for size in range(1, most + 1) for g in itertools.combinations(names, size)]
    places = [2 + at for at in range(len(case.model.order) - 1)]
    head = len(case.model.order) + 2
    places.append(head)
    variants = (*VARIANTS, *(EXPERT_VARIANTS if case.model.has_experts else ()))
    for stages in range(1, most + 1):
        for chosen in itertools.permutations(groups, stages):
            used = [name for group in chosen for name in group]
            if len(set(used)) < len(used) or len(used) > most:
                continue
            ways = [
                [
                    Option(0, variant, basis)
                    for variant in (variants if len(group) > 1 else (TENSOR_PARALLEL,))
                    for basis in (bases_of(case, group) if len(group) > 1 else ("equal",))
                ]
                for group in chosen
            ]
            for options in itertools.product(*ways):
                for cuts in itertools.combinations(places, stages - 1):
                    yield chosen, options, (0, *cuts)
                    if stages > 1 and head not in cuts:
                        yield (*chosen, chosen[0]), (*options, options[0]), (0, *cuts, head)


def costed(case: LanguageCase, structure: Structure, batch: int = 1) -> dict[str, CostedStages]:
    """Both phases of a placement, each stage in the ratio of its option."""
    groups, options, starts = structure
    placed = zip(groups, (option.basis for option in options), strict=True)
    cases = case.cases_of(tuple(placed), batch)
    found = {}
    for phase in case.phases:
        profile = cases[phase].profile
        rows = rows_of_units(profile)
        ends = [*starts[1:], len(rows)]
        stages = []
        for group, option, start, end in zip(groups, options, starts, ends, strict=True):
            layers = range(rows[start].start, rows[end - 1].stop)
            stages.append(stage_of(profile, group, option.variant.manner(phase), layers))
        found[phase] = cost_stages(cases[phase], tuple(stages))
    return found


def fits(case: LanguageCase, found: dict[str, CostedStages]) -> bool:
    """Whether all nodes and hosts have room for both phases, a ring's first ones for the head too.

    What both stages of a ring's nodes read is stored once.
    """
    stored, live, away = Counter[str](), Counter[str](), Counter[str]()
    stages = list(zip(*(costs.stages for costs in found.values()), strict=True))
    for place, at_once in enumerate(stages):
        one, other, *_ = at_once  # prompt and step
        again = place > 0 and other.nodes == stages[0][0].nodes
        weights = weights_of(one, other, stages[0][:2] if again else None)
        hosted = [row - other.rows.start for row in other.on_host]
        for at, name in enumerate(other.nodes):
            away[name] += int(weights[hosted, at].sum())
            stored[name] += int(weights[:, at].sum() - weights[hosted, at].sum())
            for stage in at_once:
                mine = int(stage.table.live_bytes[other.rows, 0, at].max())
                live[name] = max(live[name], mine)
    return all(
        (node.memory_bytes is None or stored[node.name] + live[node.name] <= node.memory_bytes)
        and away[node.name] <= (node.host.memory_bytes if node.host else 0)
        for node in case.cluster.nodes
    )


def busy_of_a_chunk(found: CostedStages) -> float:
    """The busiest resource without the head and what it is sent, written down anew."""
    software = [0.0] * len(found.stages)
    names = found.stages[-1].table.layer_names
    alone = len(found.stages) > 1 and names[found.stages[-1].rows] == ("lm_head",)
    handovers = found.handovers[:-1] if alone else found.handovers
    for at, handover in enumerate(handovers):
        software[at] += float(handover.send_s)
        software[at + 1] += float(handover.receive_s)
    busy, medium = [float(each.busy_s) for each in handovers], 0.0
    for stage, own in zip(found.stages, software, strict=True):
        rows = [r for r in range(stage.rows.start, stage.rows.stop) if names[r] != "lm_head"]
        wire, packing, computing, shared = (
            float(getattr(stage.table, name)[rows, 0].sum())
            for name in ("wire_s", "software_s", "compute_s", "medium_s")
        )
        nodes = packing + computing + own
        busy += [wire, nodes] if found.overlap else [wire + nodes]
        medium += shared
    medium += sum(float(each.medium_s) for each in handovers)
    return max([*busy, medium])
