"""Every setting that a user has, one row each: the one table that all faces of the planner read.

A row says where its value goes in the core, how it is typed on the command line, which control the
page has for it (and with that its parameter of the address), and how it is said in words. The
command line's options (`app.asking`), the page's controls (`app.page.controls`), the address
(`app.page.address`), the words of an answer (`say_settings`) and the command that it
shows (`app.page.command`) all follow from here, so that a new setting is one row.
"""

from __future__ import annotations

from typing import get_args

from app.kinds import (
    FIGURE,
    LARGEST,
    SMALLEST,
    Flag,
    Number,
    OneOf,
    SomeOf,
    Text,
    Texts,
)
from app.question import core_value
from app.setting import COST, LIMITS, OF_LANGUAGE, PANELS, SOLVER, TUNE, Setting
from app.setting_words import (
    dropping_words,
    link_words,
    loss_words,
    medium_words,
    memory_words,
    node_words,
    objective_words,
    overlap_words,
    speed_words,
    ways_words,
    weight_words,
)
from app.workload_settings import WORKLOAD
from planner.accuracy.spreading import DEFAULT_RULE, SPREADING_RULES
from planner.case import Case
from planner.domain.cluster import Casting, Collective, Medium
from planner.domain.layouts import WAYS
from planner.domain.request import Request
from planner.domain.settings import CutAt, Objective, Parallelism, Shares, Solver
from planner.strategies.what_if.frontier import Trade
from planner.strategies.what_if.needed import Resource
from planner.strategies.what_if.quantities import Quantity
from profiles.catalog import cluster_names, curve_names, language_names, model_names

MOST_NODES = 16  # on the page
CATALOGUE, FILE = "catalogue", "file"
OWN_CLUSTER = "own"
NO_MODEL = "none"
CSV_FILE, ENERGY_FILE = "csv", "energy"
EXACTLY = "exactly"
_NOT_OF_LANGUAGE = ("share_inputs", "count_input", "count_output")
MODEL_LAYERS = "model"
LAYER_VIEWS = ("plan", "dense", "uniform 80%", "uniform 90%", MODEL_LAYERS)

