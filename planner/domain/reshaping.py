"""How the numbers of a profile follow from those sizes of its inputs that may change."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from planner.domain.arrays import Frozen
from planner.domain.expressions import (
    MAX_CHARACTERS,
    Expression,
    Requirement,
    parse_expression,
    parse_requirement,
)

SizeName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
Text = Annotated[str, Field(min_length=1, max_length=MAX_CHARACTERS)]
FixedSize = Annotated[int, Field(ge=1, lt=2**62)]
Counted = Annotated[int, Field(ge=0, lt=2**62)]
Following = Literal[
    "macs",
    "in_features",
    "out_features",
    "elements_per_feature",
    "output_elements_per_feature",
    "statistics_bytes",
    "input_bytes",
    "output_bytes",
]
"""The numbers of a layer that may follow from its model's inputs."""
GEOMETRIES = ("positions", "samples")
"""Fields of a layer that are a `Geometry`, whose numbers may follow too."""
GeometryNumber = Annotated[
    str,
    Field(
        pattern=r"^(positions|samples)\.(count|statistics_bytes|\d{1,6}\.(step|per|first|last))$"
    ),
]
"""``positions.count``, ``samples.0.first``: of what the first input's samples are read from."""


class Reshaping(Frozen):
    """Expressions over the open sizes, such as ``n``, ``h`` and ``w`` of a batch of images.

    Expressions hold whole numbers, names, ``+ - * // %``, ``min`` and ``max`` (see
    `planner.domain.expressions`). A layer's number is an integer times an expression's value;
    the integer follows from the number and the value that the document has. Numbers of positions
    and samples, which may be zero or negative, are the expression's value itself.
    """

    inputs: tuple[tuple[FixedSize | SizeName, ...], ...] = Field(
        description="per input, each dimension: its fixed size or the name of an open one"
    )
    features: tuple[FixedSize | SizeName, ...] = Field(
        description="per input, how many features it has, likewise"
    )
    positions: tuple[Counted | SizeName, ...] = Field(
        default=(), description="per input, how many positions it has, likewise; none: as they are"
    )
    samples: tuple[Counted | SizeName, ...] = Field(
        default=(), description="per input, how many samples"
    )
    sizes: dict[SizeName, Text] = Field(
        default_factory=dict, max_length=2000, description="further sizes, each from those before"
    )
    requirements: tuple[Text, ...] = Field(
        default=(), max_length=500, description="comparisons under which all this holds"
    )
    numbers: tuple[dict[Following | GeometryNumber, Text], ...] = Field(
        default=(), max_length=2000, description="what a layer's numbers are in proportion to"
    )

    @property
    def open_sizes(self) -> tuple[str, ...]:
        """Names of the sizes that may change, in the order of the inputs' dimensions."""
        named = (size for shape in self.inputs for size in shape if isinstance(size, str))
        return tuple(dict.fromkeys(named))

    @cached_property
    def _sizes(self) -> dict[str, Expression]:
        return {name: parse_expression(text) for name, text in self.sizes.items()}

    @cached_property
    def _requirements(self) -> dict[str, Requirement]:
        return {text: parse_requirement(text) for text in self.requirements}

    @cached_property
    def _numbers(self) -> dict[str, Expression]:
        return {text: parse_expression(text) for row in self.numbers for text in row.values()}

    @model_validator(mode="after")
    def _knows_its_names(self) -> Self:
        known = set(self.open_sizes)
        if not known:
            raise ValueError("inputs: no size is open")
        if len(self.features) != len(self.inputs):
            raise ValueError("features: needs one entry for each of the inputs")
        for name in ("features", *GEOMETRIES):
            counts = getattr(self, name)
            if name != "features" and len(counts) not in (0, len(self.inputs)):
                raise ValueError(f"{name}: needs one entry for each of the inputs, or none")
            _check_names(frozenset(s for s in counts if isinstance(s, str)), known, name)
        for name, size in self._sizes.items():
            if name in known:
                raise ValueError(f"sizes: {name!r} is there twice")
            _check_names(size.names, known, f"sizes: {name}")
            known.add(name)
        for text, comparison in self._requirements.items():
            _check_names(comparison.names, known, f"requirements: {text!r}")
        for text, number in self._numbers.items():
            _check_names(number.names, known, f"numbers: {text!r}")
        return self

    def values(self, shapes: Sequence[tuple[int, ...]]) -> dict[str, int]:
        """Values of all names at the shapes of the inputs.

        Raises
        ------
        ValueError
            A shape differs in a fixed size, gives one name two values, or breaks a requirement.
        """
        values: dict[str, int] = {}
        for given, shape in zip(shapes, self.inputs, strict=True):
            for found, size in zip(given, shape, strict=True):
                if isinstance(size, str) and values.setdefault(size, found) != found:
                    raise ValueError(f"the size {size} is {values[size]} elsewhere, not {found}")
                if isinstance(size, int) and size != found:
                    raise ValueError(f"the size {size} is fixed, {found} is none")
        for name, expression in self._sizes.items():
            values[name] = expression.value(values)
        for text, comparison in self._requirements.items():
            if not comparison.is_met(values):
                raise ValueError(f"needs {text}{self._meaning(comparison.names)}")
        return values

    def counts(self, values: Mapping[str, int]) -> tuple[dict[str, int], ...]:
        """Per input, how many of what counts it has: features, positions and samples."""
        given = {name: getattr(self, name) for name in ("features", *GEOMETRIES)}
        return tuple(
            {
                name: values[counts[index]] if isinstance(counts[index], str) else counts[index]
                for name, counts in given.items()
                if counts
            }
            for index in range(len(self.inputs))
        )

    def number_values(self, values: Mapping[str, int]) -> tuple[dict[str, int], ...]:
        """The ``numbers`` at these values of the names, but for those of positions and samples.

        Raises
        ------
        ValueError
            One of them is below 1: an input is too small.
        """
        found: dict[str, int] = {}
        for row in self._plain_rows:
            for text in row.values():
                if text not in found and found.setdefault(text, self._value(text, values)) < 1:
                    raise ValueError(f"nothing is left of a tensor ({text} is {found[text]})")
        return tuple({key: found[text] for key, text in row.items()} for row in self._plain_rows)

    def geometry_values(self, values: Mapping[str, int]) -> tuple[dict[str, int], ...]:
        """The other ``numbers``, by their names, row by row."""
        rows: list[dict[str, int]] = []
        found: dict[str, int] = {}
        for row, plain in zip(self.numbers, self._plain_rows, strict=True):
            texts = {key: text for key, text in row.items() if key not in plain}
            for text in texts.values():
                if text not in found:
                    found[text] = self._value(text, values)
            rows.append({key: found[text] for key, text in texts.items()})
        return tuple(rows)

    @cached_property
    def _plain_rows(self) -> tuple[dict[str, str], ...]:
        return tuple(
            {key: text for key, text in row.items() if "." not in key} for row in self.numbers
        )

    def _value(self, text: str, values: Mapping[str, int]) -> int:
        return self._numbers[text].value(values)

    def _meaning(self, names: frozenset[str]) -> str:
        said = ", ".join(f"{name} is {self.sizes[name]}" for name in sorted(names & {*self.sizes}))
        return f" ({said})" if said else ""


def _check_names(names: frozenset[str], known: set[str], where: str) -> None:
    unknown = sorted(names - known)
    if unknown:
        raise ValueError(f"{where}: the name {unknown[0]!r} is not known before it")
