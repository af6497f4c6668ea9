"""From a plan and a model to a folder of slices, as `planner slice` and a trial run make it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from app.export import planned_model
from app.progress import working
from planner.domain.plan import Plan
from planner.errors import BadInputError
from profiles.built import NOT_RUN, RUNNABLE, built_model
from profiles.from_torch.exported_slices import export_slices
from profiles.from_torch.hygiene import import_torch
from profiles.from_torch.saved_slices import save_slices

_RUNNABLE = f"what it was made for, {RUNNABLE}; {NOT_RUN}"


@dataclass(frozen=True)
class ModelOptions:
    """What a user says of the model.

    Attributes
    ----------
    source : str or None
        None: the catalogue model of the plan's name.
    input_shapes : dict
    batch : int or None
    weights : Path or None
        None: random ones.
    seed : int
    select : bool
        Drop weights that are not zero where the plan drops them.
    """

    source: str | None = None
    input_shapes: dict[str, tuple[int, ...]] | None = None
    batch: int | None = None
    weights: Path | None = None
    seed: int = 0
    select: bool = True


def slice_into(plan: Plan, folder: Path, model: ModelOptions, *, as_onnx: bool = False) -> None:
    """Cut the model as the plan says and write every node's slice.

    Parameters
    ----------
    plan : Plan
    folder : Path
    model : ModelOptions
    as_onnx : bool
        For ONNX Runtime, without this package; otherwise for `planner run`.

    Raises
    ------
    BadInputError
        The model is not the plan's, or cannot be built, cut or written.
    """
    import_torch()  # or one line that says how to get it
    from planner.runtime import slice_model

    source = model.source or planned_model(plan, _RUNNABLE)
    with working(f"building {source}") as tell:
        traced = built_model(
            source,
            input_shapes=model.input_shapes,
            batch=model.batch,
            weights=model.weights,
            seed=model.seed,
        )
        tell(f"cutting {source} into {plan.node_count} slices")
        slices = slice_model(traced, plan, select=model.select)
        tell(f"writing {folder}")
        if as_onnx:
            export_slices(slices, folder)
        else:
            save_slices(slices, folder)


def check_slices(plan: Plan, digest: str, folder: Path) -> None:
    """A folder's slices are those of the plan.

    Raises
    ------
    BadInputError
        They are of another one.
    """
    if digest != plan.digest:
        raise BadInputError(
            f"slices {folder}: are of another plan (digest {digest[:12] or 'unknown'}, this plan's "
            f"is {plan.digest[:12]}); write them with `planner slice`"
        )
