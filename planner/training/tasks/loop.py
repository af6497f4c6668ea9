"""Dense training, and prune-and-fine-tune with the same budget for every plan."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from planner.domain.model_profile import ModelProfile
from planner.domain.plan import Plan
from planner.training.pruner import Pruner, Selection
from planner.training.tasks.task import Budget, Data, Task

_DENSE, _TUNING = 1, 2  # streams of random numbers of one seed


@contextmanager
def repeatable() -> Iterator[None]:
    """One thread and deterministic algorithms inside: a seed gives the same weights again."""
    threads = torch.get_num_threads()
    before = torch.are_deterministic_algorithms_enabled()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
        torch.set_num_threads(threads)


def fresh_network(task: Task, seed: int) -> nn.Module:
    """The task's network with the weights that a seed gives; the global generator is as before."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        return task.network()


def train_dense(task: Task, data: Data, seed: int, budget: Budget) -> nn.Module:
    """The dense network that everything is pruned from."""
    model = fresh_network(task, seed)
    _train(model, data, budget.dense_steps, budget.dense_rate, budget.batch, _stream(seed, _DENSE))
    return model


def prune_and_tune(
    dense: nn.Module,
    plan: Plan,
    profile: ModelProfile,
    data: Data,
    seed: int,
    budget: Budget,
    selection: Selection = "largest",
) -> nn.Module:
    """Prune a copy of a dense network to a plan in rounds, and fine-tune it as it goes.

    Rounds are at even distances over the first half of the steps, so that the second half trains
    what the plan keeps. All plans of a seed see the same batches.

    Raises
    ------
    BadInputError
        The plan does not fit the network.
    """
    model = copy.deepcopy(dense)
    pruner = Pruner(model, plan, profile, selection=selection, seed=seed)
    steps, rounds = budget.tuning_steps, budget.rounds
    begins = {index * (steps // 2) // rounds: (index + 1) / rounds for index in range(rounds)}

    def before_step(step: int) -> None:
        if step in begins:
            pruner.prune(begins[step])

    generator = _stream(seed, _TUNING)
    _train(model, data, steps, budget.tuning_rate, budget.batch, generator, before_step)
    pruner.finalize()
    return model


def _train(
    model: nn.Module,
    data: Data,
    steps: int,
    rate: float,
    batch: int,
    generator: torch.Generator,
    before_step: Callable[[int], None] = lambda step: None,
) -> None:
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    model.train()
    for step in range(steps):
        before_step(step)
        given, wanted = data.batch(batch, generator)
        optimizer.zero_grad()
        data.loss(model(given), wanted).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


def _stream(seed: int, purpose: int) -> torch.Generator:
    return torch.Generator().manual_seed(1000 * seed + purpose)
