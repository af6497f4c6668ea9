"""What a training task is: data, a network, and how long it is trained."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

from torch import Generator, Tensor, nn

Part = Literal["validation", "test"]


class Data(Protocol):
    """Training, validation and test data of one seed, none in two parts."""

    def batch(self, count: int, generator: Generator) -> tuple[Tensor, Tensor]:
        """So many training inputs, drawn by the generator, and what is wanted for them."""

    def loss(self, output: Tensor, wanted: Tensor) -> Tensor:
        """What training makes small: a scalar."""

    def quality(self, model: nn.Module, part: Part) -> float:
        """The task's metric, more is better; the model is left in evaluation mode."""

    def reference(self) -> float:
        """The metric on the test part without any learning."""


@dataclass(frozen=True)
class Budget:
    """How long and how fast a network is trained; the same for every way of pruning it.

    Attributes
    ----------
    dense_steps, tuning_steps : int
        Of the dense network, and of what is pruned from it.
    dense_rate, tuning_rate : float
        Learning rates of the first step; they fall to 0 along half a cosine.
    batch : int
        Inputs per step.
    rounds : int
        Pruning rounds, at even distances over the first half of the tuning steps.
    """

    dense_steps: int
    tuning_steps: int
    dense_rate: float
    tuning_rate: float
    batch: int
    rounds: int = 5


@dataclass(frozen=True)
class Task:
    """A task that networks are trained on.

    Attributes
    ----------
    name : str
    title : str
        In words.
    metric, unit : str
    input_shape : tuple of int
        Of the input that latencies are predicted for, a batch of one.
    split_points : tuple of str
        First layers of the second and of later block groups.
    budget : Budget
    network : callable
        A fresh network; torch's global generator decides its weights.
    data : callable
        Data by seed.
    """

    name: str
    title: str
    metric: str
    unit: str
    input_shape: tuple[int, ...]
    split_points: tuple[str, ...]
    budget: Budget
    network: Callable[[], nn.Module]
    data: Callable[[int], Data]
