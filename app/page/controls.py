"""Draws the control of a setting; its words, range and options stand in `app.settings`.

Every control keeps its value for the session: another view does not draw it, and a run that a new
one interrupts may not reach it.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import streamlit as st

from app.glossary import explained
from app.kinds import Flag, Number, OneOf, SomeOf, Text
from app.page.address import CONTROLS
from app.page.hints import hint
from app.setting import Setting


def draw_control(key: str, place: Any = st, **more: Any) -> None:
    """Draw a control; its value is the session's of that key.

    Parameters
    ----------
    key : str
        Of `app.page.address.CONTROLS`.
    place : optional
        A column or a container.
    **more
        What this place of the page says otherwise: Streamlit's own parameters of the control.
    """
    setting = CONTROLS[key]
    more["help"] = hint(*_labels(setting), first=more.get("help", setting.help))
    kind = setting.kind
    said: dict[str, Any] = {
        "label": setting.label,
        "key": key,
        "persist_state": "session",
    }
    if isinstance(kind, OneOf) and setting.look:
        visibility = "collapsed" if setting.look == "hidden" else "visible"
        said |= {"options": kind.words, "required": True, "label_visibility": visibility}
        place.segmented_control(**said | more)
    elif isinstance(kind, OneOf):
        place.selectbox(**{"options": kind.words} | said | more)
    elif isinstance(kind, SomeOf):
        place.pills(**said | {"options": kind.words, "selection_mode": "multi"} | more)
    elif isinstance(kind, Flag):
        place.toggle(**said | more)
    elif isinstance(kind, Text):
        said |= {"max_chars": kind.longest, "placeholder": setting.placeholder}
        place.text_input(**said | more)
    elif isinstance(kind, Number):
        said["min_value"], said["max_value"], said["step"] = kind.steps
        if kind.typed is not int:
            said["format"] = "%.6g" if kind.empty or kind.quantity else "%.4g"
        if kind.empty:
            said |= {"value": None, "placeholder": setting.placeholder}
        place.number_input(**said | more)


def _labels(setting: Setting) -> tuple[str, ...]:
    """What the control is called, and what it offers where all of that are terms."""
    offered = setting.kind.words if isinstance(setting.kind, OneOf) else ()
    return (setting.label, *(offered if all(map(explained, offered)) else ()))


def draw_section(name: str, among: Collection[Setting]) -> None:
    """Draw the controls of a section, those that are asked for, one below the other."""
    for key, setting in CONTROLS.items():
        if setting.section == name and setting in among:
            draw_control(key)
