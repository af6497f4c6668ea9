"""Kinds of devices and links that people own, and clusters made of them.

They are JSON files in ``profiles/library/devices`` and ``profiles/library/links``, written by hand.
A kind has the fields of a node or of a link and, for every figure that it gives, where that comes
from; what no source is known for is left out.
"""

from __future__ import annotations

import itertools
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.resources import files
from typing import Literal, Self, TypeVar

from pydantic import Field, ValidationError, model_validator

from planner.domain.arrays import Frozen
from planner.domain.cluster import Cluster, Figure, Link, Medium, Name, Node
from planner.errors import BadInputError
from profiles.files import allowed_names, first_problem, read_document

MOST_NODES = 256
"""What a cluster may have."""

NOT_COUNTED = "none: no published figure is known"


class Kind(Frozen):
    """What kinds of devices and of links have in common."""

    schema_version: Literal[1] = 1
    name: Name
    description: str = Field(min_length=1)
    speed: Literal["peak", "reached"] = Field(
        description="peak: of a data sheet or standard, more than real work reaches; "
        "reached: by a published measurement"
    )
    figures: tuple[Figure, ...]

    @model_validator(mode="after")
    def _every_figure_has_one_source(self) -> Self:
        given = sorted(self.model_fields_set - Kind.model_fields.keys())
        sourced = sorted(figure.key for figure in self.figures)
        if sourced != given:
            raise ValueError(f"figures: found those of {sourced}; one of each of {given} is needed")
        return self

    @property
    def is_peak(self) -> bool:
        """Whether its speed is that of a data sheet or standard alone."""
        return self.speed == "peak"


class DeviceKind(Kind, Node):
    """A kind of device."""

    def node(self, name: str, host: Mapping[str, float]) -> Node:
        """A node of this kind, in a host of these figures."""
        figures = self.model_dump(include=set(Node.model_fields))
        within = {"host": dict(host)} if host else {}
        named = {"name": name, "device_type": self.name}
        return Node.model_validate(figures | within | named)


class LinkKind(Kind, Link):
    """A kind of link."""

    medium: Medium

    @property
    def link(self) -> Link:
        """The link by itself."""
        return Link.model_validate(self.model_dump(include=set(Link.model_fields)))


AnyKind = TypeVar("AnyKind", DeviceKind, LinkKind)


@cache
def device_names() -> tuple[str, ...]:
    """Kinds of devices, sorted."""
    return _names("devices")


@cache
def link_names() -> tuple[str, ...]:
    """Kinds of links, sorted."""
    return _names("links")


@cache
def load_device(name: str) -> DeviceKind:
    """Load a kind of device; an unknown name is a `BadInputError`."""
    return _load("devices", name, DeviceKind, what="device")


@cache
def load_link(name: str) -> LinkKind:
    """Load a kind of link; an unknown name is a `BadInputError`."""
    return _load("links", name, LinkKind, what="link")


def cluster_of(
    devices: Sequence[tuple[str, int]],
    link: str,
    *,
    name: str | None = None,
    host: Mapping[str, float] | None = None,
) -> Cluster:
    """A cluster of devices of some kinds on one kind of link.

    Parameters
    ----------
    devices : sequence of (str, int)
        Kinds and how many of each, in ring order; the first one holds the input.
    link : str
        The kind of link.
    name : str, optional
        The cluster's (default: made of what it holds).
    host : mapping of str to float, optional
        What every node's host has, by field of `Host`.

    Raises
    ------
    BadInputError
        A kind is unknown, a number is not positive, or a cluster cannot have so many nodes or
        such a name.
    """
    counts: Counter[str] = Counter()
    for kind, count in devices:
        load_device(kind)
        if count < 1:
            raise BadInputError(f"{kind}: found {count} nodes; at least 1 is needed")
        counts[kind] += count
    if not 1 <= counts.total() <= MOST_NODES:
        raise BadInputError(f"found {counts.total()} nodes; a cluster has 1 to {MOST_NODES}")
    wire = load_link(link)
    numbers: defaultdict[str, Iterator[int]] = defaultdict(lambda: itertools.count(1))
    asked = ", ".join(f"{count} {kind}" for kind, count in counts.items())
    what = next(iter(counts)) if len(counts) == 1 else "nodes"
    host = host or {}
    try:
        return Cluster(
            name=f"{counts.total()}-{what}-{link}" if name is None else name,
            description=_description(counts, wire, asked),
            nodes=tuple(
                load_device(kind).node(f"{kind}-{next(numbers[kind])}", host)
                for kind, count in devices
                for _ in range(count)
            ),
            link=wire.link,
            medium=wire.medium,
            figures=(
                Figure(key="nodes", origin="assumed", source=f"as asked for: {asked}"[:256]),
                *_device_figures([load_device(kind) for kind in counts]),
                *(
                    Figure(key=f"host.{key}", origin="assumed", source="set by the user")
                    for key in host
                ),
                *_with_absent(wire, "latency_s"),
                Figure(key="casting", origin="assumed", source="each message has one receiver"),
            ),
        )
    except ValidationError as error:  # of what was typed, the name, or half a host
        raise BadInputError(f"cluster: {first_problem(error, Cluster)}") from error


def _description(counts: Mapping[str, int], wire: LinkKind, asked: str) -> str:
    peaks = [kind.name for kind in (*map(load_device, counts), wire) if kind.is_peak]
    text = f"{asked} on {wire.name}, from the planner's catalogue of devices and links."
    if peaks:
        text += f" Peaks, of which real work reaches a part: {', '.join(peaks)}."
    return text


def _device_figures(kinds: Sequence[DeviceKind]) -> list[Figure]:
    """Of one kind under the fields' names; of several each under its kind's as well."""
    return [
        figure
        if len(kinds) == 1
        else figure.model_copy(update={"key": f"{kind.name}.{figure.key}"})
        for kind in kinds
        for figure in _with_absent(kind, "layer_overhead_s")
    ]


def _with_absent(kind: DeviceKind | LinkKind, key: str) -> tuple[Figure, ...]:
    """The figures, and that a time which decides results is taken as zero where none is known."""
    figures = tuple(
        figure.model_copy(update={"peak": kind.is_peak and figure.key.endswith("_per_s")})
        for figure in kind.figures
    )
    if key in kind.model_fields_set:
        return figures
    return (*figures, Figure(key=key, origin="assumed", source=NOT_COUNTED))


def _names(folder: str) -> tuple[str, ...]:
    entries = (files("profiles") / "library" / folder).iterdir()
    return tuple(
        sorted(
            entry.name.removesuffix(".json") for entry in entries if entry.name.endswith(".json")
        )
    )


def _load(folder: str, name: str, kind: type[AnyKind], *, what: str) -> AnyKind:
    names = _names(folder)
    if name not in names:
        raise BadInputError(f"{what} {name!r}: unknown; {allowed_names(name, names)}")
    content = (files("profiles") / "library" / folder / f"{name}.json").read_bytes()
    return read_document(content, kind, what=f"{what} {name}")
