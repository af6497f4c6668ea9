"""One cluster of what was measured on its nodes and between them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from planner.domain.cluster import Cluster, Figure, Link, Medium, Node, PairLink
from planner.errors import BadInputError
from planner.measure.parts import LinkMeasurement, Messages, NodeMeasurement, PairMeasurement, Rate

ALIKE = 0.1
"""Links of which no rate or delay is farther off than this, or than its interval, are one kind."""


@dataclass(frozen=True)
class GivenLink:
    """A link that was not measured.

    Attributes
    ----------
    link : Link
    medium : str
    figures : tuple of Figure
        Where its numbers come from.
    """

    link: Link
    medium: Medium
    figures: tuple[Figure, ...]


def join(
    parts: Sequence[NodeMeasurement], links: LinkMeasurement | GivenLink, *, name: str
) -> Cluster:
    """The cluster of nodes in the order that they are given; the first one holds the input.

    Of one node a figure is called as its field is, of several with the node's name before it.

    Parameters
    ----------
    parts : sequence of NodeMeasurement
    links : LinkMeasurement or GivenLink
        Measured between exactly these nodes, or the same link between all.
    name : str
        The cluster's.

    Raises
    ------
    BadInputError
        A measurement was cut off, two are of one node, or the links are of other nodes.
    """
    if not parts:
        raise BadInputError("no measurement of a node: a cluster needs one or more")
    names = [part.name for part in parts]
    for part in parts:
        if not part.complete:
            raise BadInputError(f"{part.name}: its measurement was cut off; measure it again")
        if names.count(part.name) > 1:
            raise BadInputError(
                f"{part.name}: two measurements are of a node of that name; give each node its own "
                "(planner measure node --name)"
            )
    nodes = [part.node for part in parts]
    figures = [
        figure.model_copy(update={"key": f"{part.name}.{figure.key}"}) if len(parts) > 1 else figure
        for part in parts
        for figure in part.figures
    ]
    if isinstance(links, GivenLink):
        return Cluster(
            name=name,
            description=_description(parts),
            nodes=tuple(nodes),
            link=links.link,
            medium=links.medium,
            figures=(*figures, *links.figures),
        )
    _check_links(links, names)
    software = {one.name: one for one in links.messages}
    nodes = [_with_messages(node, software[node.name]) for node in nodes]
    figures += [figure for node in nodes for figure in _message_figures(node, links, len(nodes))]
    pairs = [pair for pair in links.pairs if set(pair.between) <= set(names)]
    usual = _usual(pairs)
    unlike = tuple(pair for pair in pairs if not _alike(pair, usual))
    return Cluster(
        name=name,
        description=_description(parts),
        nodes=tuple(nodes),
        link=usual,
        pair_links=tuple(
            PairLink(
                between=pair.between,
                bandwidth_bytes_per_s=slower(pair).value,
                latency_s=pair.latency_s.value,
            )
            for pair in unlike
        ),
        medium=links.medium,
        figures=(*figures, *_link_figures(links, usual, pairs, unlike)),
    )


def slower(pair: PairMeasurement) -> Rate:
    """The rate of its slower direction."""
    return min(pair.forward_bytes_per_s, pair.backward_bytes_per_s, key=lambda rate: rate.value)


def _check_links(links: LinkMeasurement, names: Sequence[str]) -> None:
    if not links.complete:
        raise BadInputError("the measurement of the links was cut off; measure them again")
    strange = [name for name in links.names if name not in names]
    missing = [name for name in names if name not in links.names]
    if strange or missing:
        raise BadInputError(
            f"the links were measured among {', '.join(links.names)}, the nodes are "
            f"{', '.join(names)}: measure links with --name as the nodes are called"
        )


def _description(parts: Sequence[NodeMeasurement]) -> str:
    return "Measured: " + "; ".join(
        f"{part.name} ({part.engine}, {part.threads} thread{'s' * (part.threads > 1)})"
        for part in parts
    )


def _with_messages(node: Node, messages: Messages) -> Node:
    return node.model_copy(
        update={
            "message_send_s": messages.send_s.value,
            "message_receive_s": messages.receive_s.value,
        }
    )


def _message_figures(node: Node, links: LinkMeasurement, count: int) -> list[Figure]:
    (messages,) = (one for one in links.messages if one.name == node.name)
    return [
        Figure(
            key=f"{node.name}.{field}" if count > 1 else field,
            origin="measured",
            source=_source(links, "processor time of a message of 4 bytes"),
            low=spread.low,
            high=spread.high,
            measured_at=links.measured_at,
        )
        for field, spread in (
            ("message_send_s", messages.send_s),
            ("message_receive_s", messages.receive_s),
        )
    ]


def _usual(pairs: Sequence[PairMeasurement]) -> Link:
    """The median link."""
    return Link(
        bandwidth_bytes_per_s=float(np.median([slower(pair).value for pair in pairs])),
        latency_s=float(np.median([pair.latency_s.value for pair in pairs])),
    )


def _alike(pair: PairMeasurement, link: Link) -> bool:
    rate, delay = slower(pair), pair.latency_s
    return all(
        spread.low <= usual <= spread.high or abs(spread.value - usual) <= ALIKE * usual
        for spread, usual in ((rate, link.bandwidth_bytes_per_s), (delay, link.latency_s))
    )


def _link_figures(
    links: LinkMeasurement,
    usual: Link,
    pairs: Sequence[PairMeasurement],
    unlike: Sequence[PairMeasurement],
) -> list[Figure]:
    """Of the usual link from all pairs that are like it, and of each other pair."""
    like = [pair for pair in pairs if pair not in unlike] or list(pairs)
    rates, delays = [slower(pair) for pair in like], [pair.latency_s for pair in like]
    how = "rate of the slower direction, long transfers"
    wait = "half a round trip, less the software's time"
    rows = [
        (
            "bandwidth_bytes_per_s",
            how,
            min([usual.bandwidth_bytes_per_s, *(rate.low for rate in rates)]),
            max([usual.bandwidth_bytes_per_s, *(rate.high for rate in rates)]),
        ),
        (
            "latency_s",
            wait,
            min([usual.latency_s, *(delay.low for delay in delays)]),
            max([usual.latency_s, *(delay.high for delay in delays)]),
        ),
    ]
    for pair in unlike:
        prefix = f"{'-'.join(pair.between)}."
        rate, delay = slower(pair), pair.latency_s
        rows.append((f"{prefix}bandwidth_bytes_per_s", how, rate.low, rate.high))
        rows.append((f"{prefix}latency_s", wait, delay.low, delay.high))
    figures = [
        Figure(
            key=key[:256],
            origin="measured",
            source=_source(links, what),
            low=low,
            high=high,
            measured_at=links.measured_at,
        )
        for key, what, low, high in rows
    ]
    figures.append(
        Figure(
            key="medium",
            origin="derived",
            source=_source(links, "both directions, and several pairs, at once against each alone"),
            measured_at=links.measured_at,
        )
    )
    casting = Figure(key="casting", origin="assumed", source="each message has one receiver")
    return [*figures, casting]


def _source(links: LinkMeasurement, what: str) -> str:
    return f"planner measure links, {links.engine}: {what}"[:256]
