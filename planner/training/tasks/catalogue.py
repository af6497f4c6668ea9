"""The tasks by name, imported when one is asked for."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from planner.errors import BadInputError, install_advice

if TYPE_CHECKING:
    from planner.training.tasks.task import Task

_MODULES = {
    "digits-cnn": "planner.training.tasks.digits_cnn",
    "digits-vit": "planner.training.tasks.digits_vit",
    "super-resolution": "planner.training.tasks.super_resolution",
}
TASK_NAMES = tuple(_MODULES)


def load_task(name: str) -> Task:
    """A task with its network, data and budget.

    Raises
    ------
    BadInputError
        There is no such task, or a package that it needs is not installed.
    """
    if name not in _MODULES:
        raise BadInputError(f"task {name!r}: give one of {', '.join(TASK_NAMES)}")
    try:
        for package in ("torch", "sklearn", "skimage"):
            import_module(package)
    except ImportError as error:
        raise BadInputError(
            f"task {name}: {error.name} is not installed; the training tasks need it: "
            f"{install_advice('training')}"
        ) from error
    return cast("Task", import_module(_MODULES[name]).TASK)
