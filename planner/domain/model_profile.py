"""What a network is to the planner: a graph of layers with their work and their bytes."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from math import prod
from typing import Literal, Self, cast

from pydantic import Field, computed_field, model_validator

from planner.domain.arrays import Frozen
from planner.domain.layer_profile import Count, LayerProfile, Name, Positive, TensorSpec
from planner.domain.positions import Geometry
from planner.domain.reshaping import GEOMETRIES, Reshaping


class Provenance(Frozen):
    """Where a profile comes from."""

    front_end: Name
    source: str
    sha256: str | None = None
    tools: dict[str, str] = Field(default_factory=dict)
    note: str = ""


class Witness(Frozen):
    """A second counter's view of the same module."""

    tool: Name
    total_macs: Count = Field(description="sum over the operators that both count")
    skipped_ops: dict[str, Positive] = Field(default_factory=dict)
    differences: tuple[str, ...] = Field(
        default=(),
        exclude_if=lambda found: not found,  # profiles without one stay the same text
        description="where it contradicts the profile, a line each",
    )
    note: str = ""


class Coverage(Frozen):
    """Which operators were counted, which cost nothing, which the planner does not know."""

    counted: dict[str, Positive] = Field(default_factory=dict)
    free: dict[str, Positive] = Field(
        default_factory=dict, description="known to have no multiply-accumulates by convention"
    )
    uncounted: dict[str, Positive] = Field(default_factory=dict)
    witness: Witness | None = None
    witness_note: str = Field(default="", description="why there is no witness, if so")

    @property
    def covered_share(self) -> float:
        """Share of operator nodes that are counted or known to be free."""
        known = sum(self.counted.values()) + sum(self.free.values())
        total = known + sum(self.uncounted.values())
        return known / total if total else 1.0


class Totals(Frozen):
    """Sums over the layers."""

    macs: Count
    params: Count
    param_bytes: Count
    layers: Count


