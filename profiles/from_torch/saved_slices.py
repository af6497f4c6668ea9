"""Slices of a model in a folder: a document and a safetensors file for every node."""

from __future__ import annotations

import hashlib
import os
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field

from planner.domain.arrays import Frozen
from planner.errors import BadInputError
from profiles.files import check_file, make_folder, one_line, read_document, write_atomically
from profiles.from_torch.hygiene import first_line, import_torch

if TYPE_CHECKING:
    import torch

    from planner.run.share import Share
    from planner.runtime.running.slices import Slices
    from planner.runtime.running.times import LayerTime
    from planner.runtime.running.traffic import Traffic

_INDEX = "slices.json"
_LARGEST = 2**40
Size = Annotated[int, Field(ge=1, lt=_LARGEST)]


class InputDocument(Frozen):
    """A model input."""

    name: str
    shape: tuple[Size, ...]
    dtype: str


class OutputDocument(Frozen):
    """A model output and the nodes that hold parts of it.

    Where each part lies is in the node's file: the tensor ``#output/NAME``.
    """

    name: str
    shape: tuple[Size, ...]
    nodes: tuple[str, ...] = Field(min_length=1)
    stored: str | None = Field(default=None, description="what they store it under; null: NAME")


class StretchDocument(Frozen):
    """A layer, a conversion, or a part of a change of group, and who takes part."""

    name: str
    nodes: tuple[str, ...]


class TrafficDocument(Frozen):
    """The cost model's word on a layer."""

    layer: str
    sent_bytes: tuple[tuple[str, str, int], ...] = Field(description="sender, receiver, bytes")
    wire_bytes: int
    macs: dict[str, int]


class FormDocument(Frozen):
    """Shape and type of what a message, or a part of an output, is."""

    node: str = Field(description="that it is sent to; of an output, that holds the part")
    name: str = Field(description="of the message or the output")
    shape: tuple[int, ...]
    dtype: str


class TimeDocument(Frozen):
    """The cost model's word on the time of a layer or a change of group."""

    layer: str
    latency_s: float
    comm_s: float
    compute_s: float


class RunDocument(Frozen):
    """What a node must know of the others to run alone, in a process of its own."""

    plan_digest: str
    messages: tuple[FormDocument, ...]
    parts: tuple[FormDocument, ...]
    reads: dict[str, tuple[str, ...]] = Field(description="by node, model inputs that it needs")
    times: tuple[TimeDocument, ...]


class SlicesDocument(Frozen):
    """Everything but the nodes' own parts."""

    schema_version: Literal[3] = 3
    model: str
    inputs: tuple[InputDocument, ...]
    outputs: tuple[OutputDocument, ...]
    output_names: tuple[str, ...]
    first_group: tuple[str, ...]
    stretches: tuple[StretchDocument, ...]
    files: dict[str, str] = Field(description="by node, without the ending")
    predicted: tuple[TrafficDocument, ...]
    run: RunDocument | None = Field(default=None, description="null: cut before runs were known")


def save_slices(slices: Slices, folder: str | os.PathLike[str]) -> None:
    """Write ``slices.json``, and for every node a ``.json`` and a ``.safetensors``.

    Parameters
    ----------
    slices : Slices
    folder : path
        Made where it is missing; files of the same names are replaced.

    Raises
    ------
    BadInputError
        It is no place for files.
    """
    from safetensors.torch import save

    from planner.runtime.documents import node_document

    place, index = Path(folder), _index(slices)
    make_folder(place, label := one_line(str(place)))
    try:
        (place / _INDEX).unlink(missing_ok=True)  # of other slices, until these are whole
    except OSError as error:
        raise BadInputError(f"{label}: cannot be written: {error.strerror}") from error
    for name, node in slices.nodes.items():
        document, tensors = node_document(node)
        for output, form in slices.outputs.items():
            tensors |= {f"#output/{output}": p.positions for p in form.parts if p.node == name}
        stem = index.files[name]
        content = save({key: value.contiguous() for key, value in tensors.items()})
        write_atomically(place / f"{stem}.safetensors", content)
        write_atomically(place / f"{stem}.json", document.model_dump_json(indent=1))
    write_atomically(place / _INDEX, index.model_dump_json(indent=1))


