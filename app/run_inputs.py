"""Inputs of runs: from files that hold numbers alone, or drawn; and outputs into files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from planner.errors import BadInputError
from profiles.files import (
    check_file,
    check_folder,
    check_writable,
    is_same_file,
    make_folder,
    one_line,
    write_atomically,
)

if TYPE_CHECKING:
    import torch

    from planner.runtime.running.program import Form

INPUT_FILES = (".npy", ".safetensors")
_FEW = 8  # numbers of tokens that every vocabulary has


def read_inputs(paths: Sequence[Path], forms: dict[str, Form]) -> list[dict[str, torch.Tensor]]:
    """One input of every file, checked against what the model was traced with.

    Parameters
    ----------
    paths : sequence of Path
        ``.npy`` for a model with one input; ``.safetensors`` with one tensor for every input.
    forms : dict of str to Form

    Raises
    ------
    BadInputError
        A file is no such file, or holds another shape or type, NaN or infinity.
    """
    return [_checked(_read(path, forms), forms, one_line(str(path))) for path in paths]


def drawn_inputs(count: int, forms: dict[str, Form], seed: int) -> list[dict[str, torch.Tensor]]:
    """Random inputs: normal numbers, small whole numbers, and masks that hide nothing."""
    import torch

    generator = torch.Generator().manual_seed(seed)

    def drawn(name: str, form: Form) -> torch.Tensor:
        if form.dtype.is_floating_point:
            return torch.randn(form.shape, generator=generator).to(form.dtype)
        if name.endswith("mask") or form.dtype == torch.bool:
            return torch.ones(form.shape, dtype=form.dtype)
        return torch.randint(0, _FEW, form.shape, generator=generator, dtype=form.dtype)

    return [{name: drawn(name, form) for name, form in forms.items()} for _ in range(count)]


class Outputs:
    """Takes the outputs of runs: writes those of each input once, and notes NaN.

    Parameters
    ----------
    folder : Path or None
        None: they are not written.
    number_of : callable
        The input of a run, counted from 0; None of a run whose outputs are not wanted.
    inputs : sequence of Path
        Files, which stay as they are.

    Raises
    ------
    BadInputError
        The folder cannot be made or written to, or an output would replace an input.
    """

    def __init__(
        self,
        folder: Path | None,
        number_of: Callable[[int], int | None],
        inputs: Sequence[Path] = (),
    ) -> None:
        self._folder, self._number_of = folder, number_of
        self.notes: list[str] = []
        self.written: list[Path] = []
        if folder is not None:
            self._label = f"--output-dir {one_line(str(folder))}"
            check_folder(folder, self._label)
            if folder.exists():
                check_writable(_output_file(folder, 0))
            for number, path in enumerate(inputs):
                if is_same_file(file := _output_file(folder, number), path):
                    raise BadInputError(
                        f"{self._label}: {file.name} there is an --input; name another folder"
                    )

    def __call__(self, run: int, outputs: dict[str, torch.Tensor]) -> None:
        """Write one run's, whole or not at all."""
        from safetensors.torch import save

        number = self._number_of(run)
        if number is None:
            return
        for name, value in outputs.items():
            if value.dtype.is_floating_point and not value.isfinite().all():
                self.notes.append(f"output {name!r} of input {number + 1} holds NaN or infinity")
        if self._folder is not None:
            make_folder(self._folder, self._label)
            path = _output_file(self._folder, number)
            write_atomically(path, save({k: v.contiguous() for k, v in outputs.items()}))
            self.written.append(path)


def _output_file(folder: Path, number: int) -> Path:
    return folder / f"output-{number + 1:04d}.safetensors"


def _read(path: Path, forms: dict[str, Form]) -> dict[str, torch.Tensor]:
    import numpy as np
    import torch
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    label = one_line(str(path))
    if path.suffix.lower() not in INPUT_FILES:
        raise BadInputError(f"--input {label}: give {' or '.join(INPUT_FILES)}")
    check_file(path, f"--input {label}")
    try:
        if path.suffix.lower() == ".safetensors":
            return load_file(path)
        array = np.load(path, allow_pickle=False)
        found = torch.from_numpy(np.ascontiguousarray(array))
    except (OSError, ValueError, TypeError, EOFError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error).splitlines()[0]
        raise BadInputError(f"--input {label}: cannot be read: {one_line(reason)}") from error
    if len(forms) > 1:
        names = ", ".join(forms)
        raise BadInputError(f"--input {label}: the model reads {names}; give .safetensors files")
    return {name: found for name in forms}


def _checked(
    found: dict[str, torch.Tensor], forms: dict[str, Form], label: str
) -> dict[str, torch.Tensor]:
    if set(found) != set(forms):
        raise BadInputError(
            f"--input {label}: holds {', '.join(map(one_line, found)) or 'nothing'}; the model "
            f"reads {', '.join(forms)}"
        )
    for name, form in forms.items():
        value = found[name]
        if tuple(value.shape) != form.shape or value.dtype != form.dtype:
            raise BadInputError(
                f"--input {label}: {name!r} has the shape {tuple(value.shape)} and the type "
                f"{str(value.dtype).removeprefix('torch.')}; the model was traced with "
                f"{form.shape} and {str(form.dtype).removeprefix('torch.')}"
            )
        if value.dtype.is_floating_point and not value.isfinite().all():
            raise BadInputError(f"--input {label}: {name!r} holds NaN or infinity")
    return {name: found[name].contiguous() for name in forms}
