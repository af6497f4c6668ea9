"""What the runtime needs of a traced model; front ends hand it over."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from planner.domain.model_profile import ModelProfile

if TYPE_CHECKING:
    import torch

Atoms = tuple[tuple[int, int], ...]
"""Factors of one dimension, the outermost first: size, and the step in which it counts features.

A step of 0 counts something else (positions, tokens). Positions and samples are told likewise.
"""


@dataclass(frozen=True)
class TracedTensor:
    """A model input, or what a layer makes.

    Attributes
    ----------
    shape : tuple of int
    element_bytes : int
    features : tuple of Atoms
        Per dimension; all of them together number every feature once.
    positions, samples : tuple of Atoms
        The same of positions and of samples; empty where there are none to be parted by.
    """

    shape: tuple[int, ...]
    element_bytes: int
    features: tuple[Atoms, ...]
    positions: tuple[Atoms, ...] = ()
    samples: tuple[Atoms, ...] = ()


@dataclass(frozen=True)
class TracedLayer:
    """One layer of the profile, as the traced graph has it.

    Attributes
    ----------
    kind : str
        What it does (``conv``, ``reshape``, ``elementwise``).
    output : TracedTensor
    permutation, axes : tuple of int
    start : int
        Of a transpose; dimensions that it works on; first index of a slice.
    """

    kind: str
    output: TracedTensor
    permutation: tuple[int, ...] = ()
    axes: tuple[int, ...] = ()
    start: int = 0


@dataclass(frozen=True)
class TracedCall:
    """One call of the exported graph and the layers that stand for it.

    Attributes
    ----------
    node : str
        Its name in the graph; of a call inside a graph that another one runs, that one's name
        and a dot come first.
    reads : dict of str to str
        The activations that it reads: name in the graph to layer or model input.
    layers : tuple of str
        In order.
    outputs : dict of str to int
        Layer to position, of those that make an output of the call.
    """

    node: str
    reads: dict[str, str]
    layers: tuple[str, ...]
    outputs: dict[str, int]


@dataclass(frozen=True, eq=False)
class TracedModel:
    """A torch module with its exported graph and the profile of it.

    Attributes
    ----------
    module : torch.nn.Module
        Its parameters are read when it is sliced.
    program : torch.export.ExportedProgram
    profile : ModelProfile
    calls : tuple of TracedCall
    inputs : dict of str to TracedTensor
    layers : dict of str to TracedLayer
    """

    module: torch.nn.Module
    program: torch.export.ExportedProgram
    profile: ModelProfile
    calls: tuple[TracedCall, ...]
    inputs: dict[str, TracedTensor]
    layers: dict[str, TracedLayer]

    def tensor(self, name: str) -> TracedTensor:
        """A model input or a layer's output."""
        return self.inputs[name] if name in self.inputs else self.layers[name].output