def load_share(folder: str | os.PathLike[str], node: str) -> Share:
    """Read one node's part of what `save_slices` wrote; files of other nodes are not needed.

    Raises
    ------
    BadInputError
        As `load_slices`; or the folder has nothing for the node, or was written before runs were
        known.
    """
    import_torch()
    from planner.run.share import Share
    from planner.runtime.compiling.programs import program_alone
    from planner.runtime.documents import dtype_named
    from planner.runtime.running.program import Form

    path = Path(folder) / _INDEX
    index = read_document(path, SlicesDocument, what="slices")
    if node not in index.files:
        raise BadInputError(f"slices {path}: have no node {node!r}; {', '.join(index.files)}")
    if index.run is None:
        raise BadInputError(
            f"slices {path}: were written by an earlier version and do not say what is sent; "
            "write them again with `planner slice`"
        )
    slices = load_slices(folder, only=node)
    try:
        messages, parts = (
            [(item.node, item.name, Form(item.shape, dtype_named(item.dtype))) for item in told]
            for told in (index.run.messages, index.run.parts)
        )
        sent = {name: form for receiver, name, form in messages if receiver == node}
        program = program_alone(slices, node, sent)
        inputs = {
            name: Form(shape, dtype_named(dtype)) for name, (shape, dtype) in slices.inputs.items()
        }
    except BadInputError as error:
        raise BadInputError(f"slices {path}: {error}") from error
    return Share(
        model=index.model,
        program=program,
        nodes=tuple(index.files),
        source=index.first_group[0],
        reads=index.run.reads,
        inputs=inputs,
        outputs={name: slices.outputs[name].shape for name in dict.fromkeys(index.output_names)},
        parts={
            output: {n: form for n, name, form in parts if name == output}
            for output in index.output_names
        },
        positions={
            name: part.positions for name, form in slices.outputs.items() for part in form.parts
        },
        stretches=tuple(item.name for item in slices.stretches),
        predicted=slices.predicted,
        times=slices.times,
        plan_digest=slices.plan_digest,
        slices_digest=hashlib.sha256(path.read_bytes()).hexdigest(),
    )


def load_slices(folder: str | os.PathLike[str], *, only: str | None = None) -> Slices:
    """Read what `save_slices` wrote; it runs without the model.

    Parameters
    ----------
    folder : path
    only : str, optional
        The one node that is read; by default all are.

    Raises
    ------
    BadInputError
        A file is missing, damaged, or names what is not there.
    """
    import_torch()
    from planner.runtime.documents import NodeDocument, node_from
    from planner.runtime.running.sizes import check_sizes
    from planner.runtime.running.slices import OutputForm, Part, Slices, Stretch

    place = Path(folder)
    index = read_document(place / _INDEX, SlicesDocument, what="slices")
    nodes, tensors = {}, {}
    for name, stem in index.files.items():
        if only not in (None, name):
            continue
        if Path(stem).name != stem:
            raise BadInputError(f"slices {place / _INDEX}: {stem!r} is no name of a file")
        document = read_document(place / f"{stem}.json", NodeDocument, what="slices")
        tensors[name] = _tensors(place / f"{stem}.safetensors")
        try:
            nodes[name] = node_from(document, tensors[name])
        except BadInputError as error:
            raise BadInputError(f"slices {place / stem}.json: {error}") from error
    try:
        outputs = {
            item.name: OutputForm(
                item.shape,
                tuple(
                    Part(n, tensors[n][f"#output/{item.name}"].long())
                    for n in item.nodes
                    if only in (None, n)
                ),
                item.stored or item.name,
            )
            for item in index.outputs
        }
    except KeyError as error:
        raise BadInputError(f"slices {place / _INDEX}: {error.args[0]!r} is not there") from error
    for stretch in index.stretches:
        for name in stretch.nodes:
            if name not in index.files:
                raise BadInputError(f"slices {place / _INDEX}: there is no node {name!r}")
    slices = Slices(
        model=index.model,
        inputs={item.name: (item.shape, item.dtype) for item in index.inputs},
        outputs=outputs,
        output_names=index.output_names,
        input_nodes=index.first_group,
        stretches=tuple(Stretch(item.name, item.nodes) for item in index.stretches),
        nodes=nodes,
        predicted=_traffic(index),
        plan_digest=index.run.plan_digest if index.run else "",
        times=_times(index.run),
    )
    told = index.run.messages if index.run and only else ()
    sizes = {item.name: prod(item.shape) for item in told if item.node == only}
    try:
        check_sizes(slices, sizes)
    except BadInputError as error:
        raise BadInputError(f"slices {place}: {error}") from error
    return slices


