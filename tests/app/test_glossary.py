"""The one glossary."""

from __future__ import annotations

from app.glossary import glossary_page, term, terms


def test_terms_are_found_by_each_of_their_names() -> None:
    assert term("B") == term("bandwidth") != ""
    assert term("unicast") == term("broadcast")
    assert term("S_comm").startswith("the share of a node's features")
    assert "model.md" not in term("block group") and "](" not in "".join(terms().values())
    assert term("no such term") == ""


def test_every_row_of_the_page_is_a_term() -> None:
    rows = [line for line in glossary_page().splitlines() if line.startswith("| ")]
    names = [name for row in rows[1:] for name in row.split(" | ")[0][2:].split(", ")]
    assert list(terms()) == names and len(set(names)) == len(names)
    assert all(terms().values())
