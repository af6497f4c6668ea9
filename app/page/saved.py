"""A page saved as a file: every control, and the files that no link can carry."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Literal

from pydantic import Field

from app.kinds import Value
from app.page.address import Link, read_link, write_link
from app.page.store import File, Files
from app.settings import CSV_FILE, FILE
from planner.domain.arrays import Frozen
from planner.domain.language_model import LanguageModel
from planner.domain.model_profile import ModelProfile
from planner.errors import BadInputError
from profiles.files import document_text, read_document

SAVED_FILE = "what-if.json"
_LONGEST_TEXT = 16 * 2**20


class SavedText(Frozen):
    """A small text file."""

    name: Annotated[str, Field(max_length=300)]
    text: Annotated[str, Field(max_length=_LONGEST_TEXT)]


class SavedPage(Frozen):
    """What brings a page back.

    ``controls`` are those of a link (docs/page.md); ``profile`` is that of a model file, with the
    measured times, ``language`` a language model in its place. Weights are never saved.
    """

    schema_version: Literal[1] = 1
    controls: dict[str, str]
    profile: ModelProfile | None = None
    language: LanguageModel | None = None
    sensitivities: SavedText | None = None


@dataclass(frozen=True)
class Restored:
    """A saved page's controls and files."""

    link: Link
    files: Files


def save_page(
    values: Mapping[str, Value], model: ModelProfile | LanguageModel, is_own: bool, files: Files
) -> str:
    """The page's file.

    Parameters
    ----------
    values : mapping
        Of every control.
    model : ModelProfile or LanguageModel
        What is planned.
    is_own : bool
        Whether a file of the visitor's had a part in it, so that it has to be saved.
    files : Files
    """
    controls = write_link(values)
    if is_own:  # shapes, widths and times are in the profile
        in_it = ("shapes", "batch", "weight_bits", "model", "one_pass")
        controls = {k: v for k, v in controls.items() if k not in in_it}
        controls["source"] = FILE
    table = files.accuracy.get(CSV_FILE) if values["accuracy"] == CSV_FILE else None
    return document_text(
        SavedPage(
            controls=controls,
            profile=model if is_own and isinstance(model, ModelProfile) else None,
            language=model if is_own and isinstance(model, LanguageModel) else None,
            sensitivities=SavedText(name=table.name, text=table.content.decode("utf-8-sig"))
            if table
            else None,
        )
    )


def open_page(name: str, content: bytes) -> Restored:
    """Read a saved page.

    Raises
    ------
    BadInputError
        It is none.
    """
    page = read_document(content, SavedPage, what=f"page {name}")
    accuracy = {}
    brought = []
    if page.profile is not None or page.language is not None:
        brought.append(FILE)
    elif page.controls.get("source") == FILE:
        raise BadInputError(f"page {name}: its model is a file, but it holds none")
    if page.sensitivities is not None:
        brought.append(CSV_FILE)
        text = page.sensitivities.text.encode()
        accuracy[CSV_FILE] = File(page.sensitivities.name, text, f"saved:{name}")
    return Restored(
        read_link(page.controls, brought), Files(page.profile, accuracy, language=page.language)
    )
