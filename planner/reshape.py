"""A profile at other shapes of its inputs, worked out from its own expressions."""

from __future__ import annotations

from collections.abc import Mapping
from math import prod
from operator import attrgetter

from planner.domain.expressions import MAX_VALUE
from planner.domain.layer_profile import LayerProfile, TensorSpec
from planner.domain.model_profile import ModelProfile, check_changed
from planner.domain.positions import Geometry
from planner.domain.reshaping import Reshaping
from planner.errors import BadInputError

Shape = tuple[int, ...]


def at_input_shapes(
    profile: ModelProfile, shapes: Mapping[str, Shape] | None = None, batch: int | None = None
) -> ModelProfile:
    """Work every number of a profile out for other input shapes, without the model.

    Every number is the one that a fresh trace would give (the tests compare them). Measured times
    and the witness's counts belong to the old shape: they are dropped, and provenance says so.

    Parameters
    ----------
    profile : ModelProfile
    shapes : mapping of str to tuple of int, optional
        New shape per input; others keep theirs, but for sizes that they share with a given one.
    batch : int, optional
        Replaces dimension 0 of every input.

    Returns
    -------
    ModelProfile
        The profile itself where nothing changes.

    Raises
    ------
    BadInputError
        No such input, a size that is fixed, or a shape for which the expressions do not hold.
    """
    given = _wanted(profile, shapes or {}, batch)
    present = {spec.name: spec.shape for spec in profile.inputs}
    if all(present[name] == shape for name, shape in given.items()):
        return profile
    reshaping = profile.reshaping
    if reshaping is None:
        name = next(name for name, shape in given.items() if present[name] != shape)
        raise BadInputError(
            f"input {name!r}: this saved profile of {profile.name} is fixed at "
            f"{_shown(present[name])}, not {_shown(given[name])}; "
            "profile the model's file or code again for another shape"
        )
    new = _completed(profile, reshaping, given)
    try:
        return _reshaped(profile, reshaping, new)
    except ValueError as error:
        asked = "; ".join(f"{name} {_shown(shape)}" for name, shape in new.items())
        raise BadInputError(
            f"{profile.name} does not run at {asked}: {error}, "
            f"where {_described(profile, reshaping)}"
        ) from error


def _wanted(
    profile: ModelProfile, shapes: Mapping[str, Shape], batch: int | None
) -> dict[str, Shape]:
    """The shapes that are asked for, checked against the inputs' names and ranks."""
    present = {spec.name: spec.shape for spec in profile.inputs}
    for name, shape in shapes.items():
        if name not in present:
            raise BadInputError(
                f"input {name!r}: {profile.name} has no such input; "
                f"its inputs are {', '.join(present)}"
            )
        if len(shape) != len(present[name]):
            raise BadInputError(
                f"input {name!r}: found the shape {_shown(shape)}; "
                f"{profile.name} reads {len(present[name])} dimensions"
            )
    given = dict(shapes)
    if batch is not None:
        given = {
            name: (batch, *given.get(name, shape)[1:]) if shape else shape
            for name, shape in present.items()
        }
    for name, shape in given.items():
        if any(not 1 <= size < MAX_VALUE for size in shape):
            raise BadInputError(f"input {name!r}: found the shape {_shown(shape)}; sizes are 1 on")
    return given


def _completed(
    profile: ModelProfile, reshaping: Reshaping, given: Mapping[str, Shape]
) -> dict[str, Shape]:
    """All inputs' shapes: sizes that have the same name are the same."""
    values: dict[str, int] = {}
    for spec, sizes in zip(profile.inputs, reshaping.inputs, strict=True):
        if spec.name not in given:
            continue
        for axis, (size, found) in enumerate(zip(sizes, given[spec.name], strict=True)):
            if isinstance(size, str):
                if values.setdefault(size, found) != found:
                    raise BadInputError(
                        f"input {spec.name!r}: dimension {axis} is {values[size]} elsewhere, "
                        f"not {found}, where {_described(profile, reshaping)}"
                    )
            elif size != found:
                raise BadInputError(
                    f"input {spec.name!r}: dimension {axis} is fixed at {size}, not {found}, "
                    f"where {_described(profile, reshaping)}; "
                    f"{', '.join(reshaping.open_sizes)} can change"
                )
    return {
        spec.name: tuple(
            values.get(size, old) if isinstance(size, str) else size
            for size, old in zip(sizes, spec.shape, strict=True)
        )
        for spec, sizes in zip(profile.inputs, reshaping.inputs, strict=True)
    }


