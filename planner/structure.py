"""What the graph's shape alone says: live tensors, places to cut, block groups."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError


def tensor_bytes(profile: ModelProfile) -> dict[str, int]:
    """Size of every tensor by name, model inputs included."""
    sizes = {spec.name: spec.bytes for spec in profile.inputs}
    return sizes | {layer.name: layer.output_bytes for layer in profile.layers}


def last_uses(profile: ModelProfile) -> dict[str, int]:
    """Find the index of the last layer that reads each tensor; outputs live to the end."""
    last = {spec.name: -1 for spec in profile.inputs}
    for index, layer in enumerate(profile.layers):
        last[layer.name] = index
        for name in layer.inputs:
            last[name] = index
    for name in profile.outputs:
        last[name] = len(profile.layers)
    return last


def tensors_across(profile: ModelProfile, *, with_inputs: bool = True) -> list[list[str]]:
    """List the tensors alive between layer i and layer i + 1, for every i but the last.

    Parameters
    ----------
    profile : ModelProfile
    with_inputs : bool
        Whether model inputs that are read again count. A change of group hands them over only
        where inputs are communicated at all (`CostSettings.count_input`): else every node has them.
    """
    last = last_uses(profile)
    alive = [spec.name for spec in profile.inputs if with_inputs]
    across = []
    for index, layer in enumerate(profile.layers[:-1]):
        alive = [name for name in [*alive, layer.name] if last[name] > index]
        across.append(alive)
    return across


def sharing_out(profile: ModelProfile) -> list[int]:
    """Tell which layers share out features together, by the first of them, for every layer.

    Where a layer reads features that others shared out (an activation, the sum of a residual),
    owners that differ would move them.
    """
    leader = list(range(len(profile.layers)))

    def first(row: int) -> int:
        while leader[row] != row:
            row = leader[row]
        return row

    of_tensor: dict[str, int] = {}
    for row, layer in enumerate(profile.layers):
        flow = layer.flow
        follows = [] if flow.mixes or flow.gathers or flow.reduces else layer.inputs
        tied = [row, *(first(of_tensor[name]) for name in follows if name in of_tensor)]
        for other in tied:
            leader[other] = min(tied)
        of_tensor[layer.name] = row
    return [first(row) for row in range(len(leader))]


def allocation_units(profile: ModelProfile) -> list[range]:
    """Layers that stay together when layers are allocated to nodes.

    A unit has one layer with MACs; the first one also what stands before it. Of the layers without
    MACs between two units, which take no time, those behind the fewest live bytes belong to the
    unit before, and where that is undecided as many as possible: the norm in front of a
    transformer's block goes with the block, so that one tensor crosses the cut and not two.
    """
    layers = profile.layers
    worked = [i for i, layer in enumerate(layers) if layer.macs > 0 or layer.measured_s]
    sizes, across = tensor_bytes(profile), tensors_across(profile, with_inputs=False)
    alive = [sum(sizes[name] for name in names) for names in across]
    edges = [0]
    for before, after in itertools.pairwise(worked):
        edges.append(1 + min(range(before, after), key=lambda cut: (alive[cut], -cut)))
    return [range(a, b) for a, b in itertools.pairwise([*edges, len(layers)])]


def cuts_between_blocks(profile: ModelProfile) -> NDArray[np.bool_]:
    """Where a cut between two units parts no block of the model, shape (U - 1,).

    A single tensor crosses, and the layers on both sides are not of one numbered module
    (``layers.3`` of a transformer): they may be of two that follow each other.
    """
    layers, across = profile.layers, tensors_across(profile, with_inputs=False)
    return np.array(
        [
            len(across[unit.start - 1]) == 1
            and not _common_module(layers[unit.start - 1].name, layers[unit.start].name).isdecimal()
            for unit in allocation_units(profile)[1:]
        ],
        dtype=np.bool_,
    )


def _common_module(one: str, other: str) -> str:
    """The last part of the names of the innermost module that holds two layers; "" if none does."""
    common = ""
    for a, b in zip(*(re.split(r"[./:]", name) for name in (one, other)), strict=False):
        if a != b:
            break
        common = a
    return common


def block_groups(
    profile: ModelProfile,
    sparsifiable: NDArray[np.bool_],
    split_points: tuple[str, ...] = (),
) -> list[range]:
    """Split the layers into what a network's authors call its stages (ResNet's four).

    The first of these that says something decides:

    1. the user's split points;
    2. the profile's own ``group_starts``, of a catalogue model whose stages no rule finds;
    3. down-sampling: a group starts at the block, the stretch between two places where a single
       tensor is alive, in which the maps shrink; a final pooling to one element is no such place;
    4. repetition, where down-sampling leaves one group: the blocks that are alike and hold most of
       the sparsifiable layers are cut in three parts of as equally many blocks as possible.

    What stands before the first start belongs to the first group, and a group without sparsifiable
    layers joins the next.

    Parameters
    ----------
    profile : ModelProfile
    sparsifiable : bool array, shape (L,)
    split_points : names of layers at which a group starts, instead of the rules

    Returns
    -------
    list of range
        Every layer once and in order; a single one where nothing shrinks or repeats.

    Raises
    ------
    BadInputError
        A split point is no layer.
    """
    if names := split_points or profile.group_starts:
        return _joined(profile, sparsifiable, _named_starts(profile, names))
    groups = _joined(profile, sparsifiable, _shrinking_blocks(profile))
    if len(groups) > 1:
        return groups
    blocks = repeated_blocks(profile, sparsifiable)
    parts = min(_PARTS, len(blocks))
    starts = [blocks[round(part * len(blocks) / parts)].start for part in range(1, parts)]
    return _joined(profile, sparsifiable, starts)


# DISCO prints two points of DeiT-S, whose S_comp of 15 and 30 % are those of one and two thirds of
# its twelve blocks (docs/disco.md).
_PARTS = 3


def _joined(
    profile: ModelProfile, sparsifiable: NDArray[np.bool_], starts: list[int]
) -> list[range]:
    """Groups between these starts; one without sparsifiable layers joins the next."""
    edges = sorted({0, *starts, len(profile.layers)})
    groups: list[range] = []
    begin = 0
    for end in edges[1:]:
        if np.any(sparsifiable[begin:end]) or end == edges[-1]:
            groups.append(range(begin, end))
            begin = end
    if len(groups) > 1 and not np.any(sparsifiable[groups[-1].start :]):
        tail = groups.pop()
        groups[-1] = range(groups[-1].start, tail.stop)
    return groups


def _named_starts(profile: ModelProfile, names: tuple[str, ...]) -> list[int]:
    index: Mapping[str, int] = {layer.name: i for i, layer in enumerate(profile.layers)}
    for name in names:
        if name not in index:
            raise BadInputError(f"split point {name!r}: {profile.name} has no layer of that name")
    return [index[name] for name in names]


def _shrinking_blocks(profile: ModelProfile) -> list[int]:
    across = tensors_across(profile)
    ends = [i + 1 for i, names in enumerate(across) if len(names) == 1]
    edges = [0, *ends, len(profile.layers)]
    batch = profile.inputs[0].shape[0] if profile.inputs[0].shape else 1
    size = profile.inputs[0].bytes // profile.element_bytes // profile.inputs[0].features
    starts = []
    for begin, end in itertools.pairwise(edges):
        after = profile.layers[end - 1].output_elements_per_feature
        if batch < after < size:
            starts.append(begin)
        size = after
    return starts


def repeated_blocks(profile: ModelProfile, sparsifiable: NDArray[np.bool_]) -> list[range]:
    """Blocks of alike layers that follow each other, those with most sparsifiable layers.

    Layers repeat with a period P where each does the same work (`LayerProfile.likeness`) as the one
    P layers before it. Names say nothing here, so that any front end's profile is read alike. Of
    the longest such stretch a block begins where the fewest bytes are alive: a transformer's
    between two residual sums, an RRDB's beside the one tensor that all of them pass by.

    Parameters
    ----------
    profile : ModelProfile
    sparsifiable : bool array, shape (L,)

    Returns
    -------
    list of range
        Two or more whole blocks of equal length; none where nothing repeats.
    """
    known: dict[tuple[object, ...], int] = {}
    kinds = np.array([known.setdefault(x.likeness, len(known)) for x in profile.layers])
    before = np.concatenate(([0], np.cumsum(sparsifiable)))  # sparsifiable layers before each
    stretch, period, most = range(0), 1, 0
    for step in range(1, len(kinds) // 2 + 1):
        begins, ends = _runs(kinds[step:] == kinds[:-step])
        whole = ends - begins >= step  # two blocks at least
        if not whole.any():
            continue
        begins, ends = begins[whole], ends[whole] + step
        held = before[ends] - before[begins]
        best = int(held.argmax())
        if held[best] > most:  # two blocks as one hold no more
            stretch, period, most = range(begins[best], ends[best]), step, int(held[best])
    first = _thinnest(profile, stretch[:period])
    blocks = [range(start, start + period) for start in range(first, stretch.stop, period)]
    blocks = [block for block in blocks if block.stop <= stretch.stop]
    return blocks if len(blocks) > 1 else []


def _runs(same: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Where runs of True begin, and where each is over."""
    turns = np.flatnonzero(np.diff(same, prepend=False, append=False))
    return turns[::2], turns[1::2]


def _thinnest(profile: ModelProfile, layers: range) -> int:
    """The first of some layers in front of which the fewest bytes are alive."""
    sizes = tensor_bytes(profile)
    across = [[spec.name for spec in profile.inputs], *tensors_across(profile)]
    return min(layers, key=lambda at: sum(sizes[name] for name in across[at]), default=0)
