"""How a profile's numbers follow from the open sizes of a graph, for its document."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, get_args

from planner.domain.reshaping import GEOMETRIES, Following, Reshaping
from profiles.graph import Graph
from profiles.size import Size, text_of

_FIELDS: tuple[Following, ...] = get_args(Following)
_AXES = {1: "n", 2: "nt", 3: "nct", 4: "nchw", 5: "ncdhw"}
"""Names of an input's dimensions, by their number."""
_WORD = re.compile(r"[A-Za-z_]\w*", re.ASCII)


@dataclass(frozen=True)
class InputCounts:
    """What an input has of everything that counts."""

    features: int
    positions: int
    samples: int


def followed(
    graph: Graph, inputs: Sequence[InputCounts], layers: list[dict[str, Any]]
) -> tuple[Reshaping | None, list[int | None]]:
    """What all layers follow, and which of its ``numbers`` each one does.

    Nothing, where the graph's inputs have no open sizes.

    Parameters
    ----------
    graph : Graph
    inputs : sequence of InputCounts
    layers : list of dict
        Fields of every layer, with `profiles.size.Size` for what follows from open sizes.
    """
    names = _input_names(graph)
    if not names:
        return None, [None] * len(layers)
    names.update(_bracketed(layers, names))
    rows: dict[tuple[tuple[str, str], ...], int] = {}
    scalings: list[int | None] = []
    for fields in layers:
        row = tuple(
            (name, _renamed(size, names, exact="." in name)) for name, size in _open_numbers(fields)
        )
        scalings.append(rows.setdefault(row, len(rows)) if row else None)
    symbols = {old: new for old, new in names.items() if not old.startswith("(")}
    reshaping = Reshaping(
        inputs=tuple(_named(tensor.shape, names) for tensor in graph.inputs),
        features=_named([counts.features for counts in inputs], names),
        positions=_named([counts.positions for counts in inputs], names),
        samples=_named([counts.samples for counts in inputs], names),
        sizes={
            new: _with_words(old[1:-1], symbols)
            for old, new in names.items()
            if old.startswith("(")
        },
        requirements=tuple(
            dict.fromkeys(_with_words(text, symbols) for text in graph.requirements)
        ),
        numbers=tuple(dict(row) for row in rows),
    )
    return reshaping, scalings


def _named(sizes: Iterable[int], names: dict[str, str]) -> tuple[int | str, ...]:
    return tuple(names[_atom(size)] if isinstance(size, Size) else size for size in sizes)


def _atom(size: Size) -> str:
    """The one atom that an input's open size is.

    Raises
    ------
    ValueError
        It is something else.
    """
    match list(size.terms.items()):
        case [((name,), 1)] if not name.startswith("("):
            return name
    raise ValueError(f"an input has the open size {text_of(size)}")


def _input_names(graph: Graph) -> dict[str, str]:
    """What the document calls each open size: ``n``, ``h`` and ``w`` of images."""
    names: dict[str, str] = {}
    for tensor in graph.inputs:
        letters = _AXES.get(len(tensor.shape), "x" * len(tensor.shape))
        for letter, size in zip(letters, tensor.shape, strict=True):
            if isinstance(size, Size):
                names.setdefault(_atom(size), _fresh(letter, names.values()))
    return names


def _fresh(letter: str, taken: Iterable[str]) -> str:
    taken, name, count = set(taken), letter, 1
    while name in taken:
        count += 1
        name = f"{letter}{count}"
    return name


def _bracketed(layers: list[dict[str, Any]], names: dict[str, str]) -> dict[str, str]:
    """Names for the bracketed atoms, after the first open size in them: ``h_1``, ``h_2``."""
    atoms = dict.fromkeys(
        atom
        for fields in layers
        for _, size in _open_numbers(fields)
        for term in size.terms
        for atom in term
        if atom.startswith("(")
    )
    found: dict[str, str] = {}
    for atom in atoms:
        letter = next((names[word] for word in _WORD.findall(atom) if word in names), "x")
        count = sum(name.startswith(f"{letter}_") for name in found.values())
        found[atom] = f"{letter}_{count + 1}"
    return found


def _open_numbers(fields: dict[str, Any]) -> Iterator[tuple[str, Size]]:
    """A layer's numbers that follow from open sizes, by the names that a document has for them."""
    for field in _FIELDS:
        if isinstance(fields[field], Size):
            yield field, fields[field]
    for name in GEOMETRIES:
        if fields[name] is not None:
            for number, size in fields[name].numbers():
                if isinstance(size, Size):
                    yield f"{name}.{number}", size


def _renamed(size: Size, names: dict[str, str], *, exact: bool) -> str:
    """Its expression in the document's names; ``exact``: with the factor of all its terms."""
    terms = {tuple(names[atom] for atom in term): times for term, times in size.terms.items()}
    renamed = Size(int(size), terms)
    return text_of(renamed) if exact else renamed.text


def _with_words(text: str, names: dict[str, str]) -> str:
    return _WORD.sub(lambda found: names.get(found.group(), found.group()), text)
