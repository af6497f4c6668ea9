"""Every setting that a user has, one row each: the one table that all faces of the planner read.

A row says where its value goes in the core, how it is typed on the command line, which control the
page has for it (and with that its parameter of the address), and how it is said in words. The
command line's options (`app.asking`), the page's controls (`app.page.controls`), the address
(`app.page.address`), the words of an answer (`app.page.setting_words`) and the command that it
shows (`app.page.command`) all follow from here, so that a new setting is one row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from app.kinds import (
    LARGEST,
    SMALLEST,
    Amount,
    Flag,
    Kind,
    Number,
    OneOf,
    Text,
    Texts,
    Value,
    Whole,
)
from app.setting_words import (
    link_words,
    loss_words,
    medium_words,
    memory_words,
    node_words,
    objective_words,
    overlap_words,
    speed_words,
)
from planner.accuracy.spreading import DEFAULT_RULE, SPREADING_RULES
from planner.case import Case
from planner.domain.cluster import Casting, Cluster, Medium
from planner.domain.request import Request
from planner.domain.settings import (
    DEFAULT_MAX_ACCURACY_DROP,
    DEFAULT_MAX_ENERGY_LOSS,
    Objective,
    Parallelism,
)
from planner.strategies.hardware import Quantity
from planner.strategies.needed import Resource
from planner.strategies.pareto import Trade
from profiles.catalog import cluster_names, curve_names, model_names

LIMITS, COST, TUNE, SOLVER = (
    "Objective and limits",
    "Cost conventions",
    "Tune the cluster",
    "Solver",
)
PANELS = (None, LIMITS, COST, TUNE, SOLVER)
"""Of a command's help, in their order."""

MOST_NODES = 16  # on the page
CATALOGUE, FILE = "catalogue", "file"
OWN_CLUSTER = "own"
NO_MODEL = "none"
CSV_FILE, ENERGY_FILE = "csv", "energy"
EXACTLY = "exactly"
LAYER_VIEWS = ("plan", "dense", "uniform 80%", "uniform 90%")


@dataclass(frozen=True)
class Option:
    """A setting on the command line.

    Attributes
    ----------
    help : str
    panel : str, optional
        One of `PANELS`.
    name : str
        Where it is not the field's.
    commands : tuple of str
        The commands that have it; all that take a case without any.
    default : optional
        Where it is not the setting's.
    least, most : float, optional
        What typer lets through.
    metavar : str, optional
    """

    help: str
    panel: str | None = None
    name: str = ""
    commands: tuple[str, ...] = ()
    least: float | None = None
    most: float | None = None
    metavar: str | None = None


@dataclass(frozen=True)
class Control:
    """A setting on the page.

    Attributes
    ----------
    label : str
    help : str, optional
    key : str
        Of the control and in the address, where it is not the field.
    look : {"", "segments", "hidden"}
        For one of some words: a list, a row of buttons, or one without its label.
    section : str
        Whose controls are drawn one below the other; others have a place of their own.
    default : optional
        Where it is not the setting's.
    placeholder : str, optional
        In an empty field.
    """

    label: str = ""
    help: str | None = None
    key: str = ""
    look: Literal["", "segments", "hidden"] = ""
    section: str = ""
    default: Value = None
    placeholder: str | None = None


@dataclass(frozen=True)
class Setting:
    """A row.

    Attributes
    ----------
    field : str
        Of the core: of `Request`, `Limits`, `CostSettings`, `Case` or `tuned_cluster`
        (`app.question.ask` puts it there). A name of its own where the core has none.
    kind : Kind
    default : optional
        Of the option and the control.
    option : Option, optional
    control : Control, optional
    preset : callable, optional
        What a cluster itself has, in the core's form; the control begins there.
    words : str or callable
        How it is said of an answer: a format for the control's value, or a function of case and
        request. Nothing is said of what is empty or off.
    """

    field: str
    kind: Kind
    default: Any = None
    option: Option | None = None
    control: Control | None = None
    preset: Callable[[Cluster], Any] | None = None
    words: str | Callable[[Case, Request], str] = ""

    @property
    def key(self) -> str:
        """Name of the control, and in the address."""
        return (self.control and self.control.key) or self.field

    @property
    def parameter(self) -> str:
        """Name of the option without its dashes."""
        return (self.option and self.option.name) or self.field

    @property
    def flag(self) -> str:
        """The option as it is typed."""
        return f"--{self.parameter.replace('_', '-')}"

    @property
    def usual(self) -> Value:
        """Where the control begins, unless the cluster says so."""
        own: Value = self.control.default if self.control else None
        return self.default if own is None else own


