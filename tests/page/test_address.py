"""What a link carries: read with care, written without what is usual."""

from __future__ import annotations

import re
import string
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from app.kinds import Flag, Kind, Number, OneOf, SomeOf, Text
from app.page import address as page
from app.page.asking import question_of
from app.settings import CSV_FILE, ENERGY_FILE, FILE, OWN_CLUSTER
from profiles.catalog import load_cluster

USUAL = page.defaults({})
DOCUMENT = Path(__file__).parents[2] / "docs" / "page.md"


def test_an_empty_link_is_the_first_page() -> None:
    link = page.read_link({})
    assert link.message == ""
    assert link.values == USUAL
    assert set(link.values) == set(page.CONTROLS)
    assert page.write_link(USUAL) == {}
    assert (USUAL["model"], USUAL["cluster"], USUAL["nodes"]) == ("resnet50", "small-nodes", 4)


def test_the_document_lists_every_parameter() -> None:
    table = DOCUMENT.read_text("utf-8").partition("| parameter | values |")[2].partition("\n\n")[0]
    cells = [line.split(" | ")[0] for line in table.splitlines()]
    assert sorted(re.findall(r"`(\w+)`", " ".join(cells))) == sorted(page.CONTROLS)


def drawn(kind: Kind) -> st.SearchStrategy[page.Value]:
    """Values that a control of a kind may have."""
    if isinstance(kind, Flag):
        return st.booleans()
    if isinstance(kind, OneOf):
        return st.sampled_from([word for word in kind.words if word not in FILES])
    if isinstance(kind, SomeOf):
        some = st.sets(st.sampled_from(kind.words), min_size=1)
        return some.map(lambda chosen: ",".join(word for word in kind.words if word in chosen))
    assert isinstance(kind, Number)
    if kind.typed is int:
        values: st.SearchStrategy[page.Value] = st.integers(int(kind.low), int(kind.high))
    else:
        low, high = (kind.low * 10, kind.high / 10)
        values = st.floats(low, high, allow_subnormal=False).map(lambda x: float(f"{x:.9g}"))
    return st.none() | values if kind.empty else values


FILES = (FILE, OWN_CLUSTER, CSV_FILE, ENERGY_FILE)
changed = st.fixed_dictionaries(
    {},
    optional={
        key: drawn(x.kind) for key, x in page.CONTROLS.items() if not isinstance(x.kind, Text)
    },
)


@given(changed)
def test_a_link_brings_back_every_control(new: dict[str, page.Value]) -> None:
    values = {**page.defaults(new), **new}
    query = page.write_link(values)
    link = page.read_link(query)
    assert link.problems == ()
    assert link.values == values
    for is_language in (False, True):
        asked = [question_of(x, is_language=is_language) for x in (link.values, values)]
        assert asked[0] == asked[1]


@given(
    st.dictionaries(
        st.sampled_from(list(page.CONTROLS)) | st.text(max_size=30),
        st.text(max_size=50)
        | st.sampled_from(["nan", "inf", "-1", "1e999", "{}", "own", "file"])
        | st.text(string.digits, min_size=1, max_size=400),
    )
)
@example({"bandwidth": "1000000000001"})  # more digits than are usually shown
def test_no_link_breaks_the_page(query: dict[str, str]) -> None:
    link = page.read_link(query)
    assert set(link.values) == set(page.CONTROLS)
    assert "\n" not in link.message
    assert len(link.message) < 2000
    again = page.read_link(page.write_link(link.values))
    assert again.problems == ()
    assert again.values == link.values
    question_of(link.values)
    question_of(link.values, is_language=True)


@pytest.mark.parametrize(
    ("key", "text", "words"),
    [
        ("nodes", "-3", "give a whole number from 1 to 16"),
        ("nodes", "17", "give a whole number from 1 to 16"),
        ("bandwidth", "nan", "give a number from 1e-40"),
        ("bandwidth", "0", "give a number from 1e-40"),
        ("limit", "inf", "give a number from 0"),
        ("overlap", "yes", "give 0 or 1"),
        ("prompt", "0", "give a whole number from 1 to 16,777,216"),
        ("context", "1e3", "give a whole number from 1 to 16,777,216 or none"),
        ("requests", "4097", "give a whole number from 1 to 4,096"),
        ("goal", "speed", "give one of answer, first-token, token, tokens-per-second"),
        ("max_token", "0", "give a number from 1e-06"),
        ("cache_bits", "65", "give a number from 0.001 to 64 or none"),
        ("one_pass", "2", "give 0 or 1"),
        ("ways", "rows", "give some of features, positions, samples, sums, outputs, whole"),
        ("ways", "", "give some of features, positions, samples, sums, outputs, whole"),
        ("sparsity", "1.5", "give a number from 0 to 1 or none"),
        ("model", "<script>", "give one of"),
        ("hardware", "{", "is not JSON"),
        ("hardware", "x" * 7000, "7,000 characters; at most 6,000"),
        ("rule", "x" * 301, "301 characters; at most 300"),
        ("cluster", "own", "holds no hardware"),
        ("source", "file", "give it again"),
        ("accuracy", "csv", "give it again"),
        ("colour", "red", "'colour' is no control"),
    ],
)
def test_what_is_refused_is_said_and_stays_usual(key: str, text: str, words: str) -> None:
    link = page.read_link({key: text, "overlap": "1"} if key != "overlap" else {key: text})
    (problem,) = link.problems
    assert words in problem
    if key != "overlap":
        assert link.values == {**USUAL, "overlap": True}
    else:
        assert link.values == USUAL


def test_more_than_three_problems_are_counted() -> None:
    link = page.read_link(dict.fromkeys(("nodes", "bandwidth", "compute", "memory", "limit"), "x"))
    assert len(link.problems) == 5
    assert link.message.count("found 'x'") == 3
    assert link.message.endswith("and 2 more")


def test_a_cluster_of_ones_own_travels_in_the_link() -> None:
    own = load_cluster("arm-wireless").model_copy(update={"name": "mine"})
    slow = own.nodes[1].model_copy(update={"macs_per_s": 1e9})
    own = own.model_copy(update={"nodes": (own.nodes[0], slow, *own.nodes[2:])})
    values = page.defaults({"cluster": "own", "hardware": own.model_dump_json()})
    query = page.write_link(values)
    assert query["cluster"] == "own"
    assert len(query["hardware"]) < 1000
    link = page.read_link(query)
    assert link.message == ""
    found = page.chosen_cluster(link.values)
    assert found.nodes == own.nodes
    assert (found.name, found.medium, found.link) == ("mine", "shared", own.link)
    assert link.values["nodes"] == 4
