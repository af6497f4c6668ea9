"""What a front end hands to a meaning, and what a meaning hands back: one call of a graph.

A front end's handler translates names, attributes and the order of arguments; the functions
beside this file say what the operator does, as operators that `Call.add` takes.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from profiles.graph import Kind, Tensor

Shape = tuple[int, ...]


class MisfitError(ValueError):
    """Operands of a call that do not fit each other; says what the call does with what."""


class Constant(Protocol):
    """A tensor that no input changes. What it stores, a front end alone knows."""

    @property
    def shape(self) -> Shape:
        """Sizes of the dimensions."""


Operand = Tensor | Constant


class Call(Protocol):
    """One call (a node of ONNX, a call of ATen) whose operators are being written down."""

    def output_shape(self, position: int = 0) -> Shape:
        """Shape of an output."""

    def add(
        self,
        kind: Kind,
        inputs: Sequence[Tensor],
        op: str = "",
        *,
        shape: Sequence[int] | None = None,
        position: int = 0,
        step: str = "",
        name: str | None = None,
        weights: Iterable[Any] = (),
        **attributes: Any,
    ) -> Tensor:
        """Add an operator.

        Parameters
        ----------
        kind : Kind
        inputs : sequence of Tensor
            The data first.
        op : str
            The name that the profile shows, the call's own by default.
        shape : sequence of int, optional
            Of the result of a step on the way; without one it is the call's output.
        position : int
            Of the output.
        step : str
            Which part of the call's work it does; empty for the work that gives it its name.
        name : str, optional
            What the result is called beside the call, where a front end names calls and not
            modules; by default after the step or the output's position.
        weights : iterable of Constant
            That this operator owns.
        **attributes
            More fields of `profiles.graph.Operator`.

        Returns
        -------
        Tensor
            What it makes.
        """

    def bind(self, tensor: Tensor, position: int = 0) -> None:
        """Say which activation an output is, where no added operator has made it as such."""
