"""Expressions for a ``.pt2`` profile, out of the sizes that the archive leaves open.

The archive is read a second time with other values of them: expressions are kept only if they
give the first reading's every number, and if all conditions that torch noted are understood.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from planner.domain.expressions import parse_requirement
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.confirmed import confirmed
from profiles.from_pt2.document import read_document
from profiles.from_pt2.fields import mapping
from profiles.from_torch.translate import translate
from profiles.size import Size

_SYMBOL = re.compile(r"s\d{1,6}", re.ASCII)
_SIZE = re.compile(r"L\['(\w{1,100})'\]\.size\(\)\[(\d{1,2})\]", re.ASCII)
_MOST_CONDITIONS = 500


def with_open_shapes(profile: ModelProfile, document: dict[str, Any]) -> ModelProfile:
    """The profile with expressions for its numbers; as it is where they cannot be had.

    Parameters
    ----------
    profile : ModelProfile
        Of the document, at the sizes that were asked for.
    document : dict
        Of the archive's ``models/model.json``, read without complaint before.
    """
    ranges = mapping(document.get("range_constraints") or {}, "range_constraints")
    if not ranges or not all(_SYMBOL.fullmatch(name) for name in ranges):
        return profile
    try:
        present = read_document(document, _shapes(profile), None, opened=True)
        symbols = {
            name: [next(iter(size.terms))[0] if isinstance(size, Size) else "" for size in shape]
            for node, name in present.inputs.items()
            if (shape := present.body.values[node].shape)
        }
        example = {
            spec.name: _another(spec.shape, symbols[spec.name], ranges) for spec in profile.inputs
        }
        program = read_document(document, example, None, opened=True)
        graph = translate(program, profile.name)
        conditions = _conditions(document, symbols, ranges)
        return confirmed(profile, replace(graph, requirements=conditions)) or profile
    except (BadInputError, OverflowError, ValueError):
        return profile


def _shapes(profile: ModelProfile) -> dict[str, tuple[int, ...]]:
    return {spec.name: spec.shape for spec in profile.inputs}


def _another(
    shape: tuple[int, ...], symbols: list[str], ranges: Mapping[str, Any]
) -> tuple[int, ...]:
    """Another size for every open one, by an amount that depends on its symbol."""
    order = sorted(ranges)
    return tuple(
        size + 8 * (order.index(symbol) + 1) if symbol in ranges else size
        for size, symbol in zip(shape, symbols, strict=True)
    )


def _conditions(
    document: dict[str, Any], symbols: Mapping[str, list[str]], ranges: Mapping[str, Any]
) -> tuple[str, ...]:
    """The archive's ranges and guards in our language.

    Raises
    ------
    BadInputError, ValueError
        One of them is not understood.
    """
    found = []
    for symbol, allowed in ranges.items():
        bounds = mapping(allowed or {}, f"the range of {symbol}")
        for key, comparison in (("min_val", ">="), ("max_val", "<=")):
            bound = bounds.get(key)
            if isinstance(bound, int) and bound < 2**62:
                found.append(f"{symbol} {comparison} {bound}")
    guards = document.get("guards_code") or []
    if not isinstance(guards, list) or len(guards) > _MOST_CONDITIONS:
        raise ValueError("guards")
    for guard in guards:
        for part in str(guard).split(" and "):
            text = _SIZE.sub(lambda found: _name(found, symbols), part)
            parse_requirement(text)
            found.append(text)
    return tuple(found)


def _name(found: re.Match[str], symbols: Mapping[str, list[str]]) -> str:
    sizes = symbols.get(found[1], [])
    axis = int(found[2])
    if axis >= len(sizes) or not sizes[axis]:
        raise ValueError(f"{found[0]} is no open size")
    return sizes[axis]
