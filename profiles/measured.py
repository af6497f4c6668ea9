"""Attach measured seconds per layer and device type to a profile; they override the analytic time.

A CSV file has the columns ``layer``, ``device_type`` and ``seconds``; a JSON file maps layers to
device types to seconds, or is what `planner run --measure` or
`planner measure node --model` wrote.
"""

from __future__ import annotations

import csv
import io
from difflib import get_close_matches
from pathlib import Path

from pydantic import RootModel

from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from planner.measure.parts import NodeMeasurement
from planner.run.measured import Measured
from planner.units import MOST, cell_number
from profiles.files import read_one_of, read_text

COLUMNS = ("layer", "device_type", "seconds")
Times = dict[str, dict[str, float]]


class TimesDocument(RootModel[dict[str, dict[str, float]]]):
    """Seconds by device type, by layer."""


def read_times(path: Path, profile: ModelProfile) -> Times:
    """Measured seconds by layer and device type, of whole layers on one node.

    Parameters
    ----------
    path : Path
    profile : ModelProfile
        Of the model that they are of: a run tells the times of parts of layers.

    Raises
    ------
    BadInputError
        The file cannot be read, a line of it is not of the form above, or it is of another model.
    """
    if path.suffix.lower() == ".json":
        found = read_one_of(
            path, {"plan_digest": Measured, "part": NodeMeasurement}, TimesDocument, what="times"
        )
        if isinstance(found, Measured):
            return _times_of_run(found, profile, path.name)
        if isinstance(found, NodeMeasurement):
            return _times_of_node(found, profile, path.name)
        return dict(found.model_dump())
    rows = csv.reader(io.StringIO(read_text(path, what="times")))
    header = [cell.strip() for cell in next(rows, [])]
    if tuple(header) != COLUMNS:
        raise BadInputError(
            f"{path.name}: the first line is {','.join(header)[:80]!r}; give {','.join(COLUMNS)}"
        )
    times: Times = {}
    for number, row in enumerate(rows, start=2):
        if not row:
            continue
        where = f"{path.name}, line {number}"
        if len(row) != len(COLUMNS):
            raise BadInputError(f"{where}: {len(row)} values; give {','.join(COLUMNS)}")
        layer, device_type, seconds = (cell.strip() for cell in row)
        if device_type in times.setdefault(layer, {}):
            raise BadInputError(f"{where}: {layer!r} on {device_type!r} was given before")
        times[layer][device_type] = _seconds(seconds, where)
    return times


def _times_of_run(run: Measured, profile: ModelProfile, where: str) -> Times:
    """Whole layers from their parts: seconds in proportion to MACs."""
    if run.model != profile.name:
        raise BadInputError(f"{where}: the run is of {run.model}, the profile of {profile.name}")
    _check_macs(run.macs, profile, where)
    macs = {layer.name: layer.macs for layer in profile.layers}
    times: Times = {}
    for item in run.layers:
        whole = item.seconds * macs.get(item.layer, 0) / item.macs
        times.setdefault(item.layer, {})[item.device_type] = whole
    if not times:
        raise BadInputError(
            f"{where}: the run has no times of layers; measure it again (planner run)"
        )
    return times


def _times_of_node(part: NodeMeasurement, profile: ModelProfile, where: str) -> Times:
    """Layers that `planner measure node --model` timed; what takes no time in plans stays out."""
    runs = [item for item in part.models if item.model == profile.name and item.layers]
    if not runs:
        raise BadInputError(f"{where}: has no times of the layers of {profile.name}")
    _check_macs(runs[-1].macs, profile, where)
    kind = part.node.device_type
    return {item.layer: {kind: item.seconds} for item in runs[-1].layers if item.kind}


def _check_macs(macs: int | None, profile: ModelProfile, where: str) -> None:
    if macs is not None and macs != profile.totals.macs:
        raise BadInputError(
            f"{where}: {profile.name} has {macs:,} MACs there and {profile.totals.macs:,} here: "
            "give the same --input-shape and --batch"
        )


def _seconds(text: str, where: str) -> float:
    value = cell_number(text)
    if not 0 <= value < MOST:
        raise BadInputError(f"{where}: found {text[:40]!r}; give seconds, 0 to {MOST:g}")
    return value


def attach_times(profile: ModelProfile, times: Times, *, where: str) -> ModelProfile:
    """The profile with measured times in place of those that it had for the same devices.

    Raises
    ------
    BadInputError
        No time at all, a layer that the profile does not have, or a time below 0.
    """
    names = [layer.name for layer in profile.layers]
    known = set(names)
    if not times:
        raise BadInputError(f"{where}: has no times")
    for name, by_device in times.items():
        if name not in known:
            near = get_close_matches(name, names, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise BadInputError(f"{where}: layer {name[:80]!r} is not in {profile.name}{hint}")
        for device_type, seconds in by_device.items():
            if not device_type:
                raise BadInputError(f"{where}, layer {name[:80]!r}: a device type has no name")
            _seconds(str(seconds), f"{where}, layer {name[:80]!r}")
    layers = tuple(
        layer.model_copy(update={"measured_s": {**layer.measured_s, **times[layer.name]}})
        if layer.name in times
        else layer
        for layer in profile.layers
    )
    return profile.model_copy(update={"layers": layers})