def _tensors(path: Path) -> dict[str, torch.Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    check_file(path, one_line(f"slices {path}"))
    try:
        return load_file(path)
    except (OSError, SafetensorError, ValueError) as error:
        raise BadInputError(f"slices {path}: {first_line(error)}") from error


def _index(slices: Slices) -> SlicesDocument:
    said = slices.predicted
    layers = dict.fromkeys((*said.sent_bytes, *said.macs))
    return SlicesDocument(
        model=slices.model,
        inputs=tuple(
            InputDocument(name=name, shape=shape, dtype=dtype)
            for name, (shape, dtype) in slices.inputs.items()
        ),
        outputs=tuple(
            OutputDocument(
                name=name,
                shape=form.shape,
                nodes=tuple(part.node for part in form.parts),
                stored=form.stored,
            )
            for name, form in slices.outputs.items()
        ),
        output_names=slices.output_names,
        first_group=slices.input_nodes,
        stretches=tuple(
            StretchDocument(name=item.name, nodes=item.nodes) for item in slices.stretches
        ),
        files={name: f"node{number}" for number, name in enumerate(slices.nodes)},
        predicted=tuple(
            TrafficDocument(
                layer=layer,
                sent_bytes=tuple(
                    (*pair, size) for pair, size in said.sent_bytes.get(layer, {}).items()
                ),
                wire_bytes=said.wire_bytes.get(layer, 0),
                macs=said.macs.get(layer, {}),
            )
            for layer in layers
        ),
        run=_run(slices),
    )


def _run(slices: Slices) -> RunDocument:
    from planner.runtime.compiling.programs import programs_of
    from planner.runtime.running.program import Await, Form, read_by

    def document(node: str, name: str, form: Form) -> FormDocument:
        dtype = str(form.dtype).removeprefix("torch.")
        return FormDocument(node=node, name=name, shape=form.shape, dtype=dtype)

    programs = programs_of(slices)
    return RunDocument(
        plan_digest=slices.plan_digest,
        messages=tuple(
            document(node, action.message, program.forms[action.message])
            for node, program in programs.items()
            for action in program.actions
            if isinstance(action, Await)
        ),
        parts=tuple(
            document(node, output, Form((form.size,), form.dtype))
            for node, program in programs.items()
            for output, value in program.outputs.items()
            for form in (program.forms[value],)
        ),
        reads={
            node: tuple(name for name in program.inputs if name in read_by(program))
            for node, program in programs.items()
        },
        times=tuple(
            TimeDocument(layer=layer, latency_s=x.latency_s, comm_s=x.comm_s, compute_s=x.compute_s)
            for layer, x in slices.times.items()
        ),
    )


def _times(run: RunDocument | None) -> dict[str, LayerTime]:
    from planner.runtime.running.times import LayerTime

    told = run.times if run else ()
    return {x.layer: LayerTime(x.latency_s, x.comm_s, x.compute_s) for x in told}


def _traffic(index: SlicesDocument) -> Traffic:
    from planner.runtime.running.traffic import Traffic

    found = Traffic()
    for item in index.predicted:
        for sender, receiver, size in item.sent_bytes:
            found.add_bytes(item.layer, (sender, receiver), size)
        if item.wire_bytes:
            found.wire_bytes[item.layer] = item.wire_bytes
        for node, macs in item.macs.items():
            found.add_macs(item.layer, node, macs)
    return found
