"""The model itself in the view *Layers*: what was counted, work and bytes, what is not known."""

from __future__ import annotations

import streamlit as st

from app.page.charts.model import graph, work
from app.page.show import chart, table
from app.page.text import count, plain
from app.tables import Table, profile_table
from planner.domain.model_profile import ModelProfile
from planner.units import format_bytes

_DRAWN = 3000  # layers of a graph that a browser still draws at once


def show(profile: ModelProfile) -> None:
    """Draw the view."""
    _summary(profile)
    layers = [
        (number, layer)
        for number, layer in enumerate(profile.layers, start=1)
        if layer.macs or layer.param_bytes
    ]
    if layers:
        st.subheader("Work and bytes, layer by layer", anchor=False)
        chart(
            work(layers),
            profile_table(profile),
            f"{count(len(layers), 'layer').capitalize()} that multiply or hold weights, on log "
            "scales; each on the whole, before it is split over nodes. Derived: counted from the "
            "model's shapes.",
            key="chart_work",
            alt="MACs, bytes of outputs and bytes of weights of every layer, log scale",
        )
    st.subheader("The graph and its skips", anchor=False)
    if len(profile.layers) <= _DRAWN:
        edges = edge_table(profile)
        skips = sum(1 for row in edges.rows if isinstance(row[2], int) and row[2] > 1)
        chart(
            graph(profile),
            edges,
            f"Layers stand in order; {count(skips, 'arc')}: tensors that are read by more than "
            "the next layer, which have to be kept or handed over until then. Large: many MACs. "
            "Colour: how outputs depend on inputs (mixing layers exchange features). Derived from "
            "the model's file.",
            key="chart_graph",
            alt="The model's layers in order, with arcs for tensors that are read further on",
        )
    else:
        st.info(f"{len(profile.layers):,} layers: the table has them all.")
    st.subheader("Every layer", anchor=False)
    table(profile_table(profile), key="table_profile")


def _summary(profile: ModelProfile) -> None:
    """Totals, coverage and everything that the reader should not trust."""
    totals, coverage = profile.totals, profile.coverage
    source = profile.provenance
    lines = [
        f"{totals.macs:,} MACs, {totals.params:,} parameters ({format_bytes(totals.param_bytes)}), "
        f"{count(totals.layers, 'layer')}; from {source.front_end}, {source.source}.",
        "Inputs: "
        + "; ".join(f"{x.name} {'×'.join(map(str, x.shape))} {x.dtype}" for x in profile.inputs)
        + ".",
        f"{coverage.covered_share:.1%} of the operators are counted or known to be free.",
    ]
    witness = coverage.witness
    if witness:
        lines.append(f"{witness.tool} counts {witness.total_macs:,} MACs of the same operators.")
    for line in lines:
        st.markdown(plain(line))
    for difference in witness.differences if witness else ():
        st.warning(plain(difference))
    if coverage.uncounted:
        names = ", ".join(f"{name} ({n})" for name, n in coverage.uncounted.items())
        st.warning(plain(f"Not understood, and so not counted: {names}. They run on one node."))
    notes = [source.note, coverage.witness_note and f"no second count: {coverage.witness_note}"]
    for note in filter(None, notes):
        st.caption(plain(note))


def edge_table(profile: ModelProfile) -> Table:
    """Who reads whose output, and how many layers further on."""
    index = {spec.name: 0 for spec in profile.inputs}
    index.update({layer.name: number for number, layer in enumerate(profile.layers, start=1)})
    return Table(
        "edges",
        ("producer", "reader", "layers further on"),
        tuple(
            (producer, layer.name, number - index[producer])
            for number, layer in enumerate(profile.layers, start=1)
            for producer in layer.inputs
        ),
    )
