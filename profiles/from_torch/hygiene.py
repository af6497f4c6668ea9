"""Using torch and its modules without side effects: import, mode, silence, error lines."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from typing import TYPE_CHECKING, Any

from planner.errors import BadInputError, install_advice

if TYPE_CHECKING:
    import torch


def import_torch() -> Any:
    """The torch module, or one line that says how to get it."""
    try:
        import torch
    except ImportError as error:
        raise BadInputError(
            f"torch is not installed; a PyTorch model needs it: {install_advice('torch')}"
        ) from error
    return torch


@contextmanager
def evaluation_mode(module: torch.nn.Module) -> Iterator[None]:
    """Evaluation mode inside; afterwards every submodule has its own mode back."""
    modes = [(part, part.training) for part in module.modules()]
    module.eval()
    try:
        yield
    finally:
        for part, training in modes:
            part.training = training


@contextmanager
def attention_written_out() -> Iterator[None]:
    """Keep torch from running attention layers as one fused operator that no graph shows inside.

    Attention itself is traced as it is computed everywhere: with the kernels of a device its output
    would lie otherwise, and a copy behind it be in the graph of one device and not of another.
    """
    import torch
    from torch.nn.attention import SDPBackend, sdpa_kernel

    enabled = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        with sdpa_kernel(SDPBackend.MATH):
            yield
    finally:
        torch.backends.mha.set_fastpath_enabled(enabled)


@contextmanager
def quiet() -> Iterator[None]:
    """Keep torch's tracebacks, graph listings and warnings from the user: the error says all."""
    logger = logging.getLogger("torch")
    level = logger.level
    logger.setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logger.setLevel(level)


def first_line(error: Exception) -> str:
    """The first line of an error's text, or its type where it has none."""
    lines = str(error).strip().splitlines()
    return lines[0][:300] if lines else type(error).__name__
