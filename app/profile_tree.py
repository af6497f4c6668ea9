"""A profile's layers nested by the paths in their names, with sums over every subtree."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import groupby
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.units import format_bytes, format_si
from profiles.files import one_line

_FEWEST_TOGETHER = 3  # operators in a row that become one line
_OPS_NAMED = 3

Layers = tuple[LayerProfile, ...]
Path = tuple[str, ...]


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
            param_bytes=sum(layer.own_bytes for layer in layers),
            output_bytes=sum(layer.output_bytes for layer in layers),
            touched_bytes=sum(layer.touched_bytes for layer in layers),
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
        """Equal for subtrees of equal work under names that differ in their first piece alone.

        What layers read counts, whichever of them stores it: a constant that all blocks read is
        stored by the first.
        """
        if self.children:
            return tuple((child.label, child.likeness) for child in self.children)
        return (self.what, *((layer.likeness, layer.params) for layer in self.layers))


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
    exchanges = layer.statistics_bytes > 0 or layer.feature_flow == "one-node"
    return len(entry.layers) == 1 and not (layer.macs or layer.params or exchanges)


def _cut(entry: Entry, depth: int | None) -> Entry:
    if depth is None:
        return entry
    children = () if depth == 0 else tuple(_cut(child, depth - 1) for child in entry.children)
    return replace(entry, children=children)


_DIGITS = 3
_NARROWEST_NAME = 20
_NARROWEST_WHAT = 11  # 11 × like 0
_GAP = 2  # between cells


@dataclass(frozen=True)
class _Column:
    title: str
    cell: Callable[[Entry, Entry], str]
    from_width: int = 0  # of the terminal
    justify: Literal["left", "right"] = "right"

    @property
    def title_width(self) -> int:
        return max(map(len, self.title.split("\n")))


def _of_layer(cell: Callable[[LayerProfile], str]) -> Callable[[Entry, Entry], str]:
    """A cell that only single layers have."""
    return lambda entry, _: cell(entry.layers[0]) if len(entry.layers) == 1 else ""


def _feature_bytes(layer: LayerProfile) -> str:
    return format_bytes(layer.input_feature_bytes) if layer.feature_flow == "mixing" else ""


def _amount(value: float, unit: str = "") -> str:
    """Three digits; nothing for 0."""
    rounded = float(f"{value:.{_DIGITS}g}")  # 999.9 M is 1 G
    return format_si(rounded, unit, _DIGITS).rstrip() if value else ""


def _share(entry: Entry, whole: Entry) -> str:
    return f"{entry.sums.macs / whole.sums.macs:.1%}" if entry.sums.macs else ""


def _macs_per_byte(entry: Entry, _: Entry) -> str:
    found = entry.sums.macs_per_byte
    return "" if found is None else f"{found:,.0f}" if found >= 100 else f"{found:.3g}"


_COLUMNS = (
    _Column("flow", _of_layer(lambda layer: layer.feature_flow), from_width=120, justify="left"),
    _Column(
        "features",
        _of_layer(lambda layer: f"{layer.in_features:,} → {layer.out_features:,}"),
        from_width=110,
    ),
    _Column("MACs", lambda entry, _: _amount(entry.sums.macs)),
    _Column("share", _share, from_width=100),
    _Column("params", lambda entry, _: _amount(entry.sums.params)),
    _Column("weights", lambda entry, _: _amount(entry.sums.param_bytes, "B")),
    _Column("outputs", lambda entry, _: _amount(entry.sums.output_bytes, "B"), from_width=100),
    _Column("bytes/\nfeature", _of_layer(_feature_bytes)),
    _Column("MACs/\nbyte", _macs_per_byte),
)


def draw_tree(profile: ModelProfile, depth: int | None, width: int) -> RichTable:
    """Draw a profile's tree for a terminal of so many columns; names are cut short first.

    Parameters
    ----------
    profile : ModelProfile
    depth : int, optional
        As `app.profile_tree.profile_tree` takes it.
    width : int
    """
    tree = profile_tree(profile, depth)
    columns = [column for column in _COLUMNS if column.from_width <= width]
    lines = [(Text(one_line(tree.shown), "bold"), tree), *_lines(tree, "")]
    cells = [[column.cell(entry, tree) for column in columns] for _, entry in lines]
    widths = [
        max(column.title_width, *(len(row[index]) for row in cells))
        for index, column in enumerate(columns)
    ]
    room = width - sum(widths) - _GAP * (len(columns) + 1)
    what_width = max(len(entry.what) for _, entry in lines)
    name_width = max(name.cell_len for name, _ in lines)
    if name_width + what_width > room:
        what_width = min(what_width, max(room // 3, _NARROWEST_WHAT))
        name_width = min(name_width, max(room - what_width, _NARROWEST_NAME))
    drawn = RichTable(
        box=SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="bold"
    )
    for title, size in (("layer", name_width), ("", what_width)):
        drawn.add_column(title, no_wrap=True, overflow="ellipsis", width=size)
    for column, size in zip(columns, widths, strict=True):
        drawn.add_column(column.title, justify=column.justify, no_wrap=True, width=size)
    for (name, entry), row in zip(lines, cells, strict=True):
        style = "" if len(entry.layers) == 1 or entry.children else "dim"
        drawn.add_row(name, Text(one_line(entry.what)), *row, style=style)
    return drawn


def _lines(entry: Entry, indent: str) -> Iterator[tuple[Text, Entry]]:
    """Every line below an entry, with the guides that lead to it."""
    for child in entry.children:
        last = child is entry.children[-1]
        guide = "└ " if last else "├ "
        style = "bold" if child.children else ""
        yield Text.assemble((indent + guide, "dim"), (one_line(child.shown), style)), child
        yield from _lines(child, indent + ("  " if last else "│ "))
