"""Every control that a link carries: its name, what it may be, and what it is by default.

The name is the control's key in the page's state and the parameter of the address (docs/page.md).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import get_args

from app.page.parameter_kinds import Parameter, Value, choice, flag, number, whole
from app.page.quantities import BANDWIDTH, COMPUTE, MEMORY
from app.page.source_text import rows_of
from planner.accuracy.spreading import DEFAULT_RULE, SPREADING_RULES
from planner.domain.cluster import Cluster
from planner.domain.settings import DEFAULT_MAX_ACCURACY_DROP, DEFAULT_MAX_ENERGY_LOSS
from planner.errors import BadInputError
from planner.strategies.what_if.needed import Resource
from planner.strategies.what_if.quantities import Quantity as SweptQuantity
from profiles.catalog import (
    cluster_names,
    curve_for_model,
    curve_names,
    load_cluster,
    model_names,
)
from profiles.files import one_line, read_document

DEFAULT_MODEL = "resnet50"
DEFAULT_CLUSTER = "small-nodes"
DEFAULT_NODES = 4
MOST_NODES = 16
OWN_CLUSTER = "own"
CATALOGUE, FILE = "catalogue", "file"
NO_MODEL = "none"
CSV_FILE, ENERGY_FILE = "csv", "energy"
SMALLEST = 1e-6  # of a bandwidth or speed, in the unit that is shown
LARGEST = 1e12
LONGEST_HARDWARE = 6000  # characters of a cluster in a link
_TOLD = 3  # problems of a link that are told in full


@dataclass(frozen=True)
class Link:
    """What a link asks for: a value for every control, and what was refused, in one line each."""

    values: dict[str, Value]
    problems: tuple[str, ...]

    @property
    def message(self) -> str:
        """What was refused, in one line; empty when nothing was."""
        if not self.problems:
            return ""
        more = len(self.problems) - _TOLD
        told = "; ".join(self.problems[:_TOLD]) + (f"; and {more} more" if more > 0 else "")
        return f"The link was not understood everywhere, so defaults stand there: {told}"


def _hardware(text: str) -> Value:
    if text:
        own_cluster(text)
    return text


def _sources(text: str) -> Value:
    if text:
        rows_of(text)
    return text


@lru_cache(maxsize=64)
def own_cluster(text: str) -> Cluster:
    """The cluster of a JSON text, as ``--cluster FILE`` reads it."""
    return read_document(text.encode(), Cluster, what="hardware")


LAYER_VIEWS = ("plan", "dense", "uniform 80%", "uniform 90%")
MEASURES = ("latency", "throughput", "accuracy drop", "memory")
SENDS = ("overlapped", "blocking")
SWEPT = get_args(SweptQuantity)
NEEDED = get_args(Resource)
REACHES = ("2×", "8×", "32×")
"""How far a sweep goes to both sides of the present value."""

TRADES = ("accuracy", "throughput")
MEDIA = ("full_duplex", "half_duplex", "shared")
CASTINGS = ("unicast", "broadcast")
PARALLELISMS = ("hybrid", "within-layer", "pipeline")
OBJECTIVES = ("latency", "throughput")
NODE_CHOICES = ("up to", "exactly")

_FIRST = (  # the defaults of the others follow from these
    choice("source", (CATALOGUE, FILE)),
    choice("model", model_names()),
    choice("cluster", (*cluster_names(), OWN_CLUSTER)),
    Parameter("hardware", _hardware, LONGEST_HARDWARE),
    choice(BANDWIDTH.unit_key, BANDWIDTH.units),
    choice(COMPUTE.unit_key, COMPUTE.units),
)
_OTHERS = (
    Parameter("shapes", str),
    whole("batch", 1, 1_000_000, empty=True),
    whole("nodes", 1, MOST_NODES),
    choice("node_choice", NODE_CHOICES),
    number(BANDWIDTH.key, SMALLEST, LARGEST),
    number(COMPUTE.key, SMALLEST, LARGEST),
    number(MEMORY.key, SMALLEST, LARGEST, empty=True),
    choice("medium", MEDIA),
    choice("casting", CASTINGS),
    choice("parallelism", PARALLELISMS),
    choice("objective", OBJECTIVES),
    flag("overlap"),
    flag("share_inputs"),
    flag("count_input"),
    flag("count_output"),
    choice("accuracy", (NO_MODEL, *curve_names(), CSV_FILE, ENERGY_FILE)),
    choice("rule", SPREADING_RULES),
    number("limit", 0.0, 1e6),
    number("energy_limit", 0.0, 1.0),
    number("max_latency", SMALLEST, 1e9, empty=True),
    number("min_throughput", SMALLEST, 1e9, empty=True),
    choice("layers", LAYER_VIEWS),
    choice("measure", MEASURES),
    whole("bars", 1, MOST_NODES, empty=True),
    choice("trade", TRADES),
    whole("points", 2, 40),
    choice("over", SWEPT),
    choice("reach", REACHES),
    choice("needs", NEEDED),
    number("target", SMALLEST, 1e9, empty=True),
    Parameter("sources", _sources, 2000),
    choice("send", SENDS),
)
PARAMETERS = (*_FIRST, *_OTHERS)
KEYS = tuple(parameter.key for parameter in PARAMETERS)


def defaults(values: Mapping[str, Value]) -> dict[str, Value]:
    """What every control is where neither a user nor a link says anything.

    Parameters
    ----------
    values : mapping
        Of the source, the model, the cluster and the units; those that are missing have defaults
        as well.
    """
    found: dict[str, Value] = {
        "source": CATALOGUE,
        "model": DEFAULT_MODEL,
        "cluster": DEFAULT_CLUSTER,
        "hardware": "",
        BANDWIDTH.unit_key: BANDWIDTH.units[0],
        COMPUTE.unit_key: COMPUTE.units[0],
    }
    found.update({key: values[key] for key in found if key in values})
    return {**found, **_cluster_defaults(found), **_model_defaults(found), **_FIXED}


_FIXED: dict[str, Value] = {
    "shapes": "",
    "batch": None,
    "node_choice": "up to",
    "parallelism": "hybrid",
    "objective": "latency",
    "overlap": False,
    "share_inputs": False,
    "count_input": False,
    "count_output": False,
    "rule": DEFAULT_RULE,
    "limit": DEFAULT_MAX_ACCURACY_DROP,
    "energy_limit": DEFAULT_MAX_ENERGY_LOSS,
    "max_latency": None,
    "min_throughput": None,
    "layers": "plan",
    "measure": "latency",
    "bars": None,
    "trade": "accuracy",
    "points": 12,
    "over": "bandwidth",
    "reach": "8×",
    "needs": "bandwidth",
    "target": None,
    "sources": "",
    "send": "overlapped",
}


def _cluster_defaults(values: Mapping[str, Value]) -> dict[str, Value]:
    cluster = chosen_cluster(values)
    most = MOST_NODES if values["cluster"] == OWN_CLUSTER else DEFAULT_NODES
    node = cluster.nodes[0]
    memory = node.memory_bytes
    link = cluster.link.bandwidth_bytes_per_s
    return {
        "nodes": min(most, len(cluster.nodes)),
        BANDWIDTH.key: BANDWIDTH.from_si(link, str(values[BANDWIDTH.unit_key])),
        COMPUTE.key: COMPUTE.from_si(node.macs_per_s, str(values[COMPUTE.unit_key])),
        MEMORY.key: None if memory is None else MEMORY.from_si(memory, MEMORY.units[0]),
        "medium": cluster.medium,
        "casting": cluster.casting,
    }


def _model_defaults(values: Mapping[str, Value]) -> dict[str, Value]:
    return {"accuracy": own_curve(values) or NO_MODEL}


def chosen_cluster(values: Mapping[str, Value]) -> Cluster:
    """The preset, or the user's own cluster, before bandwidth, speed and memory are tuned."""
    name, text = str(values["cluster"]), str(values["hardware"])
    return own_cluster(text) if name == OWN_CLUSTER and text else load_cluster(name)


