"""Slices of a model for ONNX Runtime: a folder for every node, which needs nothing of ours."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import BadInputError
from profiles.files import make_folder, one_line, read_document, write_atomically
from profiles.from_torch.hygiene import import_torch

if TYPE_CHECKING:
    from planner.runtime.running.program import Program
    from planner.runtime.running.slices import Slices

_DOCUMENT = "program.json"
_SEGMENTS = "segments"


def export_slices(slices: Slices, folder: str | os.PathLike[str]) -> dict[str, Path]:
    """Write ``program.json`` and ``segments/NNN.onnx`` of every node.

    Parameters
    ----------
    slices : Slices
    folder : path
        Made where it is missing; files of the same names are replaced.

    Returns
    -------
    dict of str to Path
        By node: its folder, ``node0`` and so on.

    Raises
    ------
    BadInputError
        It is no place for files, or a layer cannot be exported.
    """
    from planner.runtime.compiling.exported import ComputeDocument, program_document
    from planner.runtime.compiling.onnx import onnx_of
    from planner.runtime.compiling.programs import programs_of

    programs = programs_of(slices)
    documents = {name: program_document(slices, programs, name) for name in programs}
    models = onnx_of(programs)
    found = {}
    for number, (name, document) in enumerate(documents.items()):
        place = found[name] = Path(folder) / f"node{number}"
        make_folder(place / _SEGMENTS, one_line(str(place)))
        files = [a.segment for a in document.actions if isinstance(a, ComputeDocument)]
        for file, content in zip(files, models[name], strict=True):
            write_atomically(place / _SEGMENTS / file, content)
        write_atomically(place / _DOCUMENT, document.model_dump_json(indent=1))
    return found


def load_exported(folder: str | os.PathLike[str], *, threads: int = 1) -> Program:
    """Read one node's folder: its segments are run by ONNX Runtime.

    Parameters
    ----------
    folder : path
        Of the node.
    threads : int
        That ONNX Runtime computes with.

    Raises
    ------
    BadInputError
        A file is missing, damaged, or names what is not there.
    """
    import_torch()
    from planner.runtime.compiling.exported import (
        ComputeDocument,
        ProgramDocument,
        program_from,
    )
    from planner.runtime.compiling.onnx import OnnxSegment

    place = Path(folder)
    document = read_document(place / _DOCUMENT, ProgramDocument, what="program")
    modules = {}
    for action in document.actions:
        if isinstance(action, ComputeDocument):
            module = OnnxSegment(place / _SEGMENTS / action.segment, threads=threads)
            if module.arity != (len(action.reads), len(action.makes)):
                raise BadInputError(
                    f"program {place / _DOCUMENT}: {action.name!r} reads and makes "
                    f"{(len(action.reads), len(action.makes))} values, its model {module.arity}"
                )
            modules[action.segment] = module
    try:
        return program_from(document, modules)
    except BadInputError as error:
        raise BadInputError(f"program {place / _DOCUMENT}: {error}") from error