SETTINGS: tuple[Setting, ...] = (
    Setting(
        "exactly",
        Number(1, MOST_NODES, whole=True),
        option="Exactly this many nodes.",
        name="nodes",
        commands=("plan", "answer"),
        bounds=(1, None),
    ),
    Setting(
        "max_nodes",
        Number(1, MOST_NODES, whole=True),
        option="At most this many nodes, any of them (default: all).",
        commands=("plan", "pareto", "sweep", "needs", "answer", "fits"),
        bounds=(1, None),
        label="Nodes",
        help="Up to: fewer nodes may work if that is better. Exactly: that many work. More than "
        "the cluster has are copies of its last one.",
        key="nodes",
        words=node_words,
    ),
    Setting(
        "bandwidth_bytes_per_s",
        Number(*FIGURE, 2.5, quantity="bandwidth", units=("MB/s", "Mbit/s")),
        option="B of every link: 37.5MB/s, 300Mbit/s.",
        panel=TUNE,
        name="bandwidth",
        label="Bandwidth B",
        help="Of every node's link, in each direction.",
        preset=lambda cluster: cluster.link.bandwidth_bytes_per_s,
        words=link_words,
    ),
    Setting(
        "macs_per_s",
        Number(*FIGURE, 0.25, quantity="compute", units=("GMAC/s", "GFLOP/s")),
        option="C of every node: 3.75GMAC/s or 7.5GFLOP/s (1 MAC = 2 FLOP).",
        panel=TUNE,
        name="compute",
        label="Computing speed C",
        help="Speed of every node. 1 MAC (a multiply and an add) = 2 FLOP of a data sheet.",
        preset=lambda cluster: cluster.nodes[0].macs_per_s,
        words=speed_words,
    ),
    Setting(
        "memory_bytes",
        Number(*FIGURE, 64.0, True, quantity="memory", units=("MB",), whole=True),
        option="Memory limit of every node: 64MB, 2GiB.",
        panel=TUNE,
        name="memory",
        label="Memory per node",
        help="Weights, receive buffers and activations must fit. 1 MB = 10⁶ bytes.",
        preset=lambda cluster: cluster.nodes[0].memory_bytes,
        words=memory_words,
    ),
    Setting(
        "changes",
        Texts(),
        option="Of the hardware, repeatable, in this order: bandwidth=2x, link-latency=0.5x, "
        "memory-bandwidth=50GB/s, node-1:compute=2x (one node's), node=+node-1 (one more like it).",
        panel=TUNE,
        name="change",
        metavar="CHANGE",
    ),
    Setting("weight_bits", Number(0.001, 64.0, empty=True), words=weight_words),  # the model's own
    Setting(
        "overlap",
        Flag(),
        option="Hide the shorter of communication and computation.",
        panel=COST,
        label="Overlap communication and computation",
        help="A layer then takes the longer of the two, not their sum.",
        section="conventions",
        words=overlap_words,
    ),
    Setting(
        "casting",
        OneOf(get_args(Casting)),
        option="unicast or broadcast.",
        panel=COST,
        label="Casting",
        help="Of the features of a layer: each receiver gets its own, or all get the same.",
        preset=lambda cluster: cluster.casting,
    ),
    Setting(
        "medium",
        OneOf(get_args(Medium)),
        option="full_duplex, half_duplex or shared.",
        panel=COST,
        label="Medium",
        preset=lambda cluster: cluster.medium,
        words=medium_words,
    ),
    Setting(
        "collective",
        OneOf(get_args(Collective)),
        option="How a group exchanges: direct, in-series, ring, tree, star or best.",
        panel=COST,
        label="Collectives",
        help="Direct: all messages at once, one delay. In series: one after another. Ring, tree: "
        "passed on, n - 1 and log2(n) delays. Star: through the group's first node. "
        "Best: the fastest of direct, ring and tree, exchange by exchange.",
        preset=lambda cluster: cluster.collective,
    ),
    Setting(
        "shares",
        OneOf(get_args(Shares)),
        default="either",
        option="In which ratio unlike nodes share out a layer: by-time, equal, or either of them, "
        "whichever is faster.",
        panel=COST,
        label="Shares",
        help="Of unlike nodes. By time: as long as each takes for the layer. Equal: what a fast "
        "node would send beside its own part is less. Either: the faster plan of both.",
        words="{} shares",
    ),
    Setting(
        "message_bits",
        Number(0.001, 64.0, 1.0, empty=True),
        option="Of every element that nodes send each other, such as 8 (default: as computed).",
        panel=COST,
        metavar="BITS",
        label="Bits per element in messages",
        help="Of activations on the wire; memory holds them as they are computed, and the "
        "model's inputs keep their size.",
        section="conventions",
        placeholder="as computed",
        words="{:g}-bit messages",
    ),
    Setting(
        "share_inputs",
        Flag(),
        option="Layers that read one tensor share its transmission.",
        panel=COST,
        label="Share transmissions",
        help="Layers that read one tensor share its transmission.",
        section="conventions",
        words="shared transmissions",
    ),
    Setting(
        "count_input",
        Flag(),
        option="Charge sending the input out.",
        panel=COST,
        label="Count the input",
        help="Charge sending the input to the nodes.",
        section="conventions",
        words="input sent out",
    ),
    Setting(
        "count_output",
        Flag(),
        option="Charge sending the output back.",
        panel=COST,
        label="Count the output",
        help="Charge sending the output back to the source.",
        section="conventions",
        words="output sent back",
    ),
    Setting(
        "split_points",
        Texts(),
        option="First layer of a block group, in place of the model's own groups; repeatable.",
        panel=COST,
        commands=("compare",),
        metavar="LAYER",
    ),
    Setting(
        "parallelism",
        OneOf(get_args(Parallelism)),
        default="hybrid",
        option="within-layer (one stage), pipeline (one node a stage) or hybrid.",
        commands=("plan", "pareto", "sweep", "needs", "answer", "fits"),
        label="Parallelism",
        help="Hybrid allows what the others do as well.",
        words="{} only",
    ),
    Setting(
        "cut_at",
        OneOf(get_args(CutAt)),
        default="layers",
        option="Where a stage may end: layers, or blocks, of which none is parted.",
        commands=("plan", "pareto", "sweep", "needs"),
        label="Cut at",
        help="Layers: between any two. Blocks: a transformer's or ResNet's blocks stay whole, as "
        "runtimes have them that load block by block.",
        words="cut at {}",
    ),
    Setting(
        "ways",
        SomeOf(WAYS),
        default=WAYS,
        option=f"In which a layer may run on several nodes: {', '.join(WAYS)}; parted by commas "
        "or repeated (default: all). features alone is DISCO.",
        commands=("plan", "compare", "pareto", "sweep", "needs"),
        metavar="WAY,WAY,...",
        label="Ways to run a layer",
        start=",".join(WAYS),
        help="On several nodes. Features: gather inputs, of which some may be dropped. Positions: "
        "own rows or tokens with a halo. Samples: of the batch. Sums: parts of a sum. Outputs: own "
        "outputs of a whole input. Whole: every node does all. None chosen: all ways.",
        words=ways_words,
    ),
    Setting(
        "objective",
        OneOf(get_args(Objective)),
        default="latency",
        option="latency or throughput.",
        panel=LIMITS,
        commands=("plan", "compare", "sweep"),
        label="Goal",
        look="segments",
        words=objective_words,
    ),
    Setting(
        "max_accuracy_drop",
        Number(0.0, 1e6, 0.1, True),
        option="Points of the task's metric that training may cost. Without a limit nothing is "
        "dropped (plan, sweep, needs); compare and pareto take 0.5 where they need one.",
        panel=LIMITS,
        bounds=(0.0, None),
        label="Accuracy limit (points lost)",
        help="Points of the task's metric that may be lost in training. Empty: nothing is dropped, "
        "and no weight changes.",
        key="limit",
        placeholder="none: no training",
        words="at most {:g} points lost",
    ),
    Setting(
        "accuracy_model",
        Text(),
        option="What sparsity costs. curve:NAME or curve:NAME/RULE: a published curve spread over "
        "the layers (by default the catalogue model's own). csv:FILE: measured sensitivities "
        "(layer,sparsity,loss). energy:FILE: L1 energy of the weights in a .safetensors, .pt "
        "or .onnx file. none: no model.",
        panel=LIMITS,
        metavar="KIND:SOURCE",
        words=loss_words,
    ),
    Setting(
        "max_energy_loss",
        Number(0.0, 1.0, 0.05, True),
        option="With energy:FILE, the share of the weights' L1 mass that may be pruned. Without a "
        "limit nothing is (plan, sweep, needs); compare and pareto take 0.1 where they need one.",
        panel=LIMITS,
        bounds=(0.0, 1.0),
        label="Energy limit (share pruned)",
        help="Share of the weights' L1 mass that may be pruned; it says nothing in points. Empty: "
        "nothing is dropped, and no weight changes.",
        key="energy_limit",
        placeholder="none: no training",
        words="at most {:.3g} of the weights' energy pruned",
    ),
    Setting(
        "max_sparsity",
        Number(0.0, 1.0, 0.05, True),
        option="S_comm that layers which gather may have, without any accuracy model: what that "
        "costs is then unknown (default: nothing is dropped).",
        panel=LIMITS,
        name="sparsity",
        commands=("plan",),
        bounds=(0.0, 1.0),
        label="Sparsity allowed (S_comm)",
        help="What layers that gather may drop without any limit on the accuracy: the model must "
        "be trained, and what that costs is unknown.",
        section="limits",
        placeholder="none: no training",
        words=dropping_words,
    ),
    Setting(
        "max_latency_s",
        Number(SMALLEST, 1e9, 10.0, True, quantity="time", units=("ms",)),
        option="Such as 200ms.",
        panel=LIMITS,
        name="max_latency",
        label="Latency limit (ms)",
        help="Seconds for one input, at most.",
        placeholder="none",
        words="at most {:g} ms",
    ),
    Setting(
        "min_throughput_per_s",
        Number(SMALLEST, 1e9, 1.0, True, above="inputs per second"),
        option="Inputs per second.",
        panel=LIMITS,
        name="min_throughput",
        bounds=(0.0, None),
        label="Throughput limit (inputs/s)",
        help="Inputs per second, at least.",
        placeholder="none",
        words="at least {:g} inputs/s",
    ),
    *WORKLOAD,
    Setting(
        "solver",
        OneOf(get_args(Solver)),
        default="auto",
        option="auto, ilp or exhaustive.",
        panel=SOLVER,
        commands=("plan", "answer"),
    ),
    Setting(
        "time_limit_s",
        Number(0.001, LARGEST),
        default=60.0,
        option="Seconds for the whole call; then the best plan so far is shown with its gap.",
        panel=SOLVER,
        name="time_limit",
        bounds=(0.001, None),
    ),
)
"""Of the core, in the order of an answer's words; a command's help has them by panel."""