class ModelProfile(Frozen):
    """A network as a graph of layers in topological order."""

    schema_version: Literal[1] = 1
    name: Name
    element_bytes: Positive = 4
    weight_bits: float | None = Field(
        default=None,
        gt=0,
        le=64,
        exclude_if=lambda bits: bits is None,  # profiles without it stay the same text
        description="of a weight with its scales, where they were given a width of their own",
    )
    inputs: tuple[TensorSpec, ...] = Field(min_length=1)
    outputs: tuple[Name, ...] = Field(min_length=1)
    layers: tuple[LayerProfile, ...] = Field(min_length=1, max_length=200_000)
    group_starts: tuple[Name, ...] = Field(
        default=(),
        exclude_if=lambda names: not names,  # profiles without them stay the same text
        description="first layers of the second and later block groups, where its makers name "
        "them; none: by the rule",
    )
    provenance: Provenance
    coverage: Coverage = Coverage()
    reshaping: Reshaping | None = Field(
        default=None, description="how the numbers follow from open input sizes; none: all fixed"
    )
    declared_totals: Totals | None = Field(
        default=None, alias="totals", exclude=True, description="of a saved profile; checked"
    )

    @computed_field  # type: ignore[prop-decorator]
    @cached_property
    def totals(self) -> Totals:
        """Work and size of the whole network."""
        return Totals(
            macs=sum(layer.macs for layer in self.layers),
            params=sum(layer.params for layer in self.layers),
            param_bytes=sum(layer.own_bytes for layer in self.layers),
            layers=len(self.layers),
        )

    @cached_property
    def factors(self) -> tuple[dict[str, int], ...]:
        """Per layer, its numbers that follow from the inputs, divided by what they follow.

        Raises
        ------
        ValueError
            The expressions do not hold at the present shape, or a number is no multiple of its.
        """
        reshaping = self.reshaping
        if reshaping is None:
            return ({},) * len(self.layers)
        shapes = [spec.shape for spec in self.inputs]
        if [len(shape) for shape in shapes] != [len(shape) for shape in reshaping.inputs]:
            raise ValueError("reshaping: its inputs are not those of the profile")
        try:
            values = reshaping.values(shapes)
            rows = reshaping.number_values(values)
        except ValueError as error:
            raise ValueError(f"reshaping: at the present shape, {error}") from error
        for spec, counts in zip(self.inputs, reshaping.counts(values), strict=True):
            for name, count in counts.items():
                if (found := getattr(spec, name)) != count:
                    raise ValueError(f"reshaping: input {spec.name!r} has {found} {name}")
            if spec.bytes % prod(spec.shape):
                raise ValueError(f"inputs: bytes of {spec.name!r} are no multiple of its elements")
        return tuple(_factors(layer, rows) for layer in self.layers)

    @cached_property
    def geometries(self) -> tuple[tuple[tuple[str, Geometry], ...], ...]:
        """Per layer, its positions and samples as far as known; equal ones are one object."""
        kinds: dict[Geometry, Geometry] = {}
        return tuple(
            tuple(
                (name, kinds.setdefault(geometry, geometry))
                for name in GEOMETRIES
                if (geometry := getattr(layer, name)) is not None
            )
            for layer in self.layers
        )

    @cached_property
    def changing_features(self) -> tuple[int, ...]:
        """Layers that read or make a number of features that follows from the inputs."""
        if self.reshaping is None:
            return ()
        open_names = {
            spec.name
            for spec, size in zip(self.inputs, self.reshaping.features, strict=True)
            if isinstance(size, str)
        }
        found = []
        for index, (layer, factors) in enumerate(zip(self.layers, self.factors, strict=True)):
            if "out_features" in factors:
                open_names.add(layer.name)
            if factors.keys() & _FEATURES or open_names.intersection((layer.name, *layer.inputs)):
                found.append(index)
        return tuple(found)

    @model_validator(mode="after")
    def _is_a_graph_in_order(self) -> Self:
        known: dict[str, int] = {}
        for spec in self.inputs:
            if spec.name in known:
                raise ValueError(f"inputs: {spec.name!r} is there twice")
            spec.check()
            known[spec.name] = spec.features
        before: set[str] = set()
        for layer in self.layers:
            if layer.name in known:
                raise ValueError(f"layer {layer.name!r}: the name is there twice")
            layer.check(known)
            for other in layer.shared_bytes:
                if other not in before:
                    raise ValueError(f"layer {layer.name!r}: {other!r} is no earlier layer")
            before.add(layer.name)
            known[layer.name] = layer.out_features
        self._check_positions()
        for output in self.outputs:
            if output not in known:
                raise ValueError(f"outputs: {output!r} is no layer and no input")
        for start in self.group_starts:
            if start not in before:
                raise ValueError(f"group_starts: {start!r} is no layer")
        if self.reshaping is None:
            if any(layer.scaling is not None for layer in self.layers):
                raise ValueError("layers: one has a scaling, but there is no reshaping")
        else:
            self._check_every_shape(known)
        if self.declared_totals not in (None, self.totals):
            raise ValueError(f"totals: the layers add up to {self.totals}")
        return self

    def _check_positions(self) -> None:
        """Parts are read of inputs alone that have them."""
        for name in GEOMETRIES:
            having = {spec.name for spec in self.inputs if getattr(spec, name)}
            for layer in self.layers:
                geometry: Geometry | None = getattr(layer, name)
                if geometry is None:
                    continue
                for source, window in zip(layer.inputs, geometry.reads, strict=True):
                    if window is not None and source not in having:
                        raise ValueError(f"layer {layer.name!r}: input {source!r} has no {name}")
                if geometry.count:
                    having.add(layer.name)

    def _check_every_shape(self, known: dict[str, int]) -> None:
        """Contracts hold wherever they hold for what is multiplied by expressions.

        Layers whose features change are left to `check_changed`, positions to
        `changed_geometries`.
        """
        reshaping = cast(Reshaping, self.reshaping)
        changing = set(self.changing_features)
        unparted: dict[str, None] = dict.fromkeys(GEOMETRIES)
        changed = self.changed_geometries(reshaping.values([spec.shape for spec in self.inputs]))
        for index, (layer, factors) in enumerate(zip(self.layers, self.factors, strict=True)):
            if factors and index not in changing:
                layer.model_copy(update={**factors, **unparted}).check(known)
            for name, found in changed[index].items():
                if found != getattr(layer, name):
                    raise ValueError(f"layer {layer.name!r}: {name} differ from its scaling's")

    def changed_geometries(self, values: Mapping[str, int]) -> tuple[dict[str, Geometry], ...]:
        """Per layer, its positions and samples at these values of the reshaping's names.

        Raises
        ------
        ValueError
            A number is out of all bounds.
        """
        rows = cast(Reshaping, self.reshaping).geometry_values(values)
        parts = [
            {
                name: {key.partition(".")[2]: n for key, n in row.items() if key.startswith(name)}
                for name in GEOMETRIES
            }
            for row in rows
        ]
        made: dict[tuple[int, str, int], Geometry] = {}
        found: list[dict[str, Geometry]] = []
        for layer, given in zip(self.layers, self.geometries, strict=True):
            here: dict[str, Geometry] = {}
            for name, geometry in given if layer.scaling is not None else ():
                key = (cast(int, layer.scaling), name, id(geometry))
                if key not in made:
                    made[key] = geometry.changed(parts[key[0]][name])
                here[name] = made[key]
            found.append(here)
        return tuple(found)


_FEATURES = {"in_features", "out_features"}


def _factors(layer: LayerProfile, rows: tuple[dict[str, int], ...]) -> dict[str, int]:
    if layer.scaling is None:
        return {}
    if layer.scaling >= len(rows):
        raise ValueError(f"layer {layer.name!r}: scaling: there are {len(rows)} to choose from")
    factors: dict[str, int] = {}
    for field, value in rows[layer.scaling].items():
        factors[field], rest = divmod(getattr(layer, field), value)
        if rest:
            raise ValueError(f"layer {layer.name!r}: {field} is no multiple of {value}")
    return factors


def check_changed(
    profile: ModelProfile, inputs: tuple[TensorSpec, ...], layers: tuple[LayerProfile, ...]
) -> None:
    """Check new inputs and layers of a profile where another shape can break a contract.

    Raises
    ------
    ValueError
        One is broken.
    """
    for spec in inputs:
        spec.check()
    if profile.changing_features:
        features = {spec.name: spec.features for spec in inputs}
        features.update((layer.name, layer.out_features) for layer in layers)
        for index in profile.changing_features:
            layers[index].check(features)
