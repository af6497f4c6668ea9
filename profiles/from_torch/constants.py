"""Calls that read constants alone: their work is the same for every input."""

from __future__ import annotations

from profiles.from_torch.emitter import Call, Emitter
from profiles.from_torch.handlers import COUNTED, HANDLERS, is_free, understood
from profiles.from_torch.program import AtenProgram, Body, Ref
from profiles.meanings.call import makings_of
from profiles.meanings.makings import few, making_notes, work_of


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
    beside = _beside(call)
    if not beside.operators:
        call.emitter.unknown.append(call.node.target)
        return makings_of(constants)
    kind, macs = work_of(beside)
    return call.made_of(constants, kind, macs) if macs else makings_of(constants)


def _beside(call: Call) -> Emitter:
    """The operators that would stand for a call if its data were activations."""
    values = call.emitter.values
    data = [item.name for key in ("input", "data") if isinstance(item := call.value(key), Ref)]
    inputs = [name for name in (data[:1] or call.reads) if name in values]
    program = AtenProgram(
        Body((), (call.node,), call.node.outputs, values),
        inputs={name: name for name in inputs},
        constants=frozenset(name for name in call.reads if name in values) - {*inputs},
    )
    beside = Emitter(program)
    if not understood(Call(beside, call.node), HANDLERS[call.base]):
        beside.operators.clear()
    return beside


def unread_macs(call: Call) -> int:
    """Multiply-accumulates of a call that is left out."""
    return work_of(_beside(call))[1] if call.base in COUNTED else 0


def notes_of(emitter: Emitter) -> tuple[str, ...]:
    """What a profile says of all that is no layer of it."""
    notes = making_notes(emitter.made())
    notes += [f"assumed: {what}" for what in dict.fromkeys(emitter.assumed)]
    unread = [call for call in emitter.unread if call.macs]
    if unread:
        modules = list(dict.fromkeys(call.module for call in unread))
        notes.append(
            f"{sum(call.macs for call in unread):,} MACs of {len(unread)} products whose results "
            f"nobody reads are left out ({few(modules)})"
        )
    if emitter.unknown:
        names = list(dict.fromkeys(emitter.unknown))
        notes.append(f"of operators on weights alone {few(names)} are not known and not counted")
    return tuple(notes)
