"""A node's steps as a program."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from planner.errors import BadInputError
from planner.runtime.compiling.schedule import Item, Schedule
from planner.runtime.compiling.segment import Segment
from planner.runtime.compiling.tasks import Task
from planner.runtime.running.program import Action, Await, Compute, Form, Post, Program
from planner.runtime.running.rehearsal import rehearsed
from planner.runtime.running.slices import Slices


def program_of(slices: Slices, node: str) -> Program:
    """What a node does in one run.

    Parameters
    ----------
    slices : Slices
    node : str

    Raises
    ------
    BadInputError
        There is no such node.
    """
    if node not in slices.nodes:
        raise BadInputError(f"node {node!r}: the slices are of {', '.join(slices.nodes)}")
    return programs_of(slices)[node]


def programs_of(slices: Slices) -> dict[str, Program]:
    """What every node does in one run, by its name.

    Shapes and types of all values come from a run of the programs on tensors without elements.
    """
    bare = {name: _program(slices, name) for name in slices.nodes}
    with FakeTensorMode(allow_non_fake_inputs=True):
        inputs = {name: _blank(*told) for name, told in slices.inputs.items()}
        found = rehearsed(bare, inputs).values
    return {
        name: replace(
            program,
            forms={key: Form(tuple(v.shape), v.dtype) for key, v in found[name].items()},
        )
        for name, program in bare.items()
    }


def program_alone(slices: Slices, node: str, messages: Mapping[str, Form]) -> Program:
    """What a node does in one run, where its own slice is all that there is.

    Parameters
    ----------
    slices : Slices
        Other nodes may be missing.
    node : str
    messages : mapping of str to Form
        What the node is sent, as `programs_of` had it when all slices were there.

    Raises
    ------
    BadInputError
        It waits for a message that is not among them.
    """
    bare = _program(slices, node)
    with FakeTensorMode(allow_non_fake_inputs=True):
        values = {name: _blank(*slices.inputs[name]) for name in bare.inputs}
        for action in bare.actions:
            if isinstance(action, Compute):
                made = action.module(*(values[name] for name in action.reads))
                values.update(zip(action.makes, made, strict=True))
            elif isinstance(action, Await):
                form = messages.get(action.message)
                if form is None:
                    raise BadInputError(f"nothing says how long {action.message!r} to {node!r} is")
                values[action.message] = torch.empty(form.shape, dtype=form.dtype)
    forms = {key: Form(tuple(v.shape), v.dtype) for key, v in values.items()}
    return replace(bare, forms=forms)


def _blank(shape: Sequence[int], dtype: str) -> torch.Tensor:
    return torch.empty(tuple(shape), dtype=getattr(torch, dtype))


def _program(slices: Slices, name: str) -> Program:
    """The program, its forms left out."""
    inputs = tuple(slices.inputs) if name in slices.input_nodes else ()
    schedule = Schedule(slices.nodes[name], inputs)
    outputs = {
        output: schedule.stored[form.stored]
        for output, form in slices.outputs.items()
        if any(part.node == name for part in form.parts)
    }
    actions = _actions(schedule.items, set(outputs.values()))
    return Program(node=name, actions=actions, forms={}, inputs=inputs, outputs=outputs)


def _actions(items: Sequence[Item], outputs: Collection[str]) -> tuple[Action, ...]:
    """The items, with tasks between exchanges as one segment."""
    runs: list[list[Task] | Post | Await] = []
    for item in _needed(items, outputs):
        if isinstance(item, (Post, Await)):
            runs.append(item)
        elif runs and isinstance(runs[-1], list):
            runs[-1].append(item)
        else:
            runs.append([item])
    actions: list[Action] = []
    later = set(outputs)  # what is read behind the run at hand
    for number, run in reversed(list(enumerate(runs))):
        if isinstance(run, list):
            actions.append(_segment(f"segment {number}", run, later))
            later.update(name for task in run for name in task.reads)
        else:
            actions.append(run)
            later.update({run.value} if isinstance(run, Post) else ())
    return tuple(reversed(actions))


def _needed(items: Sequence[Item], outputs: Collection[str]) -> list[Item]:
    """All but tasks that make what nothing reads."""
    wanted, found = set(outputs), []
    for item in reversed(items):
        if isinstance(item, Post):
            wanted.add(item.value)
        elif not isinstance(item, Await):
            if item.makes not in wanted:
                continue
            wanted.update(item.reads)
        found.append(item)
    return found[::-1]


def _segment(name: str, tasks: Sequence[Task], later: Collection[str]) -> Compute:
    makes = tuple(task.makes for task in tasks if task.makes in later)
    made = {task.makes for task in tasks}
    reads = tuple(dict.fromkeys(n for task in tasks for n in task.reads if n not in made))
    stretches = tuple(dict.fromkeys(task.stretch for task in tasks))
    return Compute(name, stretches, reads, makes, Segment(tasks, reads, makes))


def last_reads(program: Program) -> Mapping[int, tuple[str, ...]]:
    """Values that nothing reads behind an action, by its place: they may be forgotten then."""
    later = set(program.outputs.values())
    found: dict[int, tuple[str, ...]] = {}
    for place, action in reversed(list(enumerate(program.actions))):
        if isinstance(action, Compute):
            touched: tuple[str, ...] = (*action.reads, *action.makes)
        else:
            touched = (action.value if isinstance(action, Post) else action.message,)
        gone = tuple(name for name in dict.fromkeys(touched) if name not in later)
        if gone:
            found[place] = gone
        later.update(touched)
    return found
