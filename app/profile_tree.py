"""A profile's layers nested by the paths in their names, with sums over every subtree.

A name is a path of modules, parted by dots or slashes; what stands behind a colon tells the
operators of one module apart (``layers.0.attention:transpose:2``). Layers keep their order: a
module that runs twice is there twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby

from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile

_FEWEST_TOGETHER = 3  # operators in a row that become one line
_OPS_NAMED = 3

Layers = tuple[LayerProfile, ...]
Path = tuple[str, ...]


def touched_bytes(layer: LayerProfile) -> int:
    """Bytes that a node reads and writes for a layer, weights included."""
    return layer.input_bytes + layer.output_bytes + layer.param_bytes


@dataclass(frozen=True)
class Sums:
    """What layers add up to."""

    macs: int
    params: int
    param_bytes: int
    output_bytes: int
    touched_bytes: int

    @classmethod
    def of(cls, layers: Layers) -> Sums:
        """Add layers up."""
        return cls(
            macs=sum(layer.macs for layer in layers),
            params=sum(layer.params for layer in layers),
            param_bytes=sum(layer.param_bytes for layer in layers),
            output_bytes=sum(layer.output_bytes for layer in layers),
            touched_bytes=sum(touched_bytes(layer) for layer in layers),
        )

    @property
    def macs_per_byte(self) -> float | None:
        """Arithmetic intensity; None where there is no work."""
        return self.macs / self.touched_bytes if self.macs and self.touched_bytes else None


@dataclass(frozen=True)
class Entry:
    """One line of the tree.

    Attributes
    ----------
    label : str
        What its name adds to its parent's, the separator included. Empty for an operator that
        has its module's own name.
    what : str
        An operator, or what a line of several layers is: ``12 layers``, ``31 × like 0``.
    layers : tuple of LayerProfile
        All of the subtree.
    children : tuple of Entry
    """

    label: str
    what: str
    layers: Layers
    children: tuple[Entry, ...] = ()

    @property
    def shown(self) -> str:
        """The label without the separator in front."""
        return self.label.lstrip("./") or self.label or "(itself)"

    @cached_property
    def sums(self) -> Sums:
        """Totals of the subtree."""
        return Sums.of(self.layers)

    @cached_property
    def likeness(self) -> tuple[object, ...]:
        """Equal for subtrees of equal work under names that differ in their first piece alone."""
        if self.children:
            return tuple((child.label, child.likeness) for child in self.children)
        first = self.layers[0]
        return (self.what, first.feature_flow, first.in_features, first.out_features, self.sums)


def profile_tree(profile: ModelProfile, depth: int | None = None) -> Entry:
    """Nest the layers of a profile.

    Blocks that repeat the one before them, and operators in a row that have neither MACs nor
    parameters, are one line.

    Parameters
    ----------
    profile : ModelProfile
    depth : int, optional
        Levels below the model to keep; all of them by default.
    """
    found = [(_path(layer.name), layer) for layer in profile.layers]
    return _cut(_branch(profile.name, _nested(found, 0), profile.layers), depth)


def _path(name: str) -> Path:
    """Pieces that together are the name; the last is the operator's own and may be empty."""
    modules, colon, own = name.partition(":")
    return (*re.findall(r"[./]*[^./]+|[./]+", modules), colon + own)


def _nested(found: list[tuple[Path, LayerProfile]], level: int) -> list[Entry]:
    """Entries of layers whose paths agree before this level."""
    entries: list[Entry] = []
    for (piece, is_own), members in groupby(found, lambda item: _piece(item[0], level)):
        group = list(members)
        if is_own or len(group) == 1 or _is_numbering(group, level):
            entries += [Entry("".join(path[level:]), layer.op, (layer,)) for path, layer in group]
            continue
        children = _nested(group, level + 1)
        if len(children) == 1:  # nothing else inside: one line for both
            only = children[0]
            label = piece + only.label if only.children else f"{piece}: {only.label}"
            entries.append(replace(only, label=label))
        else:
            entries.append(_branch(piece, children, tuple(layer for _, layer in group)))
    return _together(_folded(entries))


def _piece(path: Path, level: int) -> tuple[str, bool]:
    """A path's piece at a level, and whether it is the operator's own."""
    return path[level], level == len(path) - 1


def _is_numbering(group: list[tuple[Path, LayerProfile]], level: int) -> bool:
    """Whether names are an operator's with a number each (``Add.0``, ``Add.1``): no module."""
    alike = len({layer.op for _, layer in group}) == 1
    return alike and all(
        len(path) == level + 3 and path[level + 1][1:].isdigit() for path, _ in group
    )


def _branch(label: str, children: list[Entry], layers: Layers) -> Entry:
    return Entry(label, f"{len(layers)} layers", layers, tuple(children))


def _folded(entries: list[Entry]) -> list[Entry]:
    """Blocks in a row that differ by their number alone: the first one, and a line for the rest."""
    result: list[Entry] = []
    for _, members in groupby(entries, _likeness):
        first, *others = members
        result.append(first)
        if not first.children or not others:
            result += others
            continue
        layers = tuple(layer for entry in others for layer in entry.layers)
        if len(others) == 1:
            result.append(Entry(others[0].label, f"like {first.shown}", layers))
        else:
            label = f"{others[0].label} … {others[-1].shown}"
            result.append(Entry(label, f"{len(others)} × like {first.shown}", layers))
    return result


def _likeness(entry: Entry) -> tuple[str, tuple[object, ...]]:
    return re.sub(r"\d+", "#", entry.label), entry.likeness


def _together(entries: list[Entry]) -> list[Entry]:
    """Operators in a row that have no work and no weights, as one line."""
    result: list[Entry] = []
    for idle, members in groupby(entries, _is_idle):
        run = list(members)
        if not idle or len(run) < _FEWEST_TOGETHER:
            result += run
            continue
        layers = tuple(layer for entry in run for layer in entry.layers)
        names = list(dict.fromkeys(layer.op for layer in layers))
        what = ", ".join((*names[:_OPS_NAMED], *(["…"] if names[_OPS_NAMED:] else [])))
        result.append(Entry(f"{len(run)} free operators", what, layers))
    return result


def _is_idle(entry: Entry) -> bool:
    layer = entry.layers[0]
    exchanges = layer.statistics_bytes > 0 or layer.flow.gathers
    return len(entry.layers) == 1 and not (layer.macs or layer.params or exchanges)


def _cut(entry: Entry, depth: int | None) -> Entry:
    if depth is None:
        return entry
    children = () if depth == 0 else tuple(_cut(child, depth - 1) for child in entry.children)
    return replace(entry, children=children)
