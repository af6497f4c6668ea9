"""Calls that read constants alone: their work is the same for every input."""

from __future__ import annotations

from profiles.from_torch.emitter import Call, Emitter
from profiles.from_torch.handlers import COUNTED, HANDLERS, is_free
from profiles.from_torch.program import AtenProgram, Body, Ref
from profiles.graph import Kind, Making, Operator, Tensor
from profiles.macs import MAC_FORMULAS, count_macs
from profiles.meanings.call import UnknownFormError, makings_of

_SHOWN = 3


def made(call: Call) -> tuple[str, ...]:
    """Note the work of a call on constants alone.

    Returns
    -------
    tuple of str
        What the result comes from, for `profiles.meanings.call.Constant.makings`.
    """
    constants = call.constants
    known = is_free(call.base) or call.base in COUNTED
    if not known and any(constant.roots for constant in constants):
        call.emitter.unknown.append(call.node.target)
    if call.base not in COUNTED:
        return makings_of(constants)
    made_here = _operators(call)
    if not made_here:
        call.emitter.unknown.append(call.node.target)
        return makings_of(constants)
    macs = sum(count_macs(operator, inputs) for operator, inputs in made_here)
    kinds: list[Kind] = [o.kind for o, _ in made_here if o.kind in MAC_FORMULAS]
    kind = kinds[0] if kinds else "matmul"
    return call.made_of(constants, kind, macs) if macs else makings_of(constants)


def _operators(call: Call) -> list[tuple[Operator, list[Tensor]]]:
    """The operators that would stand for a call if its data were activations."""
    values = call.emitter.values
    data = [item.name for key in ("input", "data") if isinstance(item := call.value(key), Ref)]
    inputs = data[:1] or [name for name in call.reads if name in values]
    program = AtenProgram(
        Body((), (call.node,), call.node.outputs, values),
        inputs={name: name for name in inputs},
        constants=frozenset(name for name in call.reads if name in values) - {*inputs},
    )
    beside = Emitter(program)
    try:
        HANDLERS[call.base](Call(beside, call.node))
    except UnknownFormError:
        return []
    tensors = {tensor.name: tensor for tensor in beside.activations.values()}
    tensors |= {operator.name: operator.output for operator in beside.operators}
    return [(o, [tensors[name] for name in o.inputs]) for o in beside.operators]


def unread_macs(call: Call) -> int:
    """Multiply-accumulates of a call that is left out."""
    if call.base not in COUNTED:
        return 0
    return sum(count_macs(operator, inputs) for operator, inputs in _operators(call))


def notes_of(emitter: Emitter) -> tuple[str, ...]:
    """What a profile says of all that is no layer of it."""
    read = emitter.made()
    counted = [making for making in read if making.counted]
    tables = [making for making in read if not making.counted]
    notes = []
    if counted:
        notes.append(
            f"{_work(counted)} products of weights alone ({_listed(counted)}) are counted in every "
            "run, once, with the layers that read them first; a runtime may do them when it loads"
        )
    if tables:
        notes.append(
            f"{_work(tables)} products of constants without trained weights ({_listed(tables)}), "
            "such as tables of positions, are work of loading and not counted"
        )
    notes += [f"assumed: {what}" for what in dict.fromkeys(emitter.assumed)]
    unread = [call for call in emitter.unread if call.macs]
    if unread:
        modules = list(dict.fromkeys(call.module for call in unread))
        notes.append(
            f"{sum(call.macs for call in unread):,} MACs of {len(unread)} products whose results "
            f"nobody reads are left out ({_few(modules)})"
        )
    if emitter.unknown:
        names = list(dict.fromkeys(emitter.unknown))
        notes.append(f"of operators on weights alone {_few(names)} are not known and not counted")
    return tuple(notes)


def _work(makings: list[Making]) -> str:
    return f"{sum(making.macs for making in makings):,} MACs of {len(makings)}"


def _listed(makings: list[Making]) -> str:
    return _few([making.call for making in makings])


def _few(names: list[str]) -> str:
    return f"{', '.join(names[:_SHOWN])}{', …' if len(names) > _SHOWN else ''}"