SETTINGS: tuple[Setting, ...] = (
    Setting(
        "exactly",
        Whole(1, MOST_NODES),
        option=Option("Exactly this many nodes.", name="nodes", commands=("plan",), least=1),
    ),
    Setting(
        "max_nodes",
        Whole(1, MOST_NODES),
        option=Option(
            "At most this many nodes, any of them (default: all).",
            commands=("plan", "pareto", "sweep", "needs"),
            least=1,
        ),
        control=Control(
            "Nodes",
            "Up to: fewer nodes may work if that is better. Exactly: that many work. More than "
            "the cluster has are copies of its last one.",
            key="nodes",
        ),
        words=node_words,
    ),
    Setting(
        "bandwidth_bytes_per_s",
        Amount(SMALLEST, LARGEST, 2.5, quantity="bandwidth", units=("MB/s", "Mbit/s")),
        option=Option("B of every link: 37.5MB/s, 300Mbit/s.", TUNE, "bandwidth"),
        control=Control("Bandwidth B", "Of every node's link, in each direction.", key="bandwidth"),
        preset=lambda cluster: cluster.link.bandwidth_bytes_per_s,
        words=link_words,
    ),
    Setting(
        "macs_per_s",
        Amount(SMALLEST, LARGEST, 0.25, quantity="compute", units=("GMAC/s", "GFLOP/s")),
        option=Option(
            "C of every node: 3.75GMAC/s or 7.5GFLOP/s (1 MAC = 2 FLOP).", TUNE, "compute"
        ),
        control=Control(
            "Compute C",
            "Speed of every node. 1 MAC (a multiply and an add) = 2 FLOP of a data sheet.",
            key="compute",
        ),
        preset=lambda cluster: cluster.nodes[0].macs_per_s,
        words=speed_words,
    ),
    Setting(
        "memory_bytes",
        Amount(SMALLEST, LARGEST, 64.0, True, quantity="memory", units=("MB",), is_whole=True),
        option=Option("Memory limit of every node: 64MB, 2GiB.", TUNE, "memory"),
        control=Control(
            "Memory per node",
            "Weights, receive buffers and activations must fit. 1 MB = 10⁶ bytes.",
            key="memory",
        ),
        preset=lambda cluster: cluster.nodes[0].memory_bytes,
        words=memory_words,
    ),
    Setting(
        "overlap",
        Flag(),
        default=False,
        option=Option("Hide the shorter of communication and computation.", COST),
        control=Control(
            "Overlap communication and computation",
            "A layer then takes the longer of the two, not their sum.",
            section="conventions",
        ),
        words=overlap_words,
    ),
    Setting(
        "casting",
        OneOf(get_args(Casting)),
        option=Option("unicast or broadcast.", COST),
        control=Control(
            "Casting", "Unicast: every receiver gets its own features. Broadcast: all get the same."
        ),
        preset=lambda cluster: cluster.casting,
    ),
    Setting(
        "medium",
        OneOf(get_args(Medium)),
        option=Option("full_duplex, half_duplex or shared.", COST),
        control=Control(
            "Medium",
            "Full duplex: each direction has B. Half duplex: both share it. "
            "Shared: all nodes share it.",
        ),
        preset=lambda cluster: cluster.medium,
        words=medium_words,
    ),
    Setting(
        "share_inputs",
        Flag(),
        default=False,
        option=Option("Layers that read one tensor share its transmission.", COST),
        control=Control(
            "Share transmissions",
            "Layers that read one tensor share its transmission.",
            section="conventions",
        ),
        words="shared transmissions",
    ),
    Setting(
        "count_input",
        Flag(),
        default=False,
        option=Option("Charge sending the input out.", COST),
        control=Control(
            "Count the input", "Charge sending the input to the nodes.", section="conventions"
        ),
        words="input sent out",
    ),
    Setting(
        "count_output",
        Flag(),
        default=False,
        option=Option("Charge sending the output back.", COST),
        control=Control(
            "Count the output",
            "Charge sending the output back to the source.",
            section="conventions",
        ),
        words="output sent back",
    ),
    Setting(
        "split_points",
        Texts(),
        option=Option(
            "First layer of a block group, in place of the down-sampling rule; repeatable.",
            COST,
            commands=("compare",),
            metavar="LAYER",
        ),
    ),
    Setting(
        "parallelism",
        OneOf(get_args(Parallelism)),
        default="hybrid",
        option=Option(
            "within-layer (one stage), pipeline (one node a stage) or hybrid.",
            commands=("plan", "pareto", "sweep", "needs"),
        ),
        control=Control(
            "Parallelism",
            "Within-layer: one stage on all nodes. Pipeline: one node a stage. Hybrid: anything "
            "between, the best of all.",
        ),
        words="{} only",
    ),
    Setting(
        "objective",
        OneOf(get_args(Objective)),
        default="latency",
        option=Option("latency or throughput.", LIMITS, commands=("plan", "compare", "sweep")),
        control=Control(
            "Objective",
            "Least time for one input, or most inputs per second in steady state.",
            look="segments",
        ),
        words=objective_words,
    ),
    Setting(
        "max_accuracy_drop",
        Number(0.0, 1e6, 0.1),
        option=Option(
            "Points of the task's metric; 0.5 by default where an accuracy model is known.",
            LIMITS,
            least=0.0,
        ),
        control=Control(
            "Accuracy limit (points lost)",
            "Points of the task's metric.",
            key="limit",
            default=DEFAULT_MAX_ACCURACY_DROP,
        ),
        words="at most {:g} points lost",
    ),
    Setting(
        "accuracy_model",
        Text(),
        option=Option(
            "What sparsity costs. curve:NAME or curve:NAME/RULE: a published curve spread over "
            "the layers (by default the catalogue model's own). csv:FILE: measured sensitivities "
            "(layer,sparsity,loss). energy:FILE: L1 energy of the weights in a .safetensors, .pt "
            "or .onnx file. none: no model.",
            LIMITS,
            metavar="KIND:SOURCE",
        ),
        words=loss_words,
    ),
    Setting(
        "max_energy_loss",
        Number(0.0, 1.0, 0.05),
        option=Option(
            "With energy:FILE, the share of the weights' L1 mass that may be pruned; "
            "0.1 by default.",
            LIMITS,
            least=0.0,
            most=1.0,
        ),
        control=Control(
            "Energy limit (share pruned)",
            "Share of the weights' L1 mass that may be pruned; it says nothing in points.",
            key="energy_limit",
            default=DEFAULT_MAX_ENERGY_LOSS,
        ),
        words="at most {:.3g} of the weights' energy pruned",
    ),
    Setting(
        "max_latency_s",
        Amount(SMALLEST, 1e9, 10.0, True, quantity="time", units=("ms",)),
        option=Option("Such as 200ms.", LIMITS, "max_latency"),
        control=Control(
            "Latency limit (ms)",
            "Seconds for one input, at most.",
            key="max_latency",
            section="limits",
            placeholder="none",
        ),
        words="at most {:g} ms",
    ),
    Setting(
        "min_throughput_per_s",
        Number(SMALLEST, 1e9, 1.0, True, "inputs per second"),
        option=Option("Inputs per second.", LIMITS, "min_throughput", least=0.0),
        control=Control(
            "Throughput limit (inputs/s)",
            "Inputs per second, at least.",
            key="min_throughput",
            section="limits",
            placeholder="none",
        ),
        words="at least {:g} inputs/s",
    ),
    Setting(
        "solver",
        OneOf(("auto", "ilp", "exhaustive")),
        default="auto",
        option=Option("auto, ilp or exhaustive.", SOLVER, commands=("plan",)),
    ),
    Setting(
        "time_limit_s",
        Number(0.001, LARGEST),
        default=60.0,
        option=Option(
            "Seconds for the whole call; then the best plan so far is shown with its gap.",
            SOLVER,
            "time_limit",
            least=0.001,
        ),
    ),
)
"""Of the core, in the order of an answer's words; a command's help has them by panel."""

