"""``planner catalog``: what ships, as tables and as documents."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from operator import attrgetter
from typing import Annotated, Any

import typer

from app import options
from app.render import Format, emit
from app.tables import Table, scaled, tabulate
from planner.domain.workload import Workload
from planner.errors import BadInputError
from planner.language import cache_token_bytes, phases_of
from profiles.catalog import (
    cluster_names,
    curve_names,
    language_names,
    load_cluster,
    load_curve,
    load_language,
    load_model,
    model_names,
)
from profiles.devices import Kind, device_names, link_names, load_device, load_link


def _models() -> Table:
    return tabulate(
        "models",
        map(load_model, model_names()),
        {
            "model": attrgetter("name"),
            "input": lambda x: "×".join(map(str, x.inputs[0].shape)),
            "MACs": attrgetter("totals.macs"),
            "parameters": attrgetter("totals.params"),
            "source": attrgetter("provenance.source"),
        },
    )


def _clusters() -> Table:
    memory = scaled("memory_bytes", 1e-6)
    return tabulate(
        "clusters",
        map(load_cluster, cluster_names()),
        {
            "cluster": attrgetter("name"),
            "nodes": lambda x: len(x.nodes),
            "C (GMAC/s)": lambda x: x.nodes[0].macs_per_s / 1e9,
            "B (MB/s)": lambda x: x.link.bandwidth_bytes_per_s / 1e6,
            "memory (MB)": lambda x: memory(x.nodes[0]),
            "medium": attrgetter("medium"),
            "description": attrgetter("description"),
        },
        "every figure with its source: planner catalog clusters --format json",
    )


def _curves() -> Table:
    return tabulate(
        "accuracy",
        map(load_curve, curve_names()),
        {
            "curve": attrgetter("name"),
            "metric": attrgetter("metric"),
            "dense": attrgetter("dense"),
            "S_comm": lambda x: (
                f"{x.disco[0].sparsity_percent:g} to {x.disco[-1].sparsity_percent:g} %"
            ),
            "default for": lambda x: ", ".join(x.models),
            "source": attrgetter("source"),
        },
    )


def _devices() -> Table:
    return tabulate(
        "devices",
        map(load_device, device_names()),
        {
            "device": attrgetter("name"),
            "C (GMAC/s)": scaled("macs_per_s", 1e-9),
            "C is": attrgetter("speed"),
            "memory (GB)": scaled("memory_bytes", 1e-9),
            "memory bandwidth (GB/s)": scaled("memory_bytes_per_s", 1e-9),
            "time per layer (µs)": lambda x: x.layer_overhead_s * 1e6 or None,
            "figures are": _origins,
            "description": attrgetter("description"),
        },
        "peak: of a data sheet; reached: published; "
        "every figure with its source: planner catalog devices --format json",
    )


def _links() -> Table:
    return tabulate(
        "links",
        map(load_link, link_names()),
        {
            "link": attrgetter("name"),
            "B (MB/s)": scaled("bandwidth_bytes_per_s", 1e-6),
            "B is": attrgetter("speed"),
            "delay (µs)": lambda x: x.latency_s * 1e6 or None,
            "medium": attrgetter("medium"),
            "figures are": _origins,
            "description": attrgetter("description"),
        },
        "peak: of a data sheet or standard; reached: published; delay: of one message; "
        "every figure with its source: planner catalog links --format json",
    )


def _origins(kind: Kind) -> str:
    """What the figures are, the most first: ``derived 3, measured 1``."""
    found = Counter(figure.origin for figure in kind.figures)
    return ", ".join(f"{origin} {count}" for origin, count in found.most_common())


def _language() -> Table:
    one = Workload(prompt=1, answer=1)
    return tabulate(
        "language models",
        map(load_language, language_names()),
        {
            "model": attrgetter("name"),
            "parameters (G)": lambda x: phases_of(x, one).step.totals.params / 1e9,
            "blocks": lambda x: len(x.order),
            "hidden": attrgetter("hidden"),
            "context": attrgetter("context"),
            "cache (kB a token)": lambda x: (
                sum(cache_token_bytes(x, block.attention) for block in x.blocks) / 1e3
            ),
            "experts": lambda x: "yes" if x.has_experts else None,
        },
        "cache: of 16-bit keys and values; planner answer and planner fits take these names",
    )


def _model_documents() -> list[Any]:
    return [
        {"name": name, "totals": load_model(name).totals.model_dump(mode="json")}
        for name in model_names()
    ]


CATALOG: dict[str, tuple[Callable[[], Table], Callable[[], list[Any]]]] = {
    "models": (_models, _model_documents),
    "clusters": (
        _clusters,
        lambda: [load_cluster(name).model_dump(mode="json") for name in cluster_names()],
    ),
    "accuracy": (
        _curves,
        lambda: [load_curve(name).model_dump(mode="json") for name in curve_names()],
    ),
    "devices": (
        _devices,
        lambda: [
            load_device(name).model_dump(mode="json", exclude_unset=True) for name in device_names()
        ],
    ),
    "links": (
        _links,
        lambda: [
            load_link(name).model_dump(mode="json", exclude_unset=True) for name in link_names()
        ],
    ),
    "language": (
        _language,
        lambda: [load_language(name).model_dump(mode="json") for name in language_names()],
    ),
}
"""What ships: how it is tabulated, and as documents."""


def catalog(
    kind: Annotated[
        str | None,
        typer.Argument(
            help="models, clusters, accuracy, devices, links or language (default: all)."
        ),
    ] = None,
    output: options.Output = Format.table,
) -> None:
    """List what ships, with sources: models, clusters, accuracy curves, devices and links."""
    if kind is not None and kind not in CATALOG:
        raise BadInputError(f"KIND {kind!r}: give one of {', '.join(CATALOG)}")
    kinds = [kind] if kind else list(CATALOG)
    if output is Format.json:
        documents = {name: CATALOG[name][1]() for name in kinds}
        emit(output, CATALOG[kinds[0]][0](), documents)
        return
    for name in kinds:
        emit(output, CATALOG[name][0](), None)
