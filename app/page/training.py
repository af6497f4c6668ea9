"""What training starts from: masks of a visitor's weights, and the folder as one file."""

from __future__ import annotations

import io
import tempfile
import zipfile
from pathlib import Path

from app.export import Masks, export_plan, find_masks
from app.page.answer import Answer
from app.page.apart import Watch
from app.page.store import File
from app.page.uploads import on_disk


def masks_of(answer: Answer, weights: File, watch: Watch | None = None) -> Masks:
    """The masks of an uploaded file of weights, as ``planner export --weights`` finds them.

    ``watch`` is not called: ranking has no steps, and whoever waits ends the process.

    Raises
    ------
    BadInputError
        The file does not hold the weights of the model that was planned.
    """
    with on_disk(weights) as path:
        return find_masks(answer.plan, answer.profile, path)


def export_zip(answer: Answer, masks: Masks | None) -> bytes:
    """What ``planner export`` writes, zipped."""
    out = io.BytesIO()
    with tempfile.TemporaryDirectory(prefix="planner-") as folder:
        written = export_plan(answer.plan, Path(folder), masks)
        with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
            for path in written:
                archive.write(path, path.name)
    return out.getvalue()
