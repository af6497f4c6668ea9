"""Loop and Scan of ONNX: one layer with the work of all its iterations, on one node."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from fractions import Fraction
from math import prod

from profiles.from_onnx.bodies import Body, Inside, Shape, body_of, growth_of
from profiles.from_onnx.call import Call
from profiles.from_onnx.file import tensors
from profiles.graph import Stored
from profiles.macs import FREE_KINDS, MAC_FORMULAS, graph_macs
from profiles.meanings.call import Constant, UnknownFormError, require


def loop(call: Call) -> None:
    """Count the body once per trip; once in all, and say so, where trips are not known."""
    emitter = call.emitter
    body = _body(call)
    first = emitter.inner(body.model)
    known = {*MAC_FORMULAS, *FREE_KINDS}
    operators = first.graph.operators
    strange = sorted({o.source_op for o in operators if o.kind not in known})
    notes = [f"uncounted inside: {', '.join(strange)}"[:200]] if strange else []
    said = [f"inside of {call.op_type} {call.name!r}: {note}" for note in first.graph.notes]
    if not body.known:
        notes.append("trip count assumed 1")
        said.append(f"{call.op_type} {call.name!r}: trip count assumed 1")
    if any("assumed" in note for note in first.graph.notes):
        notes.append("assumed inside")
    macs = _macs(call, body, first)
    for number, note in enumerate(said):
        emitter.assumed[f"{call.outputs[0]}/{number}"] = note
    wanted = [position for position, name in enumerate(call.outputs) if name]
    whole = call.add(
        "opaque" if strange else "loop",
        call.activations,
        position=wanted[0],
        beside="",
        step="; ".join(notes),
        weights=_weights(call, body, first.graph.stored),
        repeated_macs=macs,
    )
    for position in wanted[1:]:
        call.add("identity", [whole], position=position, step=f"output {position}")


def _body(call: Call, trip: int = 0, growth: Sequence[Shape] = ()) -> Body:
    emitter = call.emitter
    known = emitter.constants.keys()
    body = body_of(call.proto, emitter.inferred, emitter.opsets, known, trip=trip, growth=growth)
    if body is None:
        raise UnknownFormError
    return body


def _macs(call: Call, body: Body, first: Inside) -> int:
    """Multiply-accumulates of all trips, each of its own size where a state grows."""
    growth = growth_of(body, first.inferred)
    if growth is None or not any(map(any, growth)):
        return body.trips * graph_macs(first.graph)

    def of_trip(trip: int) -> int:
        later = call.emitter.inner(_body(call, trip, growth).model) if trip else first
        return graph_macs(later.graph)

    return _sum_of_trips(of_trip, body.trips)


def _sum_of_trips(macs: Callable[[int], int], trips: int) -> int:
    """Add up a function of the trip that is of degree two at most, as sizes that grow make it.

    A product of two states that both grow is of degree two: three trips say all of it, and a
    fourth whether that is so.
    """
    if trips <= 4:
        return sum(map(macs, range(trips)))
    at = (0, 1, trips - 1)
    known = [macs(trip) for trip in at]

    def fitted(trip: int) -> Fraction:
        """Lagrange's polynomial through the three."""
        parts = (
            value * prod((Fraction(trip - o, here - o) for o in at if o != here), start=Fraction(1))
            for here, value in zip(at, known, strict=True)
        )
        return sum(parts, Fraction(0))

    require(fitted(trips // 2) == macs(trips // 2))
    # The sum of a polynomial of degree two over 0 … n - 1, from its values and differences there.
    start, step = fitted(0), fitted(1) - fitted(0)
    bend = fitted(2) - 2 * fitted(1) + fitted(0)
    pairs, triples = trips * (trips - 1) // 2, trips * (trips - 1) * (trips - 2) // 6
    total = trips * start + pairs * step + triples * bend
    require(total.denominator == 1)
    return int(total)


def _weights(call: Call, body: Body, stored: Iterable[Stored]) -> list[Constant]:
    """What the body's own layers store, and constants that go into the first trip."""
    emitter = call.emitter
    found = [c for c in call.constants_at(range(len(call.inputs))) if c.is_weight]
    for one in stored:
        outer = emitter.constants.get(one.name) if one.name in body.captured else None
        if outer is None:
            root = f"{call.name}/{one.name}"
            emitter.stored[root] = (one.elements, one.bytes)
            outer = Constant((one.elements,), (root,))
        elif len(outer.roots) == 1 and one.bytes == emitter.stored[outer.roots[0]][1]:
            emitter.stored[outer.roots[0]] = (one.elements, one.bytes)  # packed ones are more
        found.append(replace(outer, trained=outer.trained and one.trained))
    return found


def inside(call: Call) -> list[Constant]:
    """Constants that a node's own graphs hold."""
    return [
        call.emitter.store(
            f"{call.name}/{number}", tensor.data_type, tuple(tensor.dims), prod(tensor.dims)
        )
        for number, tensor in enumerate(tensors(call.proto))
        if tensor.data_type != tensor.STRING
    ]
