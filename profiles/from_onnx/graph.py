"""From an ONNX model with known shapes to the graph that every front end hands over."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from math import prod

import onnx

from planner.errors import BadInputError
from profiles.from_onnx.bodies import Inside
from profiles.from_onnx.call import Call
from profiles.from_onnx.emitter import Emitter
from profiles.from_onnx.handlers import HANDLERS, opaque, simple
from profiles.from_onnx.inferred import Inferred, ShapeGapError
from profiles.from_onnx.inputs import graph_inputs
from profiles.from_onnx.ops import DATA_FIRST, shown_name
from profiles.graph import Graph
from profiles.meanings.call import (
    MisfitError,
    UnknownFormError,
    makings_of,
    many,
    require,
    roots_of,
)
from profiles.meanings.makings import making_notes, work_of

BEYOND = "size not known"
_GUESSED = "the sizes of {} tensors are not known, nor the work on them: taken for their inputs'"
_SPARSE = "{} sparse tensors work as dense ones: runtimes without sparse kernels multiply all"
_NAME_CHARACTERS = 400  # of a node, that may name its layer


# Their handlers do not need the first output to be wanted.
_ANY_OUTPUT = frozenset(
    (
        "MaxPool Split TopK Loop Scan LSTM GRU RNN ai.onnx.ml.LinearClassifier "
        "com.microsoft.DynamicQuantizeLSTM"
    ).split()
)


def translate(
    model: onnx.ModelProto,
    inferred: Inferred,
    name: str,
    assumed: dict[str, str],
    inner: Callable[[onnx.ModelProto], Inside],
    *,
    partial: bool = False,
    guessing: bool = False,
) -> Graph:
    """Translate a model, node by node in the file's order, which is topological.

    Parameters
    ----------
    model : onnx.ModelProto
        Without Ifs.
    inferred : Inferred
    name : str
        The graph's.
    assumed : dict of str to str
        Outputs of the Ifs that were there, and what was assumed of each.
    inner : callable
        What is inside of a loop's body.
    partial : bool
        The model is a part of one, which need not depend on the inputs.
    guessing : bool
        Nodes whose output's size is not known, and those behind them, are not counted.

    Raises
    ------
    BadInputError
        A layer's shape is not known, its tensors do not fit each other, or nothing depends on
        the inputs.
    """
    emitter = Emitter(inferred, list(model.opset_import), assumed, inner, guessing=guessing)
    given = graph_inputs(model)
    for value in given:
        if emitter.is_empty(value.name):
            emitter.derive(value.name, (), from_shape=False)
            emitter.assumed[value.name] = f"input {value.name!r} is empty"
    inputs = tuple(
        emitter.described(value.name, f"input {value.name!r}")
        for value in given
        if value.name not in emitter.constants
    )
    for tensor in inputs:
        emitter.activations[tensor.name] = tensor
        emitter.label(tensor.name)
    for weight in model.graph.initializer:
        emitter.store(weight.name, weight.data_type, tuple(weight.dims), prod(weight.dims))
    for sparse in model.graph.sparse_initializer:
        emitter.store_sparse(sparse.values.name, sparse)
    calls = list(labelled(model.graph, emitter))
    used = {name for call in calls for name in call.reads}
    used |= {value.name for value in model.graph.output}
    for call in calls:
        if call.op_type in ("Shape", "Size"):
            for output in call.outputs:
                emitter.derive(output, (), from_shape=True)
        elif call.activations and not all(map(emitter.is_empty, filter(None, call.outputs))):
            _translate_call(call, used)
        else:
            _keep_constant(call)
    made = [emitter.activations.get(value.name) for value in model.graph.output]
    outputs = tuple(dict.fromkeys(tensor.name for tensor in made if tensor is not None))
    if not partial and (not emitter.operators or not outputs):
        raise BadInputError("has no output that depends on its inputs: there is nothing to plan")
    if emitter.guessed:
        emitter.assumed[""] = _GUESSED.format(len(emitter.guessed))
    if emitter.sparse:
        emitter.assumed["sparse"] = _SPARSE.format(len(emitter.sparse))
    makings = emitter.made()
    notes = (*dict.fromkeys(emitter.assumed.values()), *making_notes(makings))
    return Graph(
        name,
        inputs,
        outputs,
        tuple(emitter.operators),
        notes,
        makings=makings,
        stored=emitter.owned(),
    )


def labelled(graph: onnx.GraphProto, emitter: Emitter) -> Iterator[Call]:
    """The nodes under their names, or ``optype_k`` where they have none of their own."""
    names = Counter(proto.name for proto in graph.node)
    taken = {value.name for value in graph.input}
    own = {
        name
        for name, count in names.items()
        if name and count == 1 and len(name) <= _NAME_CHARACTERS and name not in taken
    }
    for name in own:
        emitter.label(name)
    numbers: Counter[str] = Counter()
    for proto in graph.node:
        if proto.name in own:
            yield Call(emitter, proto, proto.name)
            continue
        operator = shown_name(proto.op_type)[:_NAME_CHARACTERS]
        numbers[operator] += 1
        yield Call(emitter, proto, emitter.label(f"{operator}_{numbers[operator]}"))


def _translate_call(call: Call, used: set[str]) -> None:
    named = [position for position, name in enumerate(call.outputs) if name]
    if not named:
        return
    full = [p for p in named if not call.emitter.is_empty(call.outputs[p])]
    call.used = [position for position in full if call.outputs[position] in used] or full[:1]
    first = call.used[0]
    if call.emitter.guessing and _is_beyond(call, named):
        opaque(call, first, BEYOND)
    else:
        _handled(call, first)
    source = call.made[min(call.made)]
    for position in named:
        if position not in call.made and position in call.used:
            call.add("opaque", [source], position=position, step=f"output {position}")
        if position in call.made:
            call.emitter.activations[call.outputs[position]] = call.made[position]


def _is_beyond(call: Call, named: list[int]) -> bool:
    """Whether a size that is not known stands before a node or is made by it.

    Sizes of its outputs that are not known are taken to be those of what it reads.
    """
    emitter = call.emitter
    outputs = [call.outputs[position] for position in named]
    unknown = [name for name in outputs if not emitter.is_known(name)]
    for name in unknown:
        emitter.guess(name, call.activations[0])
    return bool(unknown) or any(name in emitter.guessed for name in call.reads)


def _handled(call: Call, first: int) -> None:
    try:
        require(first == 0 or call.op_type in _ANY_OUTPUT)
        HANDLERS.get(call.op_type, simple)(call)
    except UnknownFormError:
        opaque(call, first)
    except ShapeGapError:  # inside of a loop
        if not call.emitter.guessing:
            raise
        opaque(call, first, BEYOND)
    except MisfitError as error:
        raise BadInputError(f"node {call.name!r} ({call.op_type}) {error}") from error


def _keep_constant(call: Call) -> None:
    """A node without activations, or that makes nothing: its outputs are constants too."""
    emitter, inferred = call.emitter, call.emitter.inferred
    reads = call.constants
    from_shape = any(constant.from_shape for constant in reads)
    if call.op_type == "DequantizeLinear":
        made_of = [*reads[:1], *many(reads[1:])]
        emitter.settings.update(roots_of(reads[1:]))
    elif call.op_type in DATA_FIRST:
        made_of = reads[:1]
    else:
        made_of = call.weights
    is_product = call.op_type in _PRODUCTS and not from_shape
    makings = _made(call) if is_product else makings_of(made_of)
    stores = call.op_type in ("Constant", "ConstantOfShape") or not (reads or call.activations)
    sparse = call.attributes.get("sparse_value") if call.op_type == "Constant" else None
    for name in filter(None, call.outputs):
        if sparse is not None:
            emitter.store_sparse(name, sparse)
            continue
        shape, data_type = inferred.shapes.get(name), inferred.element_types.get(name, 0)
        if stores and not from_shape and shape is not None and _is_number(data_type):
            emitter.store(name, data_type, shape, prod(shape))
        else:
            emitter.derive(name, made_of, from_shape=from_shape, makings=makings)


_PRODUCTS = frozenset("Conv ConvTranspose Einsum Gemm MatMul com.microsoft.FusedMatMul".split())


def _made(call: Call) -> tuple[str, ...]:
    """Note a product of constants, as one of activations of the same shapes."""
    known = call.emitter
    emitter = Emitter(known.inferred, known.opsets, {}, known.inner)
    factors = call.inputs if call.op_type == "Einsum" else call.inputs[:2]
    try:
        for name in factors:
            emitter.activations[name] = known.described(name, "a weight")
        made = Call(emitter, call.proto, "made")
        made.used = [0]
        HANDLERS[call.op_type](made)
    except (BadInputError, UnknownFormError, MisfitError):
        return makings_of(call.constants)
    return call.made_of(call.constants, *work_of(emitter))


def _is_number(data_type: int) -> bool:
    return data_type not in (onnx.TensorProto.UNDEFINED, onnx.TensorProto.STRING)