PAGE: tuple[Setting, ...] = (
    Setting(
        "source",
        OneOf((CATALOGUE, FILE)),
        CATALOGUE,
        label="Where the model comes from",
        look="hidden",
    ),
    Setting(
        "model", OneOf((*model_names(), *language_names())), "resnet50", label="Catalogue model"
    ),
    Setting(
        "one_pass",
        Flag(),
        label="Count one forward pass instead",
        help="Of a causal model's config.json: one pass through the network at the input shapes "
        "(planner plan), in place of a prompt and its answer (planner answer).",
    ),
    Setting(
        "cluster",
        OneOf((*cluster_names(), OWN_CLUSTER)),
        "small-nodes",
        label="Preset",
        help="Fills in everything in this section. The view Devices edits nodes and links one "
        "by one, and saves and loads presets.",
    ),
    Setting(
        "shapes",
        Text(),
        "",
        label="Input shapes",
        help="NAME=DIM,DIM,… for inputs with open dimensions, parted by spaces "
        "(--input-shape on the command line).",
        placeholder="image=1,3,224,224",
    ),
    Setting(
        "batch",
        Number(1, 1_000_000, empty=True, whole=True),
        label="Batch",
        help="Dimension 0 of every input.",
        placeholder="as the model has it",
    ),
    Setting(
        "weight_bits",
        Number(0.001, 64.0, 0.5, empty=True),
        label="Bits per weight",
        help="Of every weight with its scales, such as 4.5 or 8.5; biases and norms keep theirs.",
        placeholder="as the model has them",
    ),
    Setting(
        "node_choice",
        OneOf(("up to", EXACTLY)),
        "up to",
        label="How many of the nodes work",
        look="hidden",
    ),
    Setting(
        "accuracy",
        OneOf((NO_MODEL, *curve_names(), CSV_FILE, ENERGY_FILE)),
        label="Accuracy model",
        help="What sparsity costs in accuracy. Without one nothing is dropped.",
    ),
    Setting(
        "rule",
        OneOf(SPREADING_RULES),
        DEFAULT_RULE,
        label="Spreading rule",
        help="An assumption: the curve was measured for the whole network on two nodes.",
    ),
    Setting("layers", OneOf(LAYER_VIEWS), "plan", label="Show the layers of", look="hidden"),
    Setting(
        "measure",
        OneOf(("latency", "throughput", "accuracy drop", "memory")),
        "latency",
        label="Measure",
        look="hidden",
    ),
    Setting("bars", Number(1, MOST_NODES, empty=True, whole=True), label="On how many nodes"),
    Setting(
        "trade",
        OneOf(get_args(Trade)),
        "accuracy",
        label="What is traded against the latency",
        look="hidden",
    ),
    Setting(
        "points",
        Number(2, 40, whole=True),
        12,
        label="Points at most",
        help="How many plans of the frontier are looked for.",
    ),
    Setting("over", OneOf(get_args(Quantity)), "bandwidth", label="What is varied", look="hidden"),
    Setting("reach", OneOf(("2×", "8×", "32×")), "8×", label="How far", look="hidden"),
    Setting("needs", OneOf(get_args(Resource)), "bandwidth", label="Of what", look="hidden"),
    Setting(
        "target",
        Number(SMALLEST, 1e9, 10.0, True),
        label="Target latency (ms)",
        help="For one input. The other limits hold as well.",
        placeholder="such as 100",
    ),
    Setting(
        "send", OneOf(("overlapped", "blocking")), "overlapped", label="Sending", look="segments"
    ),
)
"""What the page alone has: the model, and what its views show."""


