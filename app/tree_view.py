"""The tree of a profile as a table for a terminal, as wide as the terminal allows."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

from rich.box import SIMPLE_HEAD
from rich.table import Table as RichTable
from rich.text import Text

from app.profile_tree import Entry, profile_tree
from planner.domain.layer_profile import LayerProfile
from planner.domain.model_profile import ModelProfile
from planner.units import format_bytes, format_si
from profiles.files import one_line

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
    return format_bytes(layer.input_feature_bytes) if layer.flow.mixes else ""


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
