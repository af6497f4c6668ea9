"""Every field of every document that the page edits survives it, and an edit changes one alone.

Documents are drawn from their models, so that a new field is tested as soon as it exists.
"""

from __future__ import annotations

import types
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from app.page.hardware import edit_cluster, link_columns, link_sheet, node_sheet
from app.page.sheet import Column, Sheet, blank_of
from app.page.source_text import COLUMNS, sources_of, text_of
from planner.domain.cluster import BY_KIND, Cluster, Figure, Link, Node, PairLink
from planner.simulation.scenario import Poisson, SourceSpec

UNITS = st.sampled_from((("MB/s", "GMAC/s"), ("Mbit/s", "GFLOP/s")))


def documents(model: type[BaseModel], **known: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """Any document of a model, with given strategies for some of its fields."""
    fields = {
        name: known[name] if name in known else values(info.annotation, bounds(info))
        for name, info in model.model_fields.items()
    }
    return st.fixed_dictionaries(fields).map(model.model_validate)


def bounds(info: FieldInfo) -> dict[str, Any]:
    return {name: x for part in info.metadata for name, x in vars_of(part).items()}


def vars_of(part: Any) -> dict[str, Any]:
    return {
        name: x for name in ("gt", "ge", "lt", "le") if (x := getattr(part, name, None)) is not None
    }


def values(annotation: Any, known: dict[str, Any]) -> st.SearchStrategy[Any]:
    """Any value of an annotation that is within its bounds."""
    origin, inner = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        info = inner[1]
        return values(inner[0], known | (bounds(info) if isinstance(info, FieldInfo) else {}))
    if origin in (Union, types.UnionType):
        return st.one_of(st.none() if x is types.NoneType else values(x, known) for x in inner)
    if origin is Literal:
        return st.sampled_from(inner)
    if origin is tuple:
        return st.tuples(*(values(x, {}) for x in inner))
    if origin is dict:
        return st.dictionaries(values(inner[0], {}), values(inner[1], {}), max_size=2)
    if annotation is bool:
        return st.booleans()
    if annotation is str:
        return st.text("abcé_.-0 '", min_size=1, max_size=8).map(str.strip).filter(bool)
    if annotation is int:
        most = min(known.get("lt", known.get("le", 10**15)), 10**15)
        return st.integers(max(known.get("gt", -1) + 1, known.get("ge", 0)), most)
    assert annotation is float, annotation
    least = known.get("gt", known.get("ge", 0.0))
    return st.floats(least, 1e29, exclude_min="gt" in known, allow_subnormal=False).filter(
        lambda x: x == 0 or x > 1e-12
    )


@st.composite
def clusters(draw: st.DrawFn) -> Cluster:
    """Any cluster; only what must fit together is chosen to."""
    node = documents(Node, host=st.none())
    nodes = draw(st.lists(node, min_size=1, max_size=4, unique_by=lambda x: x.name))
    names = [node.name for node in nodes]
    ends = st.tuples(st.sampled_from(names), st.sampled_from(names)).filter(lambda x: x[0] != x[1])
    pairs = st.lists(
        documents(PairLink, between=ends), max_size=3, unique_by=lambda x: frozenset(x.between)
    )
    return draw(
        documents(
            Cluster,
            description=st.text(max_size=5),
            nodes=st.just(tuple(nodes)),
            link=documents(Link),
            pair_links=pairs.map(tuple) if len(names) > 1 else st.just(()),
            source_node=st.none() | st.sampled_from(names),
            figures=st.lists(documents(Figure), max_size=2).map(tuple),
        )
    )


SOURCES = st.lists(
    documents(SourceSpec, arrivals=documents(Poisson, total=st.integers(1, 9999))),
    min_size=1,
    max_size=3,
).map(lambda found: [source.model_dump() for source in found])

ANY = settings(suppress_health_check=[HealthCheck.too_slow])


@ANY
@given(clusters(), UNITS)
def test_a_cluster_that_nobody_edited_is_unchanged(
    cluster: Cluster, units: tuple[str, str]
) -> None:
    assert edit_cluster(cluster, units, nodes={}, links={}).cluster == cluster
    node_sheet(cluster, units[1]).rows([node.model_dump() for node in cluster.nodes])
    clicked = edit_cluster(cluster, units, links={"added_rows": [{}]})
    assert (clicked.cluster, clicked.begun) == (cluster, ())


def test_what_is_typed_again_as_it_was_is_no_edit() -> None:
    units = ("MB/s", "GMAC/s")
    sheet = node_sheet(UNEDITED, units[1])
    (row,) = sheet.rows([node.model_dump() for node in UNEDITED.nodes])
    link = {
        column.key: column.show(UNEDITED.link.model_dump()) for column in link_columns(units[0])
    }
    again = edit_cluster(UNEDITED, units, nodes={"edited_rows": {0: row}}, link=link)
    assert again.cluster == UNEDITED
    other = edit_cluster(UNEDITED, units, nodes={"edited_rows": {0: row | {"macs_per_s": "2"}}})
    assert [figure.key for figure in other.cluster.figures] == ["macs_per_s"]


def fields_of(sheet: tuple[Column, ...], model: type[BaseModel]) -> None:
    """No field of a model is without a column."""
    # names of their own, whose rates follow C; and what a node has whole or not at all
    assert {column.path[0] for column in sheet} == {*model.model_fields} - {*BY_KIND, "host"}


def test_every_field_of_a_node_a_link_and_a_source_has_a_column() -> None:
    fields_of(node_sheet(UNEDITED, "GMAC/s").columns, Node)
    fields_of(link_sheet("MB/s").columns, PairLink)
    fields_of(link_columns("MB/s"), Link)
    fields_of(COLUMNS, SourceSpec)


UNEDITED = Cluster(
    name="c",
    nodes=(Node(name="a", macs_per_s=1e9, seconds_per_param=2e-9),),
    link=Link(bandwidth_bytes_per_s=1e6),
)


@ANY
@given(clusters(), UNITS, st.data())
def test_one_cell_of_a_node_changes_one_field(
    cluster: Cluster, units: tuple[str, str], data: st.DataObject
) -> None:
    column = data.draw(st.sampled_from(node_sheet(cluster, units[1]).columns))
    index = data.draw(st.integers(0, len(cluster.nodes) - 1))
    cell = data.draw(st.sampled_from(("3", "2.5e1", "17")))
    changes = {"edited_rows": {str(index): {column.key: cell}}}
    expected = cluster.model_dump()
    new = column.read(cell, "here")
    column.put(expected["nodes"][index], new)
    if column.key == "name":  # what names the node follows
        old = cluster.nodes[index].name
        assume(new not in {node.name for node in cluster.nodes})
        for pair in expected["pair_links"]:
            pair["between"] = tuple(new if end == old else end for end in pair["between"])
        if expected["source_node"] == old:
            expected["source_node"] = new
    else:
        expected["figures"] = sourced(expected["figures"], column)
    if column.key in ("macs_per_s", "memory_bytes_per_s"):  # the rates of kinds follow it
        node = cluster.nodes[index].with_figure(column.key, new)
        of_kinds = f"{column.key}_by_kind"
        expected["nodes"][index][of_kinds] = getattr(node, of_kinds)
    built = edit_cluster(cluster, units, nodes=changes).cluster
    assert built == Cluster.model_validate(expected)


def sourced(figures: tuple[dict[str, str], ...], column: Column) -> list[dict[str, str]]:
    """Where figures come from after one was typed."""
    if column.is_text:
        return list(figures)
    typed = {"key": column.key, "origin": "assumed", "source": "typed on the page"}
    return [*(figure for figure in figures if figure["key"] != column.key), typed]


@ANY
@given(clusters(), UNITS, st.data())
def test_one_cell_of_a_link_changes_one_field(
    cluster: Cluster, units: tuple[str, str], data: st.DataObject
) -> None:
    numbers = link_columns(units[0])
    column = data.draw(st.sampled_from(numbers))
    cell = data.draw(st.sampled_from(("3", "2.5e1", "17")))
    expected = cluster.model_dump()
    expected["figures"] = sourced(expected["figures"], column)
    if not cluster.pair_links:
        column.put(expected["link"], column.read(cell, "here"))
        built = edit_cluster(cluster, units, link={column.key: cell}).cluster
    else:
        index = data.draw(st.integers(0, len(cluster.pair_links) - 1))
        column.put(expected["pair_links"][index], column.read(cell, "here"))
        changes = {"edited_rows": {index: {column.key: cell}}}
        built = edit_cluster(cluster, units, links=changes).cluster
    assert built == Cluster.model_validate(expected)


@ANY
@given(SOURCES, st.data())
def test_sources_survive_their_text_and_one_cell_changes_one_field(
    sources: list[dict[str, Any]], data: st.DataObject
) -> None:
    assert sources_of(text_of(sources)) == sources
    sheet = Sheet("sources", COLUMNS, blank_of(SourceSpec))
    assert sheet.edit(sources, {}).documents == sources
    column = data.draw(st.sampled_from(COLUMNS))
    index = data.draw(st.integers(0, len(sources) - 1))
    edited = sheet.edit(sources, {"edited_rows": {index: {column.key: "7"}}}).documents
    before = sheet.edit(sources, {}).documents
    column.put(before[index], column.read("7", "here"))
    assert edited == before


@pytest.mark.parametrize("cell", ["", "  ", None])
def test_an_emptied_cell_is_the_fields_default(cell: str | None) -> None:
    changes = {"edited_rows": {0: {"seconds_per_param": cell, "device_type": cell}}}
    (node,) = edit_cluster(UNEDITED, ("MB/s", "GMAC/s"), nodes=changes).cluster.nodes
    assert node == Node(name="a", macs_per_s=1e9)