def taken_by(command: str) -> tuple[Setting, ...]:
    """The settings that are options of a command, those of few commands first, by panel."""
    taken = [x for x in SETTINGS if x.option and command in (x.commands or (command,))]
    if command in OF_LANGUAGE:
        taken = [x for x in taken if x.panel != LIMITS and x.field not in _NOT_OF_LANGUAGE]
    return tuple(sorted(taken, key=lambda x: 0 if x.commands else 1 + PANELS.index(x.panel)))


def asked_of(is_language: bool) -> tuple[Setting, ...]:
    """The settings of one kind of model: of a prompt and its answer, or of one forward pass."""
    taken = taken_by("answer") if is_language else tuple(x for x in SETTINGS if x not in WORKLOAD)
    return tuple(x for x in SETTINGS if x in taken or not x.option)


def say_settings(case: Case, request: Request, *, is_language: bool = False) -> tuple[str, ...]:
    """Every setting of an answer, tuned and with its defaults, in a few words each."""
    said = (_say(setting, case, request) for setting in asked_of(is_language))
    return tuple(filter(None, said))


def _say(setting: Setting, case: Case, request: Request) -> str:
    if callable(setting.words):
        return setting.words(case, request)
    value = core_value(setting.field, request, case.settings)
    if value is None or value == setting.default:
        return ""
    return setting.words.format(setting.kind.to_control(value))