def _reshaped(
    profile: ModelProfile, reshaping: Reshaping, shapes: Mapping[str, Shape]
) -> ModelProfile:
    values = reshaping.values([shapes[spec.name] for spec in profile.inputs])
    rows, geometries = reshaping.number_values(values), profile.changed_geometries(values)
    inputs = tuple(
        _spec(spec, shapes[spec.name], counts)
        for spec, counts in zip(profile.inputs, reshaping.counts(values), strict=True)
    )
    layers = tuple(
        _layer(layer, factors, rows, changed)
        for layer, factors, changed in zip(profile.layers, profile.factors, geometries, strict=True)
    )
    check_changed(profile, inputs, layers)
    for name in ("macs", "input_bytes", "output_bytes", "statistics_bytes"):
        if sum(map(attrgetter(name), layers)) >= MAX_VALUE:
            raise ValueError(f"the {name} of all layers are 2^62 or more")
    timed = any(layer.measured_s for layer in profile.layers)
    return ModelProfile.model_construct(
        name=profile.name,
        element_bytes=profile.element_bytes,
        weight_bits=profile.weight_bits,
        inputs=inputs,
        outputs=profile.outputs,
        layers=layers,
        group_starts=profile.group_starts,
        provenance=profile.provenance.model_copy(update={"note": _note(profile, shapes, timed)}),
        coverage=profile.coverage.model_copy(
            update={"witness": None, "witness_note": "the shape was changed without the model"}
        ),
        reshaping=reshaping,
    )


def _layer(
    layer: LayerProfile,
    factors: dict[str, int],
    rows: tuple[dict[str, int], ...],
    geometries: dict[str, Geometry],
) -> LayerProfile:
    """What ``model_copy`` gives, in a third of its time: most of what a reshaping takes."""
    values = {**layer.__dict__, "witness_macs": None, "measured_s": {}}
    if layer.scaling is not None:
        row = rows[layer.scaling]
        for field, factor in factors.items():
            values[field] = factor * row[field]
        values.update(geometries)
        for name, geometry in geometries.items():
            if values["output_bytes"] % (values["out_features"] * max(geometry.count, 1)):
                raise ValueError(f"{name} of {layer.name!r} cut its output unevenly")
    made = LayerProfile.__new__(LayerProfile)
    object.__setattr__(made, "__dict__", values)
    object.__setattr__(made, "__pydantic_fields_set__", layer.__pydantic_fields_set__)
    object.__setattr__(made, "__pydantic_extra__", None)
    object.__setattr__(made, "__pydantic_private__", None)
    return made


def _spec(spec: TensorSpec, shape: Shape, counts: dict[str, int]) -> TensorSpec:
    size = spec.bytes // prod(spec.shape) * prod(shape)
    return spec.model_copy(update={"shape": shape, "bytes": size, **counts})


_NOTED = "worked out for "


def _note(profile: ModelProfile, shapes: Mapping[str, Shape], timed: bool) -> str:
    """The profile's note, and that these numbers were derived; instead of an older such remark."""
    kept = [part for part in profile.provenance.note.split("; ") if not part.startswith(_NOTED)]
    asked = ", ".join(f"{name} {_shown(shape)}" for name, shape in shapes.items())
    said = f"{_NOTED}{asked} from the expressions of a profile that was traced at another shape"
    dropped = ["measured times of the old shape were dropped"] if timed else []
    return "; ".join(filter(None, [*kept, said, *dropped]))


def _described(profile: ModelProfile, reshaping: Reshaping) -> str:
    return ", ".join(
        f"{spec.name} is {','.join(map(str, sizes))}"
        for spec, sizes in zip(profile.inputs, reshaping.inputs, strict=True)
    )


def _shown(shape: Shape) -> str:
    return ",".join(map(str, shape))[:100]