PAGE: tuple[Setting, ...] = (
    Setting(
        "source",
        OneOf((CATALOGUE, FILE)),
        CATALOGUE,
        control=Control("Where the model comes from", look="hidden"),
    ),
    Setting("model", OneOf(model_names()), "resnet50", control=Control("Catalogue model")),
    Setting(
        "cluster",
        OneOf((*cluster_names(), OWN_CLUSTER)),
        "small-nodes",
        control=Control(
            "Preset",
            "Fills in everything in this section. The view Hardware edits nodes and links one "
            "by one, and saves and loads presets.",
        ),
    ),
    Setting(
        "shapes",
        Text(),
        "",
        control=Control(
            "Input shapes",
            "NAME=DIM,DIM,… for inputs with open dimensions, parted by spaces "
            "(--input-shape on the command line).",
            placeholder="image=1,3,224,224",
        ),
    ),
    Setting(
        "batch",
        Whole(1, 1_000_000, empty=True),
        control=Control("Batch", "Dimension 0 of every input.", placeholder="as the model has it"),
    ),
    Setting(
        "node_choice",
        OneOf(("up to", EXACTLY)),
        "up to",
        control=Control("How many of the nodes work", look="hidden"),
    ),
    Setting(
        "accuracy",
        OneOf((NO_MODEL, *curve_names(), CSV_FILE, ENERGY_FILE)),
        control=Control(
            "Accuracy model",
            "What sparsity costs in accuracy. Without one nothing limits the sparsity.",
        ),
    ),
    Setting(
        "rule",
        OneOf(SPREADING_RULES),
        DEFAULT_RULE,
        control=Control(
            "Spread over the layers by",
            "An assumption: the curve was measured for the whole network on two nodes.",
        ),
    ),
    Setting(
        "layers", OneOf(LAYER_VIEWS), "plan", control=Control("Show the layers of", look="hidden")
    ),
    Setting(
        "measure",
        OneOf(("latency", "throughput", "accuracy drop", "memory")),
        "latency",
        control=Control("Measure", look="hidden"),
    ),
    Setting("bars", Whole(1, MOST_NODES, empty=True), control=Control("On how many nodes")),
    Setting(
        "trade",
        OneOf(get_args(Trade)),
        "accuracy",
        control=Control("What is traded against the latency", look="hidden"),
    ),
    Setting("points", Whole(2, 40), 12, control=Control("Points at most")),
    Setting(
        "over",
        OneOf(get_args(Quantity)),
        "bandwidth",
        control=Control("What is varied", look="hidden"),
    ),
    Setting("reach", OneOf(("2×", "8×", "32×")), "8×", control=Control("How far", look="hidden")),
    Setting(
        "needs", OneOf(get_args(Resource)), "bandwidth", control=Control("Of what", look="hidden")
    ),
    Setting(
        "target",
        Number(SMALLEST, 1e9, 10.0, True),
        control=Control(
            "Target latency (ms)",
            "For one input. The other limits hold as well.",
            placeholder="such as 100",
        ),
    ),
    Setting(
        "send",
        OneOf(("overlapped", "blocking")),
        "overlapped",
        control=Control("Sending", look="segments"),
    ),
)
"""What the page alone has: the model, and what its views show."""


def taken_by(command: str) -> tuple[Setting, ...]:
    """The settings that are options of a command, those of few commands first, by panel."""
    taken = [x for x in SETTINGS if x.option and command in (x.option.commands or (command,))]
    few = [x for x in taken if x.option and x.option.commands]
    shared = sorted(
        (x for x in taken if x not in few),
        key=lambda x: PANELS.index(x.option.panel if x.option else None),
    )
    return (*few, *shared)