def own_curve(values: Mapping[str, Value]) -> str | None:
    """The curve published for the chosen catalogue model; an upload's name proves nothing."""
    if values["source"] != CATALOGUE:
        return None
    curve = curve_for_model(str(values["model"]))
    return curve.name if curve else None


def read_link(query: Mapping[str, str], brought: Collection[str] = ()) -> Link:
    """Every control's value for a link's parameters; what is refused stays at its default.

    Parameters
    ----------
    query : mapping of str to str
        Hostile.
    brought : collection of str
        Files that come with it: ``file`` (the model) and kinds of accuracy models. A mere link
        brings none.
    """
    problems: list[str] = []
    known = set(KEYS)
    problems += [f"{one_line(key[:40])!r} is no control" for key in query if key not in known]
    first = _read(_FIRST, query, problems)
    if first.get("cluster") == OWN_CLUSTER and not first.get("hardware"):
        problems.append("cluster: the link holds no hardware of its own")
        del first["cluster"]
    if first.get("source") == FILE and FILE not in brought:
        problems.append("source: the model was a file of somebody's own; give it again")
        del first["source"]
    values = defaults(first)
    values.update(_read(_OTHERS, query, problems))
    if values["accuracy"] in {CSV_FILE, ENERGY_FILE}.difference(brought):
        problems.append("accuracy: it was a file of somebody's own; give it again")
        values["accuracy"] = _model_defaults(values)["accuracy"]
    return Link(values, tuple(problems))


def _read(
    parameters: tuple[Parameter, ...], query: Mapping[str, str], problems: list[str]
) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for parameter in parameters:
        text = query.get(parameter.key)
        if text is None:
            continue
        try:
            if len(text) > parameter.longest:
                raise BadInputError(
                    f"{parameter.key}: {len(text):,} characters; at most {parameter.longest:,}"
                )
            found[parameter.key] = parameter.read(text)
        except BadInputError as error:
            problems.append(one_line(str(error)))
    return found


def write_link(values: Mapping[str, Value]) -> dict[str, str]:
    """The parameters of a link that asks for these values; what is at its default is left out."""
    first = defaults({})
    usual = {**defaults(values), **{parameter.key: first[parameter.key] for parameter in _FIRST}}
    query = {key: _text(values[key]) for key in KEYS if key in values and values[key] != usual[key]}
    if query.get("cluster") != OWN_CLUSTER:
        query.pop("hardware", None)
    elif "hardware" in query:
        bare = own_cluster(query["hardware"]).model_copy(update={"figures": (), "description": ""})
        query["hardware"] = bare.model_dump_json(exclude_defaults=True)
    return query


def _text(value: Value) -> str:
    if value is None:
        return "none"
    if isinstance(value, bool):
        return "1" if value else "0"
    return f"{value:.12g}" if isinstance(value, float) else str(value)
